"""What is kept of calls for those who must answer for them later."""

from typing import Literal

from msgspec import Struct

from .policy import AuditLevel

Sink = Literal["database", "jsonl", "otlp"]
PersonalEntity = Literal["email", "phone", "credit_card", "iban", "us_ssn", "ip_address", "secret"]


class Redaction(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is taken out of bodies before anything is kept."""

    fields: tuple[str, ...] = ()
    """Names of JSON members, as shell patterns, at any depth and in any case; their values go whole."""
    patterns: tuple[str, ...] = ()
    """Regular expressions (Python's) looked for in every text."""
    personal_data: tuple[PersonalEntity, ...] = ("secret",)
    """Kinds of personal data, and credentials (`secret`), by their shapes."""


class Audit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`audit_options` in gateway.yaml."""

    redact: Redaction = Redaction()
    max_body_bytes: int = 64 * 1024
    """Of a request's and an answer's body each; what is longer is cut, and says so."""
    sinks: tuple[Sink, ...] = ("database",)
    jsonl_max_bytes: int = 64 * 1024 * 1024
    """A file is closed and the next begun at this size."""
    jsonl_keep: int = 16
    """Files kept; the oldest goes first."""
    days: float = 30.0
    """Days that records are kept in the database; 0: for ever."""


class Captured(Struct):
    """The bytes of an answer as the caller was sent it, up to a bound; past it they are only counted."""

    most: int
    pieces: list[bytes] = []
    kept: int = 0
    total: int = 0

    def add(self, data: bytes) -> None:
        self.total += len(data)
        room = self.most - self.kept
        if room > 0:
            piece = data if len(data) <= room else data[:room]
            self.pieces.append(piece)
            self.kept += len(piece)


class AuditRecord(Struct, frozen=True, kw_only=True):
    """One call, as kept. Numbers are whole, so that a record reads back as it was written."""

    id: str
    """The call's id."""
    at: int
    """When it ended, in milliseconds since 1970."""
    level: AuditLevel
    """`metadata`: without bodies; `full`: with them."""
    request_id: str
    trace_id: str | None
    tenant: str
    user: str
    key_id: str | None
    tags: str
    """JSON: the key's tags."""
    operation: str
    endpoint: str
    dialect: str
    requested_model: str
    route: str | None
    provider: str | None
    model: str | None
    stream: bool
    status: int
    error: str | None
    cache: str | None
    attempts: int
    input_tokens: int
    output_tokens: int
    cost_pico: int | None
    """US dollars, in millionths of a millionth."""
    duration_us: int
    guardrails: str
    """JSON: what guardrails did."""
    request_bytes: int
    response_bytes: int
    request: str | None
    """The caller's body, redacted."""
    response: str | None
    """What the caller was sent, redacted; a stream as the whole answer it amounts to."""
    redacted: str
    """JSON: how many values each rule took out."""
    cut: str | None
    """What was left out of the bodies, and why."""


class ChainedRecord(AuditRecord, frozen=True, kw_only=True):
    """A record and its place in a chain of hashes."""

    chain: str
    seq: int
    hash: str
    """Hexadecimal."""


class AuditPage(Struct, frozen=True, kw_only=True):
    data: list[ChainedRecord]
    next: str | None
    """To be given as `before`; None at the end."""


class ChainReport(Struct, frozen=True, kw_only=True):
    """What verifying a chain found."""

    chain: str
    records: int
    last: int
    """The number of its last record."""
    head: str
    """The hash of its last record."""
    faults: list[str]
    """Empty: untouched."""
