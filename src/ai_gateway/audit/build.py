"""The audit as configured: an Auditor, its sinks, retention; one of each for the process."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from ai_gateway.background import end
from ai_gateway.courier import Loss
from ai_gateway.model.audit import Audit
from ai_gateway.model.policy import AuditLevel
from ai_gateway.storage.database import Database

from .acts import Acts
from .auditor import Auditor, Sink
from .bodies import Bodies
from .database import DatabaseSink
from .jsonl import JsonlSink
from .redact import Redactor

if TYPE_CHECKING:
    from .search import AuditSearch

_RETENTION_SECONDS = 3600.0
_HEAD_SECONDS = 600.0

Event = Callable[..., None]
"""`on_event(level, event, **fields)`"""


class AuditSettings(Struct, frozen=True, kw_only=True):
    level: AuditLevel
    options: Audit
    directory: Path
    """Of JSONL files."""
    key: bytes | None
    """What hashes are made with."""


class Counts(Struct, frozen=True, kw_only=True):
    """Where records are counted, by sink."""

    written: Mapping[str, Callable[[int], None]]
    lost: Mapping[str, Callable[[Loss, int], None]]
    """Also for `capture`: calls that never came to be records; and for `acts`."""


class OpenAudit:
    """Raises re.error for a redaction pattern that is none."""

    def __init__(
        self,
        settings: AuditSettings,
        database: Database,
        *,
        counts: Counts,
        on_event: Event,
        otlp: Callable[[], Sink] | None = None,
    ) -> None:
        """`otlp`: makes the sink of that name, where it is configured."""
        self._settings = settings
        self._database = database
        self._on_event = on_event
        self._database_sink: DatabaseSink | None = None
        self._sinks = [self._sink(name, database, counts, otlp) for name in settings.options.sinks]
        bodies = Bodies(Redactor(settings.options.redact), settings.options.max_body_bytes)
        self.auditor = Auditor(settings.level, bodies, self._sinks, lost=counts.lost["capture"])
        self.acts = Acts(database, counts.lost["acts"])
        self._tasks: Sequence[asyncio.Task[None]] = ()
        self._told: int = 0

        @cache
        def search() -> "AuditSearch":
            from .search import AuditSearch

            return AuditSearch(database)

        self.search = search
        """Made when first used: it needs the database."""

    def start(self) -> None:
        self.auditor.start()
        if self._database_sink is not None:
            loop = asyncio.get_running_loop()
            self._tasks = (
                loop.create_task(self._retain()),
                loop.create_task(self._tell_heads()),
                loop.create_task(self._index_words()),
            )

    async def close(self) -> None:
        await end(*self._tasks)
        await self.acts.close()
        # On a thread: what is still to be written needs the loop.
        await asyncio.to_thread(self.auditor.close)
        self._tell_head()

    def note(self) -> str | None:
        """What `/ready` says of it; None where all is well."""
        told = {"acts": self.acts.trouble, **{sink.name: sink.trouble for sink in self._sinks}}
        troubles = {name: why for name, why in told.items() if why is not None}
        if not troubles:
            return None
        return "audit: " + "; ".join(f"{name}: {why}" for name, why in troubles.items())

    async def record_act(self, **act: Any) -> None:
        """Before an administrator is shown what the database keeps. Raises DatabaseUnavailable."""
        async with self._database.write() as connection:
            from ai_gateway.storage.admin_audit import record_action

            await record_action(connection, **act)

    def _sink(
        self,
        name: Literal["database", "jsonl", "otlp"],
        database: Database,
        counts: Counts,
        otlp: Callable[[], Sink] | None,
    ) -> Sink:
        written, lost = counts.written[name], counts.lost[name]
        match name:
            case "database":
                self._database_sink = DatabaseSink(
                    database, key=self._settings.key, written=written, lost=lost
                )
                return self._database_sink
            case "jsonl":
                return JsonlSink(
                    self._settings.directory,
                    key=self._settings.key,
                    max_bytes=self._settings.options.jsonl_max_bytes,
                    keep=self._settings.options.jsonl_keep,
                    written=written,
                    lost=lost,
                )
            case "otlp":
                if otlp is None:
                    raise ValueError("the audit's sink otlp needs OTEL_EXPORTER_OTLP_ENDPOINT")
                return otlp()

    def _tell_head(self) -> None:
        """A hash that stands in the log too cannot be rewritten in the database unseen."""
        if self._database_sink is None:
            return
        chain, seq, head = self._database_sink.head
        if seq > self._told:
            self._told = seq
            self._on_event("info", "audit_head", chain=chain, seq=seq, hash=head)

    async def _tell_heads(self) -> None:
        while True:
            await asyncio.sleep(_HEAD_SECONDS)
            self._tell_head()

    async def _index_words(self) -> None:
        while not self._database.is_postgresql:
            # Nothing is opened for its sake: records come first.
            await asyncio.sleep(1)
            if self._database_sink is None or not self._database_sink.head[1]:
                continue
            try:
                await self.search().words.follow()
                return
            except Exception as error:  # a background loop: told, and tried again
                self._on_event("error", "audit_index_failed", why=type(error).__name__)
                await asyncio.sleep(10)

    async def _retain(self) -> None:
        days = self._settings.options.days
        while days:
            await asyncio.sleep(_RETENTION_SECONDS)
            try:
                if self._database.exists():
                    await self._database.open()
                    await self.search().let_go(days, time())
            except Exception as error:  # a background loop: told, and tried again
                self._on_event("error", "audit_retention_failed", why=type(error).__name__)
