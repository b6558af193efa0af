"""`/admin/health`, `/admin/breakers`: how each provider's model is doing, and a hand on its breaker."""

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from ai_gateway.edge.readiness import Readiness
from ai_gateway.routing.breaker import State
from ai_gateway.routing.vitals import Vitals, VitalsBook

from .route import ADMINS, ALL_TENANTS, AdminCall, AdminRoute, NoteAct, not_found


class TargetHealth(Struct, frozen=True, kw_only=True, omit_defaults=True):
    provider: str
    model: str
    state: State
    forced: Literal["open", "closed"] | None = None
    cause: str | None = None
    """Why the breaker is not closed."""
    retry_in: float | None = None
    """Seconds until an open breaker lets a call through."""
    in_flight: int = 0
    error_rate: float = 0.0
    p95_seconds: float | None = None
    """Until the answer, or a stream's first token, over the last 128."""


class Health(Struct, frozen=True, kw_only=True):
    ready: bool
    reasons: list[str]
    notes: list[str]
    targets: list[TargetHealth]


class Force(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    state: Literal["open", "closed"] | None
    """None gives the breaker back to its own judgement."""


def health_routes(
    vitals: VitalsBook,
    readiness: Readiness,
    clock: Callable[[], float],
    note_act: NoteAct,
    instance: str,
) -> list[AdminRoute]:
    """`instance`: this process's name, which alone a forced breaker concerns."""

    async def health(call: AdminCall) -> Health:
        now = clock()
        reasons = readiness.reasons()
        return Health(
            ready=not reasons,
            reasons=reasons,
            notes=readiness.notes(),
            targets=[target_health(v, now) for v in vitals.all()],
        )

    async def force(call: AdminCall) -> TargetHealth:
        provider, model = call.path["provider"], call.path["model"]
        found = vitals.find(provider, model)
        if found is None:
            raise not_found("breaker", f"{provider}/{model}")
        body: Force = call.body
        before = found.breaker.forced
        found.breaker.force(body.state)
        note_act(
            actor=call.actor.name,
            action="force breaker",
            tenant=None,
            target=f"{provider}/{model}",
            detail={
                "before": {"forced": before},
                "after": {"forced": body.state},
                "instance": instance,
            },
        )
        return target_health(found, clock())

    return [
        AdminRoute(method="GET", path="/admin/health", handler=health, gives=Health,
                   roles=ALL_TENANTS, summary="How each provider's model is doing", tag="health"),
        AdminRoute(method="PUT", path="/admin/breakers/{provider}/{model:path}", handler=force,
                   takes=Force, gives=TargetHealth, roles=ADMINS, tag="health",
                   summary="Force a circuit breaker open or closed in this process, or let go of it"),
    ]  # fmt: skip


def target_health(vitals: Vitals, now: float) -> TargetHealth:
    breaker = vitals.breaker
    tail = vitals.speed.tail()
    return TargetHealth(
        provider=vitals.provider,
        model=vitals.model,
        state=breaker.state,
        forced=breaker.forced,
        cause=breaker.cause,
        retry_in=round(max(0.0, breaker.retry_at - now), 3) if breaker.state == "open" else None,
        in_flight=vitals.in_flight,
        error_rate=round(vitals.error_rate(now), 4),
        p95_seconds=None if tail is None else round(tail, 4),
    )
