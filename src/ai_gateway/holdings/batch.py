"""A batch in OpenAI's shape, and the lines of its files. Sans-io.

platform.openai.com/docs/api-reference/batch
"""

from typing import Literal

import msgspec
from msgspec import Raw, Struct, field

from ai_gateway.model.call import Caller, Operation
from ai_gateway.model.errors import GatewayError

Status = Literal[
    "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling",
    "cancelled",
]  # fmt: skip
ENDED: frozenset[Status] = frozenset({"failed", "completed", "expired", "cancelled"})
MOST_LINES = 50_000
_DAY = 86_400

ENDPOINTS: dict[str, tuple[Operation, str]] = {
    "/v1/chat/completions": ("chat", "openai_chat"),
    "/v1/responses": ("chat", "openai_responses"),
    "/v1/messages": ("chat", "anthropic_messages"),
    "/v1/embeddings": ("embeddings", "openai_chat"),
    "/v1/moderations": ("moderations", "openai_chat"),
}
"""Where a batch's calls may go: the operation, and the dialect of their bodies."""


class Counts(Struct, kw_only=True):
    total: int = 0
    completed: int = 0
    failed: int = 0


class LineError(Struct, frozen=True, kw_only=True):
    code: str
    message: str
    line: int | None = None
    param: str | None = None


class LineErrors(Struct, frozen=True, kw_only=True):
    object: str = "list"
    data: list[LineError]


class Batch(Struct, kw_only=True):
    id: str
    object: str = "batch"
    endpoint: str
    errors: LineErrors | None = None
    input_file_id: str
    completion_window: str = "24h"
    status: Status = "validating"
    output_file_id: str | None = None
    error_file_id: str | None = None
    created_at: int
    in_progress_at: int | None = None
    expires_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    request_counts: Counts = field(default_factory=Counts)
    metadata: dict[str, str] | None = None


class Job(Struct, kw_only=True):
    """A batch and on whose behalf it runs."""

    batch: Batch
    caller: Caller


class BatchRequest(Struct, frozen=True, kw_only=True):
    """What a caller asks for."""

    input_file_id: str
    endpoint: str
    completion_window: str = "24h"
    metadata: dict[str, str] | None = None


class Line(Struct, frozen=True, kw_only=True):
    """A line of the input file."""

    custom_id: str
    method: str = "POST"
    url: str
    body: Raw


class LineResponse(Struct, frozen=True, kw_only=True):
    status_code: int
    request_id: str
    body: Raw


class Result(Struct, frozen=True, kw_only=True):
    """A line of the output or the error file."""

    id: str
    custom_id: str
    response: LineResponse | None = None
    error: LineError | None = None


class _Body(Struct, frozen=True):
    stream: bool | None = None


_decode_body = msgspec.json.Decoder(_Body)
decode_line = msgspec.json.Decoder(Line)
decode_job = msgspec.json.Decoder(Job)


def new_batch(id: str, asked: BatchRequest, now: int) -> Batch:
    """Raises GatewayError(invalid_request)."""
    if asked.endpoint not in ENDPOINTS:
        raise GatewayError(
            "invalid_request",
            f"endpoint: must be one of {', '.join(ENDPOINTS)}.",
            field="endpoint",
        )
    if asked.completion_window != "24h":
        raise GatewayError(
            "invalid_request", "completion_window: must be 24h.", field="completion_window"
        )
    return Batch(
        id=id,
        endpoint=asked.endpoint,
        input_file_id=asked.input_file_id,
        created_at=now,
        expires_at=now + _DAY,
        metadata=asked.metadata,
    )


def read_lines(data: bytes, endpoint: str) -> tuple[list[Line], list[LineError]]:
    """The lines of an input file, and everything that is wrong with it."""
    lines: list[Line] = []
    errors: list[LineError] = []
    seen: set[str] = set()
    for number, text in enumerate(data.splitlines(), 1):
        if not text.strip():
            continue
        try:
            line = decode_line.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            errors.append(LineError(code="invalid_line", message=str(error)[:200], line=number))
            continue
        problem = _problem(line, endpoint, seen)
        if problem is not None:
            errors.append(LineError(code="invalid_line", message=problem, line=number))
        seen.add(line.custom_id)
        lines.append(line)
    if not lines and not errors:
        errors.append(LineError(code="empty_file", message="The file holds no line."))
    if len(lines) > MOST_LINES:
        errors.append(
            LineError(code="too_many_lines", message=f"At most {MOST_LINES} lines are taken.")
        )
    return lines, errors[:100]


def _problem(line: Line, endpoint: str, seen: set[str]) -> str | None:
    if line.method != "POST" or line.url != endpoint:
        return f"Every line must be a POST to {endpoint}."
    if line.custom_id in seen:
        return "Each custom_id may be given once."
    if bytes(line.body)[:1] != b"{":
        return "body must be an object."
    try:
        streams = _decode_body.decode(line.body).stream
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # The call's own parser says what is wrong with it.
        return None
    return "body.stream: a batch's answers are not streamed." if streams else None
