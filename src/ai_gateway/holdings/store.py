"""Whose a file or batch is, and which provider holds it. What is not yours does not exist for you."""

from collections.abc import Sequence
from time import time
from typing import Literal

from msgspec import Struct

from ai_gateway.model.errors import GatewayError
from ai_gateway.storage.database import Database

Kind = Literal["file", "batch", "response"]
UNDER_WAY = ("validating", "in_progress", "finalizing", "cancelling")
"""The states of a batch that is still to be worked on."""
GATEWAY = "gateway"
"""The provider of what the gateway holds itself."""


class Held(Struct, frozen=True, kw_only=True):
    id: str
    kind: Kind
    tenant: str
    provider: str
    created_at: int
    """Unix seconds."""
    data: str = "{}"
    """JSON; of what the gateway holds itself, all there is to know of it."""


class HoldingStore:
    """All methods raise DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def exists(self) -> bool:
        """False where nothing can have been kept yet, so that there is no need to look."""
        return self._database.exists()

    async def keep(self, held: Held) -> None:
        """Once known, an object stays its first tenant's."""
        from sqlalchemy import insert, select

        from ai_gateway.storage.tables import holdings

        values = {name: getattr(held, name) for name in held.__struct_fields__}
        async with self._database.write() as connection:
            known = await connection.scalar(select(holdings.c.id).where(holdings.c.id == held.id))
            if known is None:
                await connection.execute(insert(holdings).values(**values))

    async def keep_all(self, batch: Sequence[Held]) -> None:
        """Later notes on one object take the place of earlier ones of the same tenant."""
        from sqlalchemy import delete, insert, select

        from ai_gateway.storage.tables import holdings

        last = {held.id: held for held in batch}
        async with self._database.write() as connection:
            for held in last.values():
                await connection.execute(
                    delete(holdings).where(
                        holdings.c.id == held.id, holdings.c.tenant == held.tenant
                    )
                )
            others = await connection.scalars(
                select(holdings.c.id).where(holdings.c.id.in_(list(last)))
            )
            for id in others.all():
                # An id that another tenant's object has stays that tenant's.
                del last[id]
            rows = [
                {name: getattr(held, name) for name in held.__struct_fields__}
                for held in last.values()
            ]
            if rows:
                await connection.execute(insert(holdings), rows)

    async def expire(self, kind: Kind, before: int) -> None:
        """Removes what was made before so many Unix seconds."""
        from sqlalchemy import delete

        from ai_gateway.storage.tables import holdings

        async with self._database.write() as connection:
            await connection.execute(
                delete(holdings).where(holdings.c.kind == kind, holdings.c.created_at < before)
            )

    async def change(self, id: str, data: str, was: str | None = None) -> bool:
        """`was`: what it is changed from. False where it is no longer that, and was left alone."""
        from sqlalchemy import update

        from ai_gateway.storage.tables import holdings

        change = update(holdings).where(holdings.c.id == id).values(data=data)
        if was is not None:
            change = change.where(holdings.c.data == was)
        async with self._database.write() as connection:
            return (await connection.execute(change)).rowcount > 0

    async def unfinished(self) -> list[Held]:
        """The gateway's own batches that have not ended, of everybody."""
        from sqlalchemy import or_, select

        from ai_gateway.storage.tables import holdings

        # As msgspec writes it; in a text of the caller's the quotes would be escaped.
        under_way = [f'%"status":"{status}"%' for status in UNDER_WAY]
        query = select(holdings).where(
            holdings.c.kind == "batch",
            holdings.c.provider == GATEWAY,
            or_(*(holdings.c.data.like(text) for text in under_way)),
        )
        async with self._database.read() as connection:
            return [Held(**row) for row in (await connection.execute(query)).mappings()]

    async def find(self, kind: Kind, id: str, tenant: str) -> Held:
        """Raises GatewayError(not_found), also for what is another tenant's."""
        from sqlalchemy import select

        from ai_gateway.storage.tables import holdings

        query = select(holdings).where(
            holdings.c.id == id[:200], holdings.c.kind == kind, holdings.c.tenant == tenant
        )
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        if row is None:
            raise GatewayError(
                "not_found", f"There is no {kind} {id[:100]!a}.", code=f"{kind}_not_found"
            )
        return Held(**row)

    async def of(
        self, kind: Kind, tenant: str, provider: str, *, after: Held | None, most: int
    ) -> list[Held]:
        """A tenant's, the newest first: those behind `after`."""
        from sqlalchemy import select, tuple_

        from ai_gateway.storage.tables import holdings

        query = select(holdings).where(
            holdings.c.kind == kind, holdings.c.provider == provider, holdings.c.tenant == tenant
        )
        if after is not None:
            place = tuple_(holdings.c.created_at, holdings.c.id)
            query = query.where(place < tuple_(after.created_at, after.id))
        query = query.order_by(holdings.c.created_at.desc(), holdings.c.id.desc()).limit(most)
        async with self._database.read() as connection:
            return [Held(**row) for row in (await connection.execute(query)).mappings()]

    async def ids(self, kind: Kind, tenant: str, provider: str) -> set[str]:
        """Of all that is a tenant's."""
        from sqlalchemy import select

        from ai_gateway.storage.tables import holdings

        query = select(holdings.c.id).where(
            holdings.c.kind == kind, holdings.c.provider == provider, holdings.c.tenant == tenant
        )
        async with self._database.read() as connection:
            return set((await connection.scalars(query)).all())

    async def forget(self, id: str) -> None:
        from sqlalchemy import delete

        from ai_gateway.storage.tables import holdings

        async with self._database.write() as connection:
            await connection.execute(delete(holdings).where(holdings.c.id == id))


def now() -> int:
    return int(time())
