"""Who changed what, in the transaction that changes it."""

from secrets import token_hex
from time import time_ns

from msgspec.json import encode
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from .tables import admin_audit


async def record_action(
    connection: AsyncConnection,
    *,
    actor: str,
    action: str,
    tenant: str | None,
    target: str,
    detail: object = None,
) -> None:
    """`action` is a verb and its noun (`create key`); `detail` is JSON and never holds a secret."""
    now = time_ns() // 1_000_000
    row = {
        "id": f"{now:012x}{token_hex(10)}",
        "at": now,
        "actor": actor,
        "action": action,
        "tenant": tenant,
        "target": target,
        "detail": encode(detail).decode(),
    }
    await connection.execute(insert(admin_audit).values(row))
