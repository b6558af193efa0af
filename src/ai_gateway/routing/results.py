"""Reckons an experiment's report, from the ledger and the feedback. Imports SQLAlchemy: loaded when asked for."""

from time import time

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Float, and_, case, cast, delete, func, insert, or_, select

from ai_gateway.model.route import Experiment
from ai_gateway.storage.database import Database
from ai_gateway.storage.tables import feedback, usage

from .experiment_report import ExperimentReport, Feedback, VariantReport
from .statistics import Difference, Sample, chances_to_be_best, difference, rate

PICO = 1e12


async def keep_feedback(database: Database, tenant: str, user: str, given: Feedback) -> None:
    """Raises DatabaseUnavailable."""
    c = feedback.c
    where = and_(c.tenant == tenant, c.call == given.call, c.user == user)
    row = {
        "tenant": tenant, "call": given.call, "user": user, "at": int(time()),
        "score": given.score, "label": given.label, "comment": given.comment,
    }  # fmt: skip
    async with database.write() as connection:
        await connection.execute(delete(feedback).where(where))
        await connection.execute(insert(feedback).values(row))


class _Found(Struct):
    errors: Sample = Sample(0, 0.0, 0.0)
    cost: Sample = Sample(0, 0.0, 0.0)
    scores: Sample = Sample(0, 0.0, 0.0)


async def report(
    database: Database, route: str, experiment: Experiment, stopped: str | None
) -> ExperimentReport:
    """Calls whose callers left, and those answered from the cache, are left out. Raises
    DatabaseUnavailable."""
    u = usage.c
    where = and_(
        u.route == route,
        u.experiment == experiment.name,
        or_(u.error.is_(None), u.error != "cancelled"),
        or_(u.cache.is_(None), u.cache.in_(("miss", "bypass"))),
    )
    cost = cast(u.cost_pico, Float) / PICO
    sums = select(
        u.variant, func.count(), func.sum(case((u.error.is_(None), 0), else_=1)),
        func.avg(u.duration_us), func.count(u.cost_pico), func.sum(cost), func.sum(cost * cost),
    ).where(where).group_by(u.variant)  # fmt: skip
    of_call = and_(
        feedback.c.tenant == u.tenant,
        or_(feedback.c.call == u.id, feedback.c.call == u.request_id),
    )
    score = feedback.c.score
    said = select(
        u.variant, func.count(score), func.sum(score), func.sum(score * score)
    ).select_from(usage.join(feedback, of_call)).where(where).group_by(u.variant)  # fmt: skip
    labelled = select(u.variant, feedback.c.label, func.count()).select_from(
        usage.join(feedback, of_call)
    ).where(where, feedback.c.label.is_not(None)).group_by(u.variant, feedback.c.label).limit(1000)  # fmt: skip
    rows: dict[str, VariantReport] = {}
    found: dict[str, _Found] = {v.name: _Found() for v in experiment.variants}
    shares = sum(v.share for v in experiment.variants)
    async with database.read() as connection:
        summed = {row[0]: row for row in (await connection.execute(sums)).all()}
        scored = {row[0]: row for row in (await connection.execute(said)).all()}
        labels: dict[str, dict[str, int]] = {}
        for name, label, count in (await connection.execute(labelled)).all():
            labels.setdefault(name, {})[label] = count
        for variant in experiment.variants:
            name, share = variant.name, variant.share / shares
            row = summed.get(name)
            if row is None:
                rows[name] = VariantReport(name=name, share=share)
                continue
            _, calls, errors, mean_us, priced, total, squares = row
            tails: list[float] = []
            for tail in (0.5, 0.95, 0.99):
                at = select(u.duration_us).where(where, u.variant == name)
                at = at.order_by(u.duration_us).offset(min(calls - 1, int(calls * tail))).limit(1)
                tails.append((await connection.execute(at)).scalar_one() / 1e6)
            kept = found[name]
            kept.errors = rate(calls, int(errors))
            kept.cost = Sample(priced, float(total or 0), float(squares or 0))
            heard = scored.get(name)
            if heard is not None:
                kept.scores = Sample(heard[1], float(heard[2] or 0), float(heard[3] or 0))
            rows[name] = VariantReport(
                name=name, share=share, calls=calls, errors=int(errors),
                error_rate=int(errors) / calls, p50_seconds=tails[0], p95_seconds=tails[1],
                p99_seconds=tails[2], mean_seconds=float(mean_us) / 1e6,
                cost_usd=kept.cost.total, mean_cost_usd=kept.cost.mean if priced else None,
                scores=kept.scores.count,
                mean_score=kept.scores.mean if kept.scores.count else None,
                labels=labels.get(name, {}),
            )  # fmt: skip
    return ExperimentReport(
        route=route,
        experiment=experiment.name,
        running=experiment.running and stopped is None,
        stopped_because=stopped,
        alpha=0.05,
        variants=_compared(experiment, rows, found),
    )


def _compared(
    experiment: Experiment, rows: dict[str, VariantReport], found: dict[str, _Found]
) -> list[VariantReport]:
    names = [v.name for v in experiment.variants]
    first, comparisons = found[names[0]], len(names) - 1
    best_score = chances_to_be_best([found[n].scores for n in names])
    least_errors = chances_to_be_best([found[n].errors for n in names], lower_is_better=True)
    least_cost = chances_to_be_best([found[n].cost for n in names], lower_is_better=True)
    out: list[VariantReport] = []
    for at, name in enumerate(names):
        own = found[name]

        def apart(mine: Sample, theirs: Sample, at: int = at) -> Difference | None:
            return difference(mine, theirs, comparisons=comparisons) if at else None

        out.append(
            replace(
                rows[name],
                chance_best_score=best_score[at] if best_score else None,
                chance_lowest_errors=least_errors[at] if least_errors else None,
                chance_lowest_cost=least_cost[at] if least_cost else None,
                error_difference=apart(own.errors, first.errors),
                cost_difference=apart(own.cost, first.cost),
                score_difference=apart(own.scores, first.scores),
            )
        )
    return out
