"""What the cache gave again, from the ledger: which answers, how often, how alike the questions were."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import and_, case, func, select

from ai_gateway.model.usage_report import CacheEntryUse, CacheUse, SimilarityReport, SimilarityStep
from ai_gateway.storage.database import Database
from ai_gateway.storage.tables import feedback, usage

from .record import SIMILARITY, dollars, first_id, time_of

LOOKED_AT = 20_000
BAD_HIT = "bad_cache_hit"
"""The label of feedback that says so."""
_STEPS = 200
"""To one of similarity."""


async def entries(
    database: Database, tenant: str | None, *, start: datetime, limit: int
) -> CacheUse:
    """Those that saved most first. Raises DatabaseUnavailable."""
    of = _looked_at(tenant, start).subquery().c
    found = (
        select(
            of.cache_key,
            func.min(of.tenant).label("tenant"),
            func.max(of.requested_model).label("model"),
            func.count().label("hits"),
            func.sum(case((of.similarity.is_not(None), 1), else_=0)).label("semantic"),
            func.sum(func.coalesce(of.saved_pico, 0)).label("saved"),
            func.max(of.id).label("last"),
        )
        .group_by(of.cache_key)
        .order_by(func.sum(func.coalesce(of.saved_pico, 0)).desc(), func.count().desc())
        .limit(limit)
    )
    async with database.read() as connection:
        calls = (
            await connection.execute(select(func.count()).select_from(of.id.table))
        ).scalar_one()
        rows = (await connection.execute(found)).all()
    return CacheUse(
        looked_at=LOOKED_AT,
        calls=calls,
        entries=[
            CacheEntryUse(
                key=row.cache_key,
                tenant=row.tenant,
                model=row.model,
                hits=row.hits,
                semantic=row.semantic,
                saved_usd=Decimal(0) if not row.saved else dollars(int(row.saved)),
                last_call=row.last,
                last_at=datetime.fromtimestamp(time_of(row.last) / 1000, UTC),
            )
            for row in rows
        ],
    )


async def similarities(
    database: Database, tenant: str | None, *, start: datetime
) -> SimilarityReport:
    """Raises DatabaseUnavailable."""
    of = _looked_at(tenant, start).subquery().c
    step = of.similarity // (SIMILARITY // _STEPS)
    said = and_(
        feedback.c.tenant == of.tenant, feedback.c.call == of.id, feedback.c.label == BAD_HIT
    )
    bad = select(feedback.c.call).where(said).exists()
    statement = (
        select(step, func.count(), func.sum(case((bad, 1), else_=0)))
        .where(of.similarity.is_not(None))
        .group_by(step)
        .order_by(step)
    )
    async with database.read() as connection:
        rows = (await connection.execute(statement)).all()
    return SimilarityReport(
        looked_at=LOOKED_AT,
        steps=[
            SimilarityStep(similarity=at / _STEPS, hits=hits, reported=int(reported))
            for at, hits, reported in rows
        ],
    )


def _looked_at(tenant: str | None, start: datetime) -> Any:
    newest: Any = (
        select(
            usage.c.id, usage.c.tenant, usage.c.requested_model, usage.c.cache_key,
            usage.c.saved_pico, usage.c.similarity,
        )
        .where(usage.c.cache_key.is_not(None), usage.c.id >= first_id(start))
        .order_by(usage.c.id.desc())
        .limit(LOOKED_AT)
    )  # fmt: skip
    return newest if tenant is None else newest.where(usage.c.tenant == tenant)
