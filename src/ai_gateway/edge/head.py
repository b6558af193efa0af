"""What the head of an answer tells of its call, as the lines of that head.

Text, each line with its end, since it mostly goes straight into one write; whoever needs headers by name
(ASGI, WebSocket) takes the lines apart by `pairs`.
"""

from collections.abc import Sequence
from math import ceil
from time import perf_counter

from ai_gateway.model.attempts import attempts_trace
from ai_gateway.model.call import Outcome, Standing

JSON = "content-type: application/json\r\n"
EVENT_STREAM = (
    "content-type: text/event-stream; charset=utf-8\r\n"
    "cache-control: no-cache\r\n"
    # nginx would otherwise hold pieces of a stream back.
    "x-accel-buffering: no\r\n"
)


def account(outcome: Outcome) -> str:
    """The lines that tell a call's account."""
    request = outcome.request
    own = (perf_counter() - request.received - outcome.upstream_seconds) * 1000
    head = f"x-request-id: {request.id}\r\nx-gateway-overhead-ms: {own:.3f}\r\n"
    if outcome.call_id:
        head += f"x-gateway-call-id: {outcome.call_id}\r\n"
    if request.dialect == "anthropic_messages":
        head += f"request-id: {request.id}\r\n"
    target = outcome.target
    if target is not None:
        attempts = outcome.attempts
        head += (
            f"x-gateway-provider: {target.provider}\r\n"
            f"x-gateway-model: {_value(target.model)}\r\n"
            f"x-gateway-attempts: {len(attempts)}\r\n"
        )
        if outcome.attempts_shown and attempts:
            head += f"x-gateway-attempts-trace: {attempts_trace(attempts)}\r\n"
    if outcome.requests_left is not None:
        head += _standing(outcome.requests_left, "requests")
    if outcome.tokens_left is not None:
        head += _standing(outcome.tokens_left, "tokens")
    if outcome.budget_warning is not None:
        head += f"x-gateway-budget-warning: {_value(outcome.budget_warning)}\r\n"
    if outcome.degraded:
        head += "x-gateway-degraded: limits\r\n"
    if outcome.variant is not None:
        head += f"x-gateway-variant: {outcome.variant}\r\n"
    if outcome.cost is not None:
        head += f"x-gateway-cost-usd: {outcome.cost:f}\r\n"
    if outcome.cache is not None:
        head += f"x-gateway-cache: {outcome.cache}\r\n"
        if outcome.cache_key is not None:
            head += f"x-gateway-cache-key: {_value(outcome.cache_key)}\r\n"
        if outcome.cache_age is not None:
            head += f"age: {int(outcome.cache_age)}\r\n"
    if outcome.notes:
        head += f"x-gateway-notes: {_value('; '.join(outcome.notes))}\r\n"
    return head


def head_of_whole(outcome: Outcome, body: bytes, headers: Sequence[tuple[str, str]]) -> str:
    """The lines of a JSON answer's head, its own `headers` among them."""
    head = f"{account(outcome)}{JSON}content-length: {len(body)}\r\n"
    for name, value in headers:
        head += f"{name}: {_value(value)}\r\n"
    return head


def pairs(head: str) -> list[tuple[bytes, bytes]]:
    """Its headers."""
    found: list[tuple[bytes, bytes]] = []
    for line in head.encode("ascii").split(b"\r\n")[:-1]:
        name, _, value = line.partition(b": ")
        found.append((name, value))
    return found


def _standing(standing: Standing, unit: str) -> str:
    lines = (
        f"x-ratelimit-limit-{unit}: {standing.limit}\r\n"
        f"x-ratelimit-remaining-{unit}: {standing.remaining}\r\n"
    )
    if standing.reset is None:
        return lines
    return f"{lines}x-ratelimit-reset-{unit}: {_duration(standing.reset)}\r\n"


def _duration(seconds: float) -> str:
    """As OpenAI writes them: `17ms`, `8.64s`, `6m0s`, `1h2m3s`."""
    if seconds < 1:
        return f"{ceil(seconds * 1000)}ms"
    if seconds < 60:
        return f"{ceil(seconds * 1000) / 1000:g}s"
    minutes, rest = divmod(ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s"


def _value(text: str) -> str:
    """Printable ASCII; anything else is escaped, so that no name can break out of its header."""
    if text.isascii() and text.isprintable():
        return text
    return text.encode("unicode_escape").decode("ascii")
