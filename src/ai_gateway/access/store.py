"""Keys and tenants in the database: what the path looks up, and what every replica must forget."""

import asyncio
from collections.abc import Mapping
from math import inf
from time import time
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ai_gateway.model.call import Caller
from ai_gateway.model.key import Role
from ai_gateway.model.policy import UNRESTRICTED, Policy
from ai_gateway.storage.database import Database, DatabaseUnavailable
from ai_gateway.storage.tables import access_changes, access_version, keys, tenants

from .access import unavailable
from .keys import hash_of
from .known import KnownKey
from .policies import merge

_LOOK_UP_SECONDS = 2.0
_MOST_AT_ONCE = 2
"""Look-ups: a flood of unknown keys leaves connections for the ledger and for revocations."""
_KEEP_CHANGES_SECONDS = 86400
_MOST_POLICIES = 1000

read_policy = msgspec.json.Decoder(Policy).decode
read_tags = msgspec.json.Decoder(tuple[str, ...]).decode


class KeyStore:
    """`configured` are the tenants of `gateway.yaml`: their rules win over the database's."""

    def __init__(self, database: Database, configured: Mapping[str, Policy]) -> None:
        self._database = database
        self._configured = configured
        self._looking = asyncio.Semaphore(_MOST_AT_ONCE)
        self._policies: dict[tuple[str | Policy, str], Policy] = {}

    async def look_up(self, given: bytes) -> KnownKey | None:
        """Raises GatewayError(unavailable): whether a key is good cannot be said."""
        hash = hash_of(given)
        row = await self._row(or_(keys.c.hash == hash, keys.c.previous_hash == hash))
        if row is None:
            return None
        expires_at = inf if row.expires_at is None else float(row.expires_at)
        if row.previous_hash == hash:
            expires_at = min(expires_at, float(row.previous_until or 0))
        return self._known(row, expires_at) if int(time()) < expires_at else None

    async def find(self, id: str) -> KnownKey | None:
        """A key by its id. Raises GatewayError(unavailable)."""
        row = await self._row(keys.c.id == id)
        if row is None:
            return None
        return self._known(row, inf if row.expires_at is None else float(row.expires_at))

    async def _row(self, which: ColumnElement[bool]) -> Any:
        """None where there is none, or it or its tenant is disabled. Raises GatewayError(unavailable)."""
        statement = (
            select(
                keys.c.id, keys.c.tenant, keys.c.user, keys.c.role, keys.c.policy, keys.c.tags,
                keys.c.disabled, keys.c.expires_at, keys.c.previous_hash, keys.c.previous_until,
                tenants.c.policy.label("tenant_policy"), tenants.c.disabled.label("tenant_disabled"),
            )
            .join(tenants, tenants.c.id == keys.c.tenant)
            .where(which)
        )  # fmt: skip
        try:
            async with _patience(), self._looking, self._database.read() as connection:
                row = (await connection.execute(statement)).one_or_none()
        except (DatabaseUnavailable, TimeoutError):
            raise unavailable("Keys cannot be looked up at the moment. Try again.") from None
        return None if row is None or row.disabled or row.tenant_disabled else row

    async def tenant_policy(self, id: str) -> Policy | None:
        """A tenant's rules; None where it is disabled. One that nobody made has none.
        Raises GatewayError(unavailable)."""
        configured = self._configured.get(id)
        if configured is not None:
            return configured
        statement = select(tenants.c.policy, tenants.c.disabled).where(tenants.c.id == id)
        try:
            async with _patience(), self._database.read() as connection:
                row = (await connection.execute(statement)).one_or_none()
        except (DatabaseUnavailable, TimeoutError):
            raise unavailable("Tenants cannot be looked up at the moment. Try again.") from None
        if row is None:
            return UNRESTRICTED
        return None if row.disabled else read_policy(row.policy)

    async def any(self) -> bool:
        """Whether there is a key at all. Raises DatabaseUnavailable."""
        async with self._database.read() as connection:
            return (await connection.execute(select(keys.c.id).limit(1))).first() is not None

    async def changes(self, since: int) -> "list[tuple[int, bytes | None, str | None]]":
        """(version, hash, tenant) of what changed after the version. Raises DatabaseUnavailable."""
        statement = (
            select(access_changes.c.version, access_changes.c.hash, access_changes.c.tenant)
            .where(access_changes.c.version > since)
            .order_by(access_changes.c.version)
        )
        async with self._database.read() as connection:
            return [tuple(row) for row in (await connection.execute(statement)).all()]

    async def version(self) -> int:
        async with self._database.read() as connection:
            return (await connection.execute(select(access_version.c.version))).scalar_one()

    def _known(self, row: Any, expires_at: float) -> KnownKey:
        role: Role | None = row.role
        return KnownKey(
            caller=Caller(
                tenant=row.tenant,
                user=row.user or row.id,
                key_id=row.id,
                policy=self._policy(row.tenant, row.tenant_policy, row.policy),
                tags=read_tags(row.tags),
            ),
            user_is_fixed=row.user is not None,
            expires_at=expires_at,
            role=role,
        )

    def _policy(self, tenant: str, of_tenant: str, of_key: str) -> Policy:
        """Many keys share one: it is merged and held once."""
        outer = self._configured.get(tenant, of_tenant)
        found = self._policies.get((outer, of_key))
        if found is None:
            written = read_policy(outer) if isinstance(outer, str) else outer
            found = merge(written, read_policy(of_key))
            if len(self._policies) >= _MOST_POLICIES:
                self._policies.clear()
            self._policies[(outer, of_key)] = found
        return found


def _patience() -> "asyncio.Timeout":
    return asyncio.timeout(_LOOK_UP_SECONDS)


async def announce(
    connection: AsyncConnection, *, hashes: "tuple[bytes, ...]" = (), tenant: str | None = None
) -> None:
    """Has every replica forget these, once the transaction commits.

    Counting the version up locks its row, so that versions commit in their order, and none is missed.
    """
    counted = update(access_version).values(version=access_version.c.version + 1)
    version = (await connection.execute(counted.returning(access_version.c.version))).scalar_one()
    now = int(time())
    rows = [
        {"version": version, "part": part, "hash": hash, "tenant": None, "at": now}
        for part, hash in enumerate(hashes)
    ]
    if tenant is not None:
        rows.append(
            {"version": version, "part": len(rows), "hash": None, "tenant": tenant, "at": now}
        )
    await connection.execute(insert(access_changes), rows)
    old = access_changes.c.at < now - _KEEP_CHANGES_SECONDS
    await connection.execute(access_changes.delete().where(old))
