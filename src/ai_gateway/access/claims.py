"""What the claims of an OpenID provider say of a person: tenant, user, role."""

from collections.abc import Mapping
from typing import Any, cast

from msgspec import Struct

from ai_gateway.model.key import Role, TokenIssuer

_LONGEST_NAME = 256


class Person(Struct, frozen=True, kw_only=True):
    user: str
    tenant: str | None
    """None where the claims name none."""
    role: Role | None


def person_of(claims: Mapping[str, Any], rules: TokenIssuer) -> Person | None:
    """`claims` are verified. None where they name nobody, or a tenant that cannot be."""
    stated = rules.tenant or _claim(claims, rules.tenant_claim)
    tenant, user = _name(stated), _name(_claim(claims, rules.user_claim))
    if user is None or (stated is not None and (tenant is None or not _is_tenant(tenant))):
        return None
    return Person(user=user, tenant=tenant, role=_role(claims, rules))


def _role(claims: Mapping[str, Any], rules: TokenIssuer) -> Role | None:
    if rules.role_claim is None:
        return None
    found = _claim(claims, rules.role_claim)
    values = cast("list[Any]", found) if isinstance(found, list) else [found]
    return next((role for value, role in rules.roles.items() if value in values), None)


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """By its whole name, which may hold dots, else along them. None where there is none."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        if not isinstance(found, dict):
            return None
        found = cast("dict[str, Any]", found).get(part)
    return found


def _name(claim: object) -> str | None:
    good = isinstance(claim, str) and claim.isprintable() and 0 < len(claim) <= _LONGEST_NAME
    return claim if good and isinstance(claim, str) else None


def _is_tenant(name: str) -> bool:
    """As `model.key.TenantId`."""
    plain = name.replace("-", "").replace("_", "").replace(".", "")
    return len(name) <= 64 and name[0].isalnum() and plain.isalnum() and name.isascii()
