"""`/admin/health`, `/admin/breakers`: how each provider's model is doing, and a hand on its breaker."""

from collections.abc import Callable
from time import time
from typing import Literal

from msgspec import Struct

from ai_gateway.edge.readiness import Readiness
from ai_gateway.routing.breaker import BreakerChange, State
from ai_gateway.routing.forced import ForcedBreakers
from ai_gateway.routing.keys import Rest
from ai_gateway.routing.probing import ProbeResult
from ai_gateway.routing.quota import Quota, quotas_told
from ai_gateway.routing.router import Router
from ai_gateway.routing.vitals import Vitals, VitalsBook

from .route import ADMINS, ALL_TENANTS, AdminCall, AdminRoute, NoteAct, not_found


class CredentialHealth(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One of the provider's credentials, with this model."""

    number: int
    """Its place among the provider's, from 0."""
    resting_for: float | None = None
    """Seconds that it is left alone for, having been throttled, refused or used up."""
    refused: bool = False
    """It rests with every model: the provider did not take it (401, 402)."""
    told_at: float | None = None
    """When the provider last told what is left, in Unix seconds."""
    quotas: list[Quota] = []


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
    concurrency_limit: int | None = None
    """As many calls at once as it is given for now; None: there is no limit."""
    turned_away: int = 0
    """How often a call found no place under that limit, since the start."""
    error_rate: float = 0.0
    probe: ProbeResult | None = None
    """The last probe of this process's, where probes are configured."""
    p95_seconds: float | None = None
    """Until the answer, or a stream's first token, over the last 128."""
    changes: list[BreakerChange] = []
    """The breaker's last 32, the latest at the end, as this process saw them."""
    credentials: list[CredentialHealth] = []
    """Those that were asked with, or could be."""


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
    forced: ForcedBreakers,
    router: Router,
    readiness: Readiness,
    clock: Callable[[], float],
    note_act: NoteAct,
    instance: str,
) -> list[AdminRoute]:
    """`instance`: this process's name, which a record of a forced breaker tells."""

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
        body: Force = call.body
        # Another process may have asked a model that this one has not.
        known = vitals.find(provider, model)
        if known is None and provider not in router.directory.configured:
            raise not_found("breaker", f"{provider}/{model}")
        before = None if known is None else known.breaker.forced
        forced.force(provider, model, body.state)
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
        return target_health(vitals.of(provider, model), clock())

    return [
        AdminRoute(method="GET", path="/admin/health", handler=health, gives=Health,
                   roles=ALL_TENANTS, summary="How each provider's model is doing", tag="health"),
        AdminRoute(method="PUT", path="/admin/breakers/{provider}/{model:path}", handler=force,
                   takes=Force, gives=TargetHealth, roles=ADMINS, tag="health",
                   summary="Force a circuit breaker open or closed in every process, or let go of it"),
    ]  # fmt: skip


def target_health(vitals: Vitals, now: float) -> TargetHealth:
    breaker = vitals.breaker
    tail, limiter = vitals.speed.tail(), vitals.limiter
    return TargetHealth(
        provider=vitals.provider,
        model=vitals.model,
        state=breaker.state,
        forced=breaker.forced,
        cause=breaker.cause,
        retry_in=round(max(0.0, breaker.retry_at - now), 3) if breaker.state == "open" else None,
        in_flight=vitals.in_flight,
        concurrency_limit=None if limiter is None else int(limiter.limit),
        turned_away=0 if limiter is None else limiter.full,
        probe=None if vitals.probing is None else vitals.probing.last,
        error_rate=round(vitals.error_rate(now), 4),
        p95_seconds=None if tail is None else round(tail, 4),
        changes=list(vitals.changes),
        credentials=[_credential(rest, now) for _, rest in sorted(vitals.rests.items())],
    )


def _credential(rest: Rest, now: float) -> CredentialHealth:
    resting = max(rest.until, rest.key.resting_until) - now
    told = rest.headers
    return CredentialHealth(
        number=rest.key.number,
        resting_for=round(resting, 3) if resting > 0 else None,
        refused=rest.key.resting_until > now,
        told_at=None if told is None else round(rest.told_at, 3),
        quotas=[] if told is None else quotas_told(told, rest.told_at, time()),
    )
