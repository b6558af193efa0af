"""Where Redis is, and how the gateway shows itself to it."""

from typing import Literal
from urllib.parse import urlsplit

from msgspec import Struct

_PORT = 6379
_SENTINEL_PORT = 26379


class RedisAddress(Struct, frozen=True, kw_only=True):
    kind: Literal["single", "sentinel", "cluster"]
    hosts: tuple[tuple[str, int], ...]
    tls: bool = False
    database: int = 0
    master: str = ""
    """The name by which Sentinel knows the master."""


class RedisLogin(Struct, frozen=True, kw_only=True):
    user: str | None = None
    password: str | None = None
    ca: str | None = None
    """A file of CA certificates; None: the system's."""


_SCHEMES: dict[str, tuple[Literal["single", "sentinel", "cluster"], bool]] = {
    "redis": ("single", False),
    "rediss": ("single", True),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}


def parse_redis_address(text: str) -> RedisAddress:
    """`host:port`, or `redis://host:port/0`, `rediss://` with TLS, `redis+sentinel://a:1,b:2/master/0`,
    `redis+cluster://a:1,b:2`. Raises ValueError saying what is expected."""
    expected = (
        "host:port or redis[s][+sentinel|+cluster]://host:port[,host:port][/master][/database], "
        "with the password in REDIS_PASSWORD"
    )
    if "://" not in text:
        text = f"redis://{text}"
    parts = urlsplit(text)
    if parts.scheme not in _SCHEMES or "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(expected)
    kind, tls = _SCHEMES[parts.scheme]
    port = _SENTINEL_PORT if kind == "sentinel" else _PORT
    path = [step for step in parts.path.split("/") if step]
    try:
        hosts = tuple(_host(one, port) for one in parts.netloc.split(","))
        master = path.pop(0) if kind == "sentinel" else ""
        database = int(path.pop(0)) if path else 0
    except (ValueError, IndexError):
        raise ValueError(expected) from None
    if path or (kind == "single" and len(hosts) > 1) or (kind == "cluster" and database):
        raise ValueError(expected)
    return RedisAddress(kind=kind, hosts=hosts, tls=tls, database=database, master=master)


def _host(text: str, default: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError
    return parts.hostname, default if parts.port is None else parts.port
