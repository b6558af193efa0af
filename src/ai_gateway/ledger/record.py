"""A call's line in the spool: what the ledger keeps of it."""

from datetime import datetime
from decimal import Decimal
from random import getrandbits
from time import time
from typing import Any

from msgspec import DecodeError, Struct
from msgspec.json import Decoder, Encoder

from ai_gateway.model.call import Outcome

PICO = 10**12
"""Pico-dollars in a dollar: see `storage.tables`."""
_PICO = Decimal(PICO)
SIMILARITY = 10_000
_LONGEST_NAME = 256
_ANSWERED_FROM_CACHE = frozenset({"hit", "semantic", "joined"})


def new_call_id() -> str:
    """32 hexadecimal digits that begin with the time in milliseconds: ids sort as their calls came."""
    return f"{int(time() * 1000):012x}{getrandbits(80):020x}"


def time_of(call_id: str) -> int:
    """Milliseconds since the epoch."""
    return int(call_id[:12], 16)


def first_id(at: datetime) -> str:
    """No call of that time or later has an id that sorts before it."""
    return f"{int(at.timestamp() * 1000):012x}"


def dollars(pico: int) -> Decimal:
    """Exact, without zeros behind."""
    value = (Decimal(pico) / PICO).normalize()
    return value if value else Decimal(0)


def is_accountable(outcome: Outcome) -> bool:
    """Whether a call belongs into the ledger: a provider was asked for somebody, or an answer came
    without asking. What was refused before is in the log and the metrics; nobody fills the ledger by
    being refused."""
    return outcome.caller is not None and (
        bool(outcome.attempts) or outcome.cache in _ANSWERED_FROM_CACHE or outcome.status == 200
    )


class StepRun(Struct, frozen=True, array_like=True):
    """A step of the path. Times are microseconds since the call came."""

    name: str
    begun: int
    ended: int


class AttemptRun(Struct, frozen=True, array_like=True):
    """One asking of one provider."""

    provider: str
    model: str
    begun: int
    ended: int
    status: int
    """0 where no answer came."""
    error: str | None


class Course(Struct, frozen=True, array_like=True):
    """Where a call's time went."""

    steps: tuple[StepRun, ...] = ()
    attempts: tuple[AttemptRun, ...] = ()


class UsageRecord(Struct, frozen=True, omit_defaults=True):
    """The columns of the table `usage`. What has a default is NULL there when left out.

    A field that a later version adds needs a default: spools outlive versions.
    """

    id: str
    at: int
    tenant: str
    user: str
    request_id: str
    operation: str
    endpoint: str
    requested_model: str
    provider: str
    model: str
    stream: bool
    status: int
    attempts: int
    usage_known: bool
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    audio_tokens: int
    duration_us: int
    upstream_us: int
    key_id: str | None = None
    route: str | None = None
    error: str | None = None
    cache: str | None = None
    cost_pico: int | None = None
    saved_pico: int | None = None
    price_version: str | None = None
    first_token_us: int | None = None
    tags: str | None = None
    """JSON."""
    experiment: str | None = None
    variant: str | None = None
    shadow_of: str | None = None
    """The call whose copy this is."""
    course: Course | str | None = None
    """As JSON in the table. A string is that JSON, as lines once held it."""
    trace_id: str | None = None
    cache_key: str | None = None
    """Of the stored answer that it was given."""
    similarity: int | None = None
    """Of its question to the stored one, in ten-thousandths, where it was found by meaning."""


_encode = Encoder().encode
_decode = Decoder(UsageRecord).decode


def is_record(line: bytes) -> bool:
    return _read(line) is not None


def settled_at(line: bytes) -> float | None:
    """When the call of a line was over, in seconds since 1970; None for what is no record."""
    record = _read(line)
    return None if record is None else record.at / 1000 + record.duration_us / 1e6


def _read(line: bytes) -> UsageRecord | None:
    try:
        return _decode(line)
    except (DecodeError, UnicodeDecodeError):
        return None


def record_of(outcome: Outcome, seconds: float, price_version: str) -> bytes:
    """One line, with its end. `seconds`: how long the call has taken."""
    caller, target, usage, request = outcome.caller, outcome.target, outcome.usage, outcome.request
    assert caller is not None
    cost, saved, first = outcome.cost, outcome.saved, outcome.first_token_seconds
    trace = outcome.trace
    cached = outcome.cache in _ANSWERED_FROM_CACHE
    alike = outcome.similarity if cached else None
    # By place: msgspec looks for each name among all fields, which with so many takes longer than
    # everything else here.
    record = UsageRecord(
        outcome.call_id,
        time_of(outcome.call_id),
        caller.tenant,
        caller.user,
        request.id,
        request.operation,
        request.endpoint,
        _name(outcome.requested_model),
        "" if target is None else target.provider,
        "" if target is None else _name(target.model),
        outcome.stream,
        outcome.status,
        len(outcome.attempts),
        outcome.usage_known,
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_5m_tokens + usage.cache_write_1h_tokens,
        usage.reasoning_tokens,
        usage.input_audio_tokens + usage.output_audio_tokens,
        int(seconds * 1e6),
        int(outcome.upstream_seconds * 1e6),
        caller.key_id,
        outcome.route,
        outcome.error,
        outcome.cache,
        None if cost is None else round(cost * _PICO),
        None if saved is None else round(saved * _PICO),
        None if cost is None else price_version,
        None if first is None else int(first * 1e6),
        _encode(tuple(dict.fromkeys(caller.tags))).decode() if caller.tags else None,
        outcome.experiment,
        outcome.variant,
        outcome.shadow_of,
        _course(outcome, seconds),
        None if trace is None else f"{trace.trace_id:032x}",
        outcome.cache_key if cached else None,
        None if alike is None else round(alike * SIMILARITY),
    )
    return _encode(record) + b"\n"


def _course(outcome: Outcome, seconds: float) -> Any:
    """A `Course`, or what is written like one: none is made, as this is done for every call. An attempt's
    own time is up to its answer; a stream's goes on until the call is over."""
    since = outcome.request.received
    steps = [
        (name, int((begun - since) * 1e6), int((ended - since) * 1e6))
        for name, begun, ended in outcome.stages
    ]
    attempts = outcome.attempts
    flows = outcome.stream and outcome.first_token_seconds is not None
    runs: list[tuple[str, str, int, int, int, str | None]] = []
    for one in attempts:
        begun = one.started - since
        whole = not one.seconds or (flows and one is attempts[-1])
        ended = seconds if whole else begun + one.seconds
        target = one.target
        runs.append(
            (target.provider, target.model[:_LONGEST_NAME], int(begun * 1e6), int(ended * 1e6),
             one.status, one.error)
        )  # fmt: skip
    return steps, runs


def _name(given: str) -> str:
    """A name that a caller chose, fit for any database: PostgreSQL takes no NUL."""
    cut = given[:_LONGEST_NAME]
    return cut if cut.isprintable() else ascii(cut)[1:-1][:_LONGEST_NAME]
