"""Who may use the admin API: the holder of ADMIN_KEY, and of keys that have a role."""

from collections.abc import Mapping
from hmac import compare_digest
from typing import TYPE_CHECKING

from ai_gateway.access import headers as header
from ai_gateway.access.access import Access
from ai_gateway.access.keys import hash_of
from ai_gateway.dashboard.sessions import Sessions, SignedIn
from ai_gateway.model.errors import GatewayError

from .route import Actor, AdminRoute

if TYPE_CHECKING:
    from ai_gateway.access.sign_in import SignIns


class Guard:
    """ADMIN_KEY is compared by its hash, in constant time."""

    def __init__(
        self,
        access: Access,
        admin_key: str | None,
        sessions: Sessions | None = None,
        sign_ins: "SignIns | None" = None,
    ) -> None:
        self._access = access
        self._sign_ins = sign_ins
        self._sessions = sessions
        self._hash = None if admin_key is None else hash_of(admin_key.encode("utf-8"))

    def is_admin_key(self, headers: Mapping[bytes, bytes]) -> bool:
        given = header.credential(headers)
        return (
            given is not None
            and self._hash is not None
            and compare_digest(hash_of(given), self._hash)
        )

    async def actor(self, headers: Mapping[bytes, bytes]) -> Actor:
        """Raises GatewayError(authentication | permission | unavailable)."""
        if self._sessions is not None and header.credential(headers) is None:
            session = self._sessions.session(headers)
            if session is not None and session.person is not None:
                return await self._person(session.person)
            if session is not None and session.key is not None:
                headers = {b"authorization": b"Bearer " + session.key.encode()}
        if self.is_admin_key(headers):
            return Actor(name="admin", role="admin", tenant=None)
        if header.credential(headers) is None:
            hint = "" if self._hash is not None else " None is set: give the gateway an ADMIN_KEY."
            raise GatewayError(
                "authentication",
                f"The admin API needs a key: 'Authorization: Bearer <ADMIN_KEY>'.{hint}",
                code="missing_api_key",
            )
        key = await self._access.holder(headers)
        if key is None:
            raise GatewayError("authentication", "The key is not valid.", code="invalid_api_key")
        if key.role is None:
            raise GatewayError(
                "permission", "This key may make calls, and nothing else.", code="no_admin_role"
            )
        tenant = key.caller.tenant if key.role == "tenant-admin" else None
        return Actor(name=key.caller.key_id or key.caller.user, role=key.role, tenant=tenant)

    async def _person(self, person: SignedIn) -> Actor:
        """Raises GatewayError(authentication | unavailable)."""
        tenant = person.tenant if person.role == "tenant-admin" else None
        sign_ins = self._sign_ins
        if (
            sign_ins is None
            or sign_ins.seconds(person.provider) is None
            or not await sign_ins.is_open(tenant)
        ):
            raise GatewayError("authentication", "Sign in again.", code="signed_out")
        name = f"{person.provider}:{person.user}"
        return Actor(name=name, role=person.role, tenant=tenant)

    def require_csrf(self, method: str, headers: Mapping[bytes, bytes]) -> None:
        """What a browser's cookie alone asks for must come from our own page. Raises
        GatewayError(permission)."""
        if method in ("GET", "HEAD") or header.credential(headers) is not None:
            return
        if self._sessions is None or not self._sessions.is_csrf_good(headers):
            raise GatewayError(
                "permission", "The page is out of date: load it anew.", code="csrf_token"
            )


def require_role(actor: Actor, route: AdminRoute) -> None:
    if actor.role not in route.roles:
        raise GatewayError(
            "permission", f"The role {actor.role} may not do this.", code="role_not_allowed"
        )
