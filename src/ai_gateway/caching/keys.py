"""The names under which answers are stored.

`cache:{tenant}:<model>:<whose><digest>`. The tenant stands in braces, as in every key of its own, so
that on Redis Cluster all that one call takes lies in one slot; model and the rest are hashes. What is
shared by all tenants is `cache:shared:...`, which no tenant's name can become.
"""

from hashlib import blake2b

SHARED = "cache:shared:"


def key_prefix(tenant: str | None, user: str | None, model: str, sources: str) -> str:
    """All of a key but the question's digest. `tenant` None: shared by all; `user` None: by all users;
    `sources`: whatever else tells answers of the same name apart."""
    whose = "" if user is None and not sources else _hash(f"{user or ''}\0{sources}")
    return f"{tenant_prefix(tenant)}{_hash(model)}:{whose}"


def tenant_prefix(tenant: str | None) -> str:
    return SHARED if tenant is None else f"cache:{{{tenant}}}:"


def model_part(model: str) -> str:
    """What stands between the first two parts of a key and its rest."""
    return f":{_hash(model)}:"


def _hash(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
