"""`ai-gateway keys` and `ai-gateway tenants`: what the admin API does, from the shell."""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from ai_gateway.access.access import DEFAULT_TENANT
from ai_gateway.access.keys import hash_of
from ai_gateway.model.errors import GatewayError
from ai_gateway.model.key import IssuedKey, Key, KeyChange, NewKey, NewTenant, Rotation
from ai_gateway.model.policy import Budget, Policy
from ai_gateway.settings.tree import Settings
from ai_gateway.storage.database import Database, DatabaseUnavailable, database_url

from .duration import seconds

if TYPE_CHECKING:
    from ai_gateway.access.administer import Administration

_ACTOR = "cli"
_PAGE = 1000

Command = Callable[["Administration", argparse.Namespace], Awaitable[int]]


def add_keys(commands: Any, config: argparse.ArgumentParser) -> None:
    """The parsers of `keys`. `config` holds the options that every command has."""
    keys = commands.add_parser("keys", help="make, list, rotate and end keys")
    actions = keys.add_subparsers(dest="action", metavar="action", required=True)
    create = actions.add_parser("create", parents=[config], help="make a key and print it, once")
    create.add_argument("name", help="what it is for")
    create.add_argument("--tenant", default=DEFAULT_TENANT)
    create.add_argument("--user", help="the user it belongs to")
    create.add_argument("--role", choices=["admin", "viewer", "tenant-admin"])
    create.add_argument("--expires-in", type=_duration, metavar="90d")
    create.add_argument("--model", action="append", default=[], metavar="PATTERN")
    create.add_argument("--tag", action="append", default=[], metavar="NAME=VALUE")
    create.add_argument(
        "--budget", type=_budget, metavar="10/month",
        help="the dollars it may spend in a day, week, month or in all (total)",
    )  # fmt: skip
    create.add_argument("--policy", default="{}", metavar="JSON", help="rules, as the admin API's")
    create.set_defaults(run=_create)
    listing = actions.add_parser("list", parents=[config], help="list keys, a JSON line each")
    listing.add_argument("--tenant")
    listing.set_defaults(run=_list)
    rotate = actions.add_parser(
        "rotate", parents=[config], help="replace a key and print the new one"
    )
    rotate.add_argument("id")
    rotate.add_argument("--overlap", type=_duration, default=86400.0, metavar="1d")
    rotate.set_defaults(run=_rotate)
    for action, run, what in (
        ("show", _show, "show a key's rules"),
        ("disable", _disable, "have a key refused from now on"),
        ("enable", _enable, "take that back"),
        ("delete", _delete, "end a key for good"),
    ):
        parser = actions.add_parser(action, parents=[config], help=what)
        parser.add_argument("id")
        parser.set_defaults(run=run)
    hashing = actions.add_parser(
        "hash", help="read a key from standard input, print its hash for gateway.yaml"
    )
    hashing.set_defaults(run=None)


def add_tenants(commands: Any, config: argparse.ArgumentParser) -> None:
    tenants = commands.add_parser("tenants", help="make and list tenants")
    actions = tenants.add_subparsers(dest="action", metavar="action", required=True)
    create = actions.add_parser("create", parents=[config], help="make a tenant")
    create.add_argument("id")
    create.add_argument("--title", default="")
    create.add_argument("--policy", default="{}", metavar="JSON", help="rules its keys inherit")
    create.set_defaults(run=_create_tenant)
    listing = actions.add_parser("list", parents=[config], help="list tenants, a JSON line each")
    listing.set_defaults(run=_list_tenants)


def print_hash() -> int:
    key = sys.stdin.read().strip()
    if not key:
        print("ai-gateway: no key came on standard input", file=sys.stderr)
        return 2
    print(f"sha256:{hash_of(key.encode('utf-8')).hex()}")
    return 0


def run(settings: Settings, given: argparse.Namespace) -> int:
    """Exit status: 0 done, 1 not there or refused, 2 wrongly asked, 3 no database."""
    try:
        return asyncio.run(_run(settings, given))
    except (GatewayError, msgspec.ValidationError) as error:
        print(f"ai-gateway: {error}", file=sys.stderr)
        return 1 if isinstance(error, GatewayError) else 2
    except DatabaseUnavailable as error:
        print(f"ai-gateway: the database cannot be reached ({error})", file=sys.stderr)
        return 3


async def _run(settings: Settings, given: argparse.Namespace) -> int:
    database = open_database(settings)
    try:
        await database.open()
        from ai_gateway.access.administer import Administration

        command: Command = given.run
        return await command(Administration(database, settings.tenants), given)
    finally:
        await database.close()


def open_database(settings: Settings) -> Database:
    url = None if settings.database_url is None else settings.database_url.reveal()
    key = None if settings.audit_key is None else settings.audit_key.reveal().encode()
    return Database(database_url(url, settings.data_dir), key)


async def _create(administration: "Administration", given: argparse.Namespace) -> int:
    policy = _json(given.policy, dict[str, Any])
    if given.model:
        policy["models"] = given.model
    if given.budget is not None:
        policy["budgets"] = [*policy.get("budgets", []), given.budget]
    asked: dict[str, Any] = {
        "name": given.name, "tenant": given.tenant, "user": given.user, "role": given.role,
        "policy": policy, "tags": given.tag, "expires_in": given.expires_in,
    }  # fmt: skip
    new = msgspec.convert(asked, NewKey)
    issued = await administration.create_key(new, tenant=new.tenant or DEFAULT_TENANT, actor=_ACTOR)
    return _issued(issued)


async def _list(administration: "Administration", given: argparse.Namespace) -> int:
    after: str | None = ""
    while after is not None:
        page = await administration.list_keys(given.tenant, limit=_PAGE, after=after)
        for key in page.data:
            _print(key)
        after = page.next
    return 0


async def _show(administration: "Administration", given: argparse.Namespace) -> int:
    return _shown(await administration.key(given.id), given.id)


async def _rotate(administration: "Administration", given: argparse.Namespace) -> int:
    rotation = Rotation(overlap_seconds=given.overlap)
    issued = await administration.rotate_key(given.id, rotation, actor=_ACTOR)
    return _missing(given.id) if issued is None else _issued(issued)


async def _disable(administration: "Administration", given: argparse.Namespace) -> int:
    change = KeyChange(disabled=True)
    return _shown(await administration.change_key(given.id, change, actor=_ACTOR), given.id)


async def _enable(administration: "Administration", given: argparse.Namespace) -> int:
    change = KeyChange(disabled=False)
    return _shown(await administration.change_key(given.id, change, actor=_ACTOR), given.id)


async def _delete(administration: "Administration", given: argparse.Namespace) -> int:
    done = await administration.delete_key(given.id, actor=_ACTOR)
    return 0 if done else _missing(given.id)


async def _create_tenant(administration: "Administration", given: argparse.Namespace) -> int:
    policy = _json(given.policy, Policy)
    asked = {"id": given.id, "title": given.title}
    new = msgspec.structs.replace(msgspec.convert(asked, NewTenant), policy=policy)
    _print(await administration.create_tenant(new, actor=_ACTOR))
    return 0


async def _list_tenants(administration: "Administration", given: argparse.Namespace) -> int:
    after: str | None = ""
    while after is not None:
        page = await administration.list_tenants(limit=_PAGE, after=after)
        for tenant in page.data:
            _print(tenant)
        after = page.next
    return 0


def _issued(issued: IssuedKey) -> int:
    """The key alone on standard output, fit to be piped on."""
    print(issued.key)
    print(f"{issued.details.id}: keep the key, it cannot be shown again", file=sys.stderr)
    return 0


def _shown(key: Key | None, id: str) -> int:
    if key is None:
        return _missing(id)
    _print(key)
    return 0


def _missing(id: str) -> int:
    print(f"ai-gateway: there is no key {id!a}", file=sys.stderr)
    return 1


def _print(value: object) -> None:
    print(msgspec.json.encode(value).decode("utf-8"))


_Read = TypeVar("_Read")


def _json(text: str, kind: type[_Read]) -> _Read:
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError as error:
        raise msgspec.ValidationError(f"--policy is not JSON: {error}") from None


def _budget(text: str) -> dict[str, str]:
    amount, _, period = text.partition("/")
    try:
        msgspec.convert({"per": "key", "amount": amount, "period": period}, Budget)
    except msgspec.ValidationError:
        raise argparse.ArgumentTypeError("write it like 10/month or 0.5/day") from None
    return {"per": "key", "amount": amount, "period": period}


def _duration(text: str) -> float:
    try:
        return seconds(text)
    except ValueError:
        raise argparse.ArgumentTypeError("write it like 90d, 12h, 30m or 45s") from None
