"""What an endpoint of the admin API is."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

from msgspec import UNSET, Struct

from ai_gateway.model.errors import GatewayError
from ai_gateway.model.key import Role

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

EVERYONE: frozenset[Role] = frozenset({"admin", "viewer", "tenant-admin"})
"""Who may look. `tenant-admin` sees its own tenant only: each handler holds to `Actor.tenant`."""
TENANT_ADMINS: frozenset[Role] = frozenset({"admin", "tenant-admin"})
ADMINS: frozenset[Role] = frozenset({"admin"})
ALL_TENANTS: frozenset[Role] = frozenset({"admin", "viewer"})


class Actor(Struct, frozen=True, kw_only=True):
    """Who asks the admin API."""

    name: str
    """`admin` for ADMIN_KEY, else the id of the key, or `cli`."""
    role: Role
    tenant: str | None
    """None: every tenant's; else what is not this tenant's does not exist for it."""

    def sees(self, tenant: str) -> bool:
        return self.tenant is None or self.tenant == tenant

    def tenant_or(self, asked: str | None) -> str | None:
        """The tenant to look at: its own, or the one asked for. Raises GatewayError(not_found)."""
        if asked is not None and not self.sees(asked):
            raise not_found("tenant", asked)
        return self.tenant if asked is None else asked


class AdminCall(Struct, frozen=True, kw_only=True):
    actor: Actor
    path: Mapping[str, str]
    query: Any
    """An `AdminRoute.query`."""
    body: Any
    """An `AdminRoute.takes`."""


NoteAct = Callable[..., None]
"""`note_act(actor=, action=, tenant=, target=, detail=)`: what an administrator did that is not in the
database anyway; on record as soon as the database is there."""


class NoQuery(Struct, frozen=True, forbid_unknown_fields=True):
    pass


class AdminRoute(Struct, frozen=True, kw_only=True):
    method: Method
    path: str
    """Such as `/admin/keys/{id}`."""
    summary: str
    handler: Callable[[AdminCall], Awaitable[Any]]
    """Gives a `gives`, or a Starlette Response of its own making. Raises GatewayError."""
    gives: Any
    """The answer's type, for msgspec; None: no content."""
    takes: Any = None
    """The body's type; None: no body."""
    query: type[Struct] = NoQuery
    """The query's: a Struct of `str | int | float | bool | datetime`, or None, fields."""
    status: int = 200
    roles: frozenset[Role] = ADMINS
    tag: str


def not_found(noun: str, id: str) -> GatewayError:
    """Also for what exists, but not for this actor."""
    return GatewayError(
        "not_found", f"There is no {noun} {id[:100]!a}.", code=f"{noun.replace(' ', '_')}_not_found"
    )


def given(value: Any) -> bool:
    """Whether a field of a PATCH was sent."""
    return value is not UNSET
