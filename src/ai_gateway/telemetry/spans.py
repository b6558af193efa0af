"""A settled call as spans, by OpenTelemetry's semantic conventions (HTTP stable, GenAI 1.41).

    POST /v1/chat/completions     server    the whole call
      queue, guard, admit, recall internal  steps that took their time
      chat gpt-4o                 client    one for each attempt
        stream                    internal  from the first piece of answer to the last

Nothing here holds a prompt, an answer or a key.
"""

from collections.abc import Callable
from time import perf_counter, time_ns
from typing import Literal

from msgspec import Struct

from ai_gateway.model.call import Attempt, Outcome
from ai_gateway.model.trace import Trace, new_span_id

from .asked import Value, asked_attributes

Kind = Literal["server", "client", "internal"]
Server = tuple[str, int]
"""Where a provider listens: host and port."""
ServerOf = Callable[[str], Server | None]

_LONGEST = 256


class Span(Struct, kw_only=True):
    name: str
    kind: Kind
    trace_id: int
    span_id: int
    parent_id: int | None
    state: str | None
    start: int
    """Nanoseconds since 1970, as is `end`."""
    end: int
    attributes: dict[str, Value]
    error: str | None = None
    """Where it failed, of what."""


class Attribute(Struct, frozen=True):
    name: str
    span: Literal["server", "step", "attempt", "stream"]
    help: str


ATTRIBUTES = (
    Attribute("http.request.method", "server", "POST"),
    Attribute("http.route", "server", "the endpoint, such as `/v1/chat/completions`"),
    Attribute("url.path", "server", "the same"),
    Attribute("url.scheme", "server", "http"),
    Attribute("http.response.status_code", "server", "499: the caller left before an answer"),
    Attribute("server.address", "server", "the host that the caller named"),
    Attribute("user_agent.original", "server", "the caller's program"),
    Attribute("error.type", "server", "the kind of error"),
    Attribute("user.id", "server", "the user who asked"),
    Attribute("gateway.request_id", "server", "as in `x-request-id` and the log"),
    Attribute("gateway.call_id", "server", "as in `x-gateway-call-id`, the ledger and the audit"),
    Attribute("gateway.tenant", "server", "whose call it is"),
    Attribute("gateway.key_id", "server", "the id of the key, never the key"),
    Attribute("gateway.requested_model", "server", "the name the caller used"),
    Attribute("gateway.route", "server", "the route that the name meant"),
    Attribute("gateway.cache", "server", "hit, semantic, joined, miss, bypass"),
    Attribute("gateway.attempts", "server", "how many providers were asked"),
    Attribute("gateway.cost_usd", "server", "what it cost"),
    Attribute("gateway.overhead_ms", "server", "the gateway's own time"),
    Attribute("gateway.notes", "server", "what translation left out"),
    Attribute("gateway.guardrails", "server", "what guardrails did"),
    Attribute("gen_ai.operation.name", "attempt", "chat, embeddings, ..."),
    Attribute("gen_ai.provider.name", "attempt", "the conventions' name of the provider"),
    Attribute("gen_ai.request.model", "attempt", "the provider's name of the model"),
    Attribute("gen_ai.request.stream", "attempt", "true for a stream"),
    Attribute("gen_ai.request.max_tokens", "attempt", "as the caller asked, like the next ones"),
    Attribute("gen_ai.request.temperature", "attempt", ""),
    Attribute("gen_ai.request.top_p", "attempt", ""),
    Attribute("gen_ai.request.top_k", "attempt", ""),
    Attribute("gen_ai.request.frequency_penalty", "attempt", ""),
    Attribute("gen_ai.request.presence_penalty", "attempt", ""),
    Attribute("gen_ai.request.seed", "attempt", ""),
    Attribute("gen_ai.request.choice.count", "attempt", "where it is not 1"),
    Attribute("gen_ai.request.reasoning.level", "attempt", "the effort that was asked for"),
    Attribute("gen_ai.request.encoding_formats", "attempt", "embeddings: float or base64"),
    Attribute("gen_ai.embeddings.dimension.count", "attempt", "embeddings: as asked for"),
    Attribute(
        "openai.api.type", "attempt", "chat_completions or responses, where the caller speaks it"
    ),
    Attribute("openai.request.service_tier", "attempt", "where it is not auto"),
    Attribute("gen_ai.output.type", "attempt", "json where a JSON answer was asked for"),
    Attribute("gen_ai.response.model", "attempt", "as the provider names it"),
    Attribute("gen_ai.response.finish_reasons", "attempt", "why the model stopped"),
    Attribute("gen_ai.response.time_to_first_chunk", "attempt", "seconds, streams only"),
    Attribute("gen_ai.usage.input_tokens", "attempt", "cache reads and writes included"),
    Attribute("gen_ai.usage.output_tokens", "attempt", "reasoning included"),
    Attribute("gen_ai.usage.cache_read.input_tokens", "attempt", ""),
    Attribute("gen_ai.usage.cache_creation.input_tokens", "attempt", ""),
    Attribute("gen_ai.usage.reasoning.output_tokens", "attempt", ""),
    Attribute("gateway.provider", "attempt", "the gateway's name of the provider"),
    Attribute("gateway.upstream_request_id", "attempt", "the provider's id of the request"),
    Attribute("server.address", "attempt", "where the provider listens"),
    Attribute("server.port", "attempt", ""),
    Attribute("http.request.method", "attempt", "POST"),
    Attribute(
        "http.request.resend_count", "attempt", "from the second attempt on: how many came before"
    ),
    Attribute("http.response.status_code", "attempt", "the provider's, where one came"),
    Attribute("error.type", "attempt", "what failed"),
)

# The conventions' well-known names, where they differ from the gateway's.
_PROVIDER_NAMES = {
    "mistral": "mistral_ai",
    "gemini": "gcp.gemini",
    "google": "gcp.gemini",
    "vertex": "gcp.vertex_ai",
    "bedrock": "aws.bedrock",
    "azure": "azure.ai.openai",
    "xai": "x_ai",
    "watsonx": "ibm.watsonx.ai",
}
_OPERATION_NAMES = {"chat": "chat", "embeddings": "embeddings", "completions": "text_completion"}


def spans_of(
    outcome: Outcome, trace: Trace, server_of: ServerOf = lambda provider: None
) -> list[Span]:
    """The call's spans, its own first. The Outcome must be settled."""
    now, now_ns = perf_counter(), time_ns()

    def at(moment: float) -> int:
        return now_ns - round((now - moment) * 1e9)

    begun = outcome.request.received
    ended = begun + outcome.total_seconds
    spans = [
        Span(
            name=f"POST {outcome.request.endpoint}",
            kind="server",
            trace_id=trace.trace_id,
            span_id=trace.span_id,
            parent_id=trace.parent_id,
            state=trace.state,
            start=at(begun),
            end=at(ended),
            attributes=_server_attributes(outcome),
            # By the conventions, what the caller did wrong is no error of a server's span.
            error=outcome.error if outcome.status >= 500 else None,
        )
    ]
    for name, start, end in outcome.stages:
        spans.append(_step(trace, trace.span_id, name, at(start), at(end)))
    if outcome.attempts:
        asked = asked_attributes(outcome.request, outcome.stream)
        for number, attempt in enumerate(outcome.attempts):
            of_attempt = _attempt_spans(outcome, trace, attempt, asked, ended, at)
            server = server_of(attempt.target.provider)
            if server is not None:
                found = of_attempt[0].attributes
                found["server.address"], found["server.port"] = server
            if number:
                of_attempt[0].attributes["http.request.resend_count"] = number
            spans += of_attempt
    return spans


def _step(trace: Trace, parent: int, name: str, start: int, end: int) -> Span:
    return Span(
        name=name,
        kind="internal",
        trace_id=trace.trace_id,
        span_id=new_span_id(),
        parent_id=parent,
        state=trace.state,
        start=start,
        end=end,
        attributes={},
    )


def _server_attributes(outcome: Outcome) -> dict[str, Value]:
    request, caller = outcome.request, outcome.caller
    own = max(0.0, outcome.total_seconds - outcome.upstream_seconds)
    found: dict[str, Value] = {
        "http.request.method": "POST",
        "http.route": request.endpoint,
        "url.path": request.endpoint,
        "url.scheme": "http",
        "http.response.status_code": outcome.status,
        "gateway.request_id": request.id,
        "gateway.call_id": outcome.call_id,
        "gateway.requested_model": outcome.requested_model[:_LONGEST],
        "gateway.attempts": len(outcome.attempts),
        "gateway.overhead_ms": round(own * 1000, 3),
    }
    host = request.headers.get(b"host")
    if host:
        found["server.address"] = _text(host.rpartition(b":")[0] or host)
    agent = request.headers.get(b"user-agent")
    if agent:
        found["user_agent.original"] = _text(agent)
    if caller is not None:
        found["gateway.tenant"] = caller.tenant
        found["user.id"] = caller.user[:_LONGEST]
        if caller.key_id is not None:
            found["gateway.key_id"] = caller.key_id
    if outcome.route is not None:
        found["gateway.route"] = outcome.route
    if outcome.cache is not None:
        found["gateway.cache"] = outcome.cache
    if outcome.cost is not None:
        found["gateway.cost_usd"] = float(outcome.cost)
    if outcome.notes:
        found["gateway.notes"] = list(outcome.notes)
    if outcome.guardrails:
        found["gateway.guardrails"] = list(outcome.guardrails)
    if outcome.error is not None:
        found["error.type"] = outcome.error
    return found


def _text(header: bytes) -> str:
    return header[:_LONGEST].decode("utf-8", "replace")


def _attempt_spans(
    outcome: Outcome,
    trace: Trace,
    attempt: Attempt,
    asked: dict[str, Value],
    ended: float,
    at: Callable[[float], int],
) -> list[Span]:
    target = attempt.target
    last = attempt is outcome.attempts[-1]
    operation = _OPERATION_NAMES.get(outcome.request.operation, outcome.request.operation)
    error = attempt.error or (outcome.error if last else None)
    found: dict[str, Value] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": _PROVIDER_NAMES.get(target.provider, target.provider),
        "gen_ai.request.model": target.model[:_LONGEST],
        "gateway.provider": target.provider,
        "http.request.method": "POST",
        **asked,
    }
    if attempt.status:
        found["http.response.status_code"] = attempt.status
    if error is not None:
        found["error.type"] = error
    if last:
        found.update(_answer_attributes(outcome))
    # An attempt's own time is up to its answer; a stream's goes on until the call is over.
    flowed = last and outcome.stream and outcome.first_token_seconds is not None
    end = ended if flowed or not attempt.seconds else attempt.started + attempt.seconds
    span = Span(
        name=f"{operation} {target.model[:_LONGEST]}",
        kind="client",
        trace_id=trace.trace_id,
        span_id=attempt.span_id or new_span_id(),
        parent_id=trace.span_id,
        state=trace.state,
        start=at(attempt.started),
        end=at(end),
        attributes=found,
        error=error,
    )
    if not flowed or outcome.first_token_seconds is None:
        return [span]
    first = min(attempt.started + outcome.first_token_seconds, end)
    return [span, _step(trace, span.span_id, "stream", at(first), at(end))]


def _answer_attributes(outcome: Outcome) -> dict[str, Value]:
    usage = outcome.usage
    found: dict[str, Value] = {}
    if outcome.answered_model is not None:
        found["gen_ai.response.model"] = outcome.answered_model[:_LONGEST]
    if outcome.stop is not None:
        found["gen_ai.response.finish_reasons"] = [outcome.stop]
    if outcome.first_token_seconds is not None:
        found["gen_ai.response.time_to_first_chunk"] = round(outcome.first_token_seconds, 6)
    if outcome.upstream_request_id is not None:
        found["gateway.upstream_request_id"] = outcome.upstream_request_id
    if outcome.usage_known:
        found["gen_ai.usage.input_tokens"] = usage.input_tokens
        found["gen_ai.usage.output_tokens"] = usage.output_tokens
        written = usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
        if usage.cache_read_tokens:
            found["gen_ai.usage.cache_read.input_tokens"] = usage.cache_read_tokens
        if written:
            found["gen_ai.usage.cache_creation.input_tokens"] = written
        if usage.reasoning_tokens:
            found["gen_ai.usage.reasoning.output_tokens"] = usage.reasoning_tokens
    return found
