"""Who changed what, in the transaction that changes it."""

from collections.abc import Mapping
from secrets import token_hex
from time import time_ns
from typing import Any

from msgspec.json import encode
from sqlalchemy import insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ai_gateway.hash_chain import BEGINNING, link_hash

from .tables import admin_audit, audit_chains

ACTS = "acts"
"""The chain of what administrators do."""
_COVERED = ("id", "at", "actor", "action", "tenant", "target", "detail")


async def record_action(
    connection: AsyncConnection,
    *,
    actor: str,
    action: str,
    tenant: str | None,
    target: str | None,
    detail: object = None,
    at: int | None = None,
) -> None:
    """`action` is a verb and its noun (`create key`); `detail` is JSON and never holds a secret: where
    something changed, what it was `before` and `after`. `at`: milliseconds since 1970, where it was not
    just now."""
    now = time_ns() // 1_000_000 if at is None else at
    row: dict[str, Any] = {
        "id": f"{now:012x}{token_hex(10)}",
        "at": now,
        "actor": actor,
        "action": action,
        "tenant": tenant,
        "target": target,
        "detail": encode(detail).decode(),
    }
    await connection.execute(insert(admin_audit).values(**row, **await _link(connection, row)))


def content_of(row: Mapping[Any, Any]) -> bytes:
    """What an act's hash covers."""
    return encode([row[name] for name in _COVERED])


async def _link(connection: AsyncConnection, row: Mapping[str, Any]) -> dict[str, Any]:
    """The act's place in the chain of all acts, which this transaction holds until it ends."""
    own = audit_chains.c.chain == ACTS
    held = update(audit_chains).where(own).values(last_seq=audit_chains.c.last_seq + 1)
    found = (
        await connection.execute(held.returning(audit_chains.c.last_seq, audit_chains.c.last_hash))
    ).one_or_none()
    if found is None:
        begun = insert(audit_chains).values(
            chain=ACTS, at=row["at"] // 1000, first_seq=0, first_hash=BEGINNING,
            last_seq=1, last_hash=BEGINNING,
        )  # fmt: skip
        await connection.execute(begun)
        seq, before = 1, BEGINNING
    else:
        seq, before = found
    sync = connection.sync_connection
    key = None if sync is None else sync.get_execution_options().get("gateway_audit_key")
    hash = link_hash(key, before, ACTS, seq, content_of(row))
    await connection.execute(update(audit_chains).where(own).values(last_hash=hash))
    return {"seq": seq, "hash": hash}
