"""Making, changing and ending tenants and keys: one transaction each, which tells every replica what
to forget and records who did it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from secrets import token_hex
from time import time
from typing import Any

from msgspec import UNSET, Raw, to_builtins
from msgspec.json import decode, encode
from sqlalchemy import Row, Select, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from ai_gateway.model.errors import GatewayError
from ai_gateway.model.key import (
    AdminAction,
    AdminActionPage,
    ConfiguredTenant,
    IssuedKey,
    Key,
    KeyChange,
    KeyPage,
    NewKey,
    NewTenant,
    Rotation,
    Tenant,
    TenantChange,
    TenantPage,
)
from ai_gateway.storage.admin_audit import record_action
from ai_gateway.storage.database import Database
from ai_gateway.storage.tables import admin_audit, keys, tenants

from .access import DEFAULT_TENANT
from .acts import KEY_COLUMNS, TENANT_COLUMNS, changes, told
from .keys import hash_of, hint_of, new_key
from .store import announce, read_policy, read_tags


class Administration:
    """`configured` are the tenants of `gateway.yaml`. Every method raises DatabaseUnavailable."""

    def __init__(self, database: Database, configured: Mapping[str, ConfiguredTenant]) -> None:
        self._database = database
        self._configured = configured

    async def create_key(self, new: NewKey, *, tenant: str, actor: str) -> IssuedKey:
        """Raises GatewayError(not_found | invalid_request)."""
        now = int(time())
        expires_at = _expiry(new, now)
        key = new_key()
        row = {
            "id": f"key_{token_hex(8)}",
            "tenant": tenant,
            "hash": hash_of(key.encode()),
            "hint": hint_of(key),
            "name": new.name,
            "user": new.user,
            "role": new.role,
            "policy": _text(new.policy),
            "tags": _text(new.tags),
            "metadata": _text(new.metadata),
            "disabled": False,
            "created_at": now,
            "expires_at": expires_at,
        }
        async with self._database.write() as connection:
            await self._ensure_tenant(connection, tenant, now)
            inserted = insert(keys).values(row).returning(keys)
            made = (await connection.execute(inserted)).one()
            details = _key(made)
            # Somebody may have tried it before it was: then it is known as wrong.
            await announce(connection, hashes=(row["hash"],))  # type: ignore[arg-type]
            await record_action(
                connection, actor=actor, action="create key", tenant=tenant, target=details.id,
                detail={"after": told(made, KEY_COLUMNS)},
            )  # fmt: skip
        return IssuedKey(key=key, details=details)

    async def list_keys(self, tenant: str | None, *, limit: int, after: str) -> KeyPage:
        statement = select(keys).where(keys.c.id > after).order_by(keys.c.id).limit(limit + 1)
        if tenant is not None:
            statement = statement.where(keys.c.tenant == tenant)
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).all()
        data = [_key(row) for row in rows[:limit]]
        return KeyPage(data=data, next=data[-1].id if len(rows) > limit else None)

    async def key(self, id: str) -> Key | None:
        async with self._database.read() as connection:
            row = (await connection.execute(select(keys).where(keys.c.id == id))).one_or_none()
        return None if row is None else _key(row)

    async def change_key(self, id: str, change: KeyChange, *, actor: str) -> Key | None:
        values = _changed(change)
        if change.expires_at is not UNSET:
            values["expires_at"] = _seconds(change.expires_at)
        async with self._database.write() as connection:
            if not values:
                row = (await connection.execute(select(keys).where(keys.c.id == id))).one_or_none()
                return None if row is None else _key(row)
            old = await _held(connection, select(keys).where(keys.c.id == id))
            if old is None:
                return None
            statement = update(keys).where(keys.c.id == id).values(values).returning(keys)
            row = (await connection.execute(statement)).one()
            await announce(connection, hashes=_hashes(row))
            await record_action(
                connection, actor=actor, action="change key", tenant=row.tenant, target=id,
                detail=changes(old, row, values),
            )  # fmt: skip
        return _key(row)

    async def rotate_key(self, id: str, rotation: Rotation, *, actor: str) -> IssuedKey | None:
        """A new key under the same id; the old one works until the overlap is over."""
        key = new_key()
        until = int(time() + rotation.overlap_seconds) if rotation.overlap_seconds else None
        async with self._database.write() as connection:
            old = await _held(connection, select(keys).where(keys.c.id == id))
            if old is None:
                return None
            statement = (
                update(keys)
                .where(keys.c.id == id)
                .values(
                    hash=hash_of(key.encode()),
                    hint=hint_of(key),
                    previous_hash=None if until is None else old.hash,
                    previous_until=until,
                )
                .returning(keys)
            )
            row = (await connection.execute(statement)).one()
            await announce(connection, hashes=(*_hashes(old), row.hash))
            await record_action(
                connection, actor=actor, action="rotate key", tenant=row.tenant, target=id,
                detail=changes(old, row, ("hint", "previous_until")),
            )  # fmt: skip
        return IssuedKey(key=key, details=_key(row))

    async def delete_key(self, id: str, *, actor: str) -> bool:
        """False where there is none. What it used stays in the ledger."""
        async with self._database.write() as connection:
            statement = delete(keys).where(keys.c.id == id).returning(keys)
            row = (await connection.execute(statement)).one_or_none()
            if row is None:
                return False
            await announce(connection, hashes=_hashes(row))
            await record_action(
                connection, actor=actor, action="delete key", tenant=row.tenant, target=id,
                detail={"before": told(row, KEY_COLUMNS)},
            )  # fmt: skip
        return True

    async def create_tenant(self, new: NewTenant, *, actor: str) -> Tenant:
        """Raises GatewayError(conflict)."""
        if new.id in self._configured:
            raise _taken(new.id)
        row = {
            "id": new.id,
            "title": new.title,
            "policy": _text(new.policy),
            "metadata": _text(new.metadata),
            "disabled": False,
            "created_at": int(time()),
        }
        try:
            async with self._database.write() as connection:
                made = (
                    await connection.execute(insert(tenants).values(row).returning(tenants))
                ).one()
                await record_action(
                    connection, actor=actor, action="create tenant", tenant=new.id, target=new.id,
                    detail={"after": told(made, TENANT_COLUMNS)},
                )  # fmt: skip
        except IntegrityError:
            raise _taken(new.id) from None
        return _tenant(made)

    async def list_tenants(self, *, limit: int, after: str) -> TenantPage:
        statement = (
            select(tenants).where(tenants.c.id > after).order_by(tenants.c.id).limit(limit + 1)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).all()
        data = [t for row in rows[:limit] if (t := _tenant(row)).id not in self._configured]
        if not after:
            data = [*map(self._from_file, self._configured), *data]
        return TenantPage(data=data, next=rows[limit - 1].id if len(rows) > limit else None)

    async def tenant(self, id: str) -> Tenant | None:
        if id in self._configured:
            return self._from_file(id)
        async with self._database.read() as connection:
            row = (
                await connection.execute(select(tenants).where(tenants.c.id == id))
            ).one_or_none()
        return None if row is None else _tenant(row)

    async def change_tenant(self, id: str, change: TenantChange, *, actor: str) -> Tenant | None:
        """Raises GatewayError(conflict) for one of `gateway.yaml`."""
        if id in self._configured:
            raise GatewayError(
                "conflict", "This tenant is written in gateway.yaml: change it there.",
                code="configured_in_file",
            )  # fmt: skip
        values = _changed(change)
        async with self._database.write() as connection:
            if not values:
                row = (
                    await connection.execute(select(tenants).where(tenants.c.id == id))
                ).one_or_none()
                return None if row is None else _tenant(row)
            old = await _held(connection, select(tenants).where(tenants.c.id == id))
            if old is None:
                return None
            statement = update(tenants).where(tenants.c.id == id).values(values).returning(tenants)
            row = (await connection.execute(statement)).one()
            await announce(connection, tenant=id)
            await record_action(
                connection, actor=actor, action="change tenant", tenant=id, target=id,
                detail=changes(old, row, values),
            )  # fmt: skip
        return _tenant(row)

    async def delete_tenant(self, id: str, *, actor: str) -> bool:
        """Raises GatewayError(conflict) while it has keys."""
        async with self._database.write() as connection:
            used = (
                await connection.execute(select(keys.c.id).where(keys.c.tenant == id).limit(1))
            ).first()
            if used is not None:
                raise GatewayError(
                    "conflict", "The tenant has keys: delete them first, or disable the tenant.",
                    code="tenant_has_keys",
                )  # fmt: skip
            found = await connection.execute(
                delete(tenants).where(tenants.c.id == id).returning(tenants)
            )
            row = found.one_or_none()
            if row is None:
                return False
            await record_action(
                connection, actor=actor, action="delete tenant", tenant=id, target=id,
                detail={"before": told(row, TENANT_COLUMNS)},
            )  # fmt: skip
        return True

    async def actions(
        self, tenant: str | None, *, limit: int, before: str | None
    ) -> AdminActionPage:
        """Who changed what, newest first."""
        statement = select(admin_audit).order_by(admin_audit.c.id.desc()).limit(limit + 1)
        if tenant is not None:
            statement = statement.where(admin_audit.c.tenant == tenant)
        if before is not None:
            statement = statement.where(admin_audit.c.id < before)
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).all()
        data = [
            AdminAction(
                id=row.id,
                at=datetime.fromtimestamp(row.at / 1000, UTC),
                actor=row.actor,
                action=row.action,
                tenant=row.tenant,
                target=row.target,
                detail=Raw(row.detail.encode("utf-8")),
            )
            for row in rows[:limit]
        ]
        return AdminActionPage(data=data, next=data[-1].id if len(rows) > limit else None)

    async def _ensure_tenant(self, connection: AsyncConnection, id: str, now: int) -> None:
        """`default` and those of `gateway.yaml` come into being with their first key."""
        found = select(tenants.c.id).where(tenants.c.id == id)
        if (await connection.execute(found)).one_or_none() is not None:
            return
        if id != DEFAULT_TENANT and id not in self._configured:
            raise GatewayError(
                "not_found", f"There is no tenant {id!a}.", field="tenant", code="tenant_not_found"
            )
        row = {
            "id": id,
            "title": "",
            "policy": "{}",
            "metadata": "{}",
            "disabled": False,
            "created_at": now,
        }
        await connection.execute(insert(tenants).values(row))

    def _from_file(self, id: str) -> Tenant:
        written = self._configured[id]
        return Tenant(
            id=id, title=written.title, policy=written.policy, metadata={}, disabled=False,
            source="gateway.yaml",
        )  # fmt: skip


def _expiry(new: NewKey, now: int) -> int | None:
    if new.expires_in is not None:
        if new.expires_at is not None:
            raise GatewayError(
                "invalid_request", "Give expires_at or expires_in, not both.", field="expires_in"
            )
        return int(now + new.expires_in)
    return _seconds(new.expires_at)


def _seconds(at: Any) -> int | None:
    if at is None:
        return None
    if at.tzinfo is None:
        raise GatewayError(
            "invalid_request", "The time needs a zone: 2030-01-31T12:00:00Z.", field="expires_at"
        )
    return int(at.timestamp())


def _changed(change: KeyChange | TenantChange) -> dict[str, Any]:
    """The columns that a change sets; those that are JSON, as text."""
    values: dict[str, Any] = {}
    for name in change.__struct_fields__:
        value = getattr(change, name)
        if value is not UNSET:
            values[name] = _text(value) if name in ("policy", "tags", "metadata") else value
    return values


async def _held(connection: AsyncConnection, found: Select[Any]) -> Row[Any] | None:
    """A row as it is before a change, and until the transaction is over."""
    if connection.dialect.name == "postgresql":
        found = found.with_for_update()
    return (await connection.execute(found)).one_or_none()


def _text(value: object) -> str:
    """JSON; a policy without what is as the default, so that equal ones are equal texts."""
    if hasattr(value, "__struct_fields__"):
        plain: dict[str, Any] = to_builtins(value)
        unset: dict[str, Any] = to_builtins(type(value)())
        value = {name: v for name, v in plain.items() if v != unset[name]}
    return encode(value).decode()


def _hashes(row: Row[Any]) -> tuple[bytes, ...]:
    return (row.hash,) if row.previous_hash is None else (row.hash, row.previous_hash)


def _key(row: Row[Any]) -> Key:
    return Key(
        id=row.id,
        tenant=row.tenant,
        name=row.name,
        hint=row.hint,
        user=row.user,
        role=row.role,
        policy=read_policy(row.policy),
        tags=read_tags(row.tags),
        metadata=decode(row.metadata),
        disabled=row.disabled,
        created_at=_time(row.created_at),
        expires_at=None if row.expires_at is None else _time(row.expires_at),
        previous_until=None if row.previous_until is None else _time(row.previous_until),
    )


def _tenant(row: Row[Any]) -> Tenant:
    return Tenant(
        id=row.id,
        title=row.title,
        policy=read_policy(row.policy),
        metadata=decode(row.metadata),
        disabled=row.disabled,
        created_at=_time(row.created_at),
    )


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _taken(id: str) -> GatewayError:
    return GatewayError(
        "conflict", f"There is a tenant {id} already.", field="id", code="tenant_exists"
    )
