"""Responses that may be continued (`previous_response_id`): whose they are, and who holds them.

A provider that speaks Responses holds its own: the gateway notes whose it is, and that what continues it
must go to that provider, with that credential. What was translated the gateway holds itself: the
conversation so far, put in front of what continues it, on any model. Notes are written in batches, off
the path of the call; until then they are in memory.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.json import Decoder, encode
from msgspec.structs import replace

from ai_gateway.background import end
from ai_gateway.dialects.openai_responses import OPENAI_RESPONSES
from ai_gateway.dialects.sse import parse_events
from ai_gateway.model.call import Caller, Outcome, Request
from ai_gateway.model.errors import GatewayError
from ai_gateway.reply import PassingReply, Reply
from ai_gateway.storage.database import DatabaseUnavailable

from .store import GATEWAY, Held, HoldingStore, now

_FLUSH_SECONDS = 0.05
_SWEEP_SECONDS = 600.0
_MOST_WAITING = 50_000
_MOST_BYTES = 64 * 1024 * 1024
_ENDINGS = (b'"response.completed"', b'"response.incomplete"', b'"response.created"')


class HeldResponse(Struct, frozen=True, kw_only=True):
    provider: str
    credential: int = 0
    items: list[Raw] | None = None
    """The conversation so far, input and output; None where the provider holds it."""
    given: int = 0
    """How many of them were input."""
    response: Raw = Raw(b"null")
    """The whole answer, where the gateway holds it."""


class _Asked(Struct, frozen=True):
    previous_response_id: str | None = None
    conversation: Raw = Raw(b"null")
    store: bool | None = None
    input: Raw = Raw(b"[]")


class _Answered(Struct, frozen=True):
    id: str = ""
    output: list[Raw] = []
    status: str = ""


class _Event(Struct, frozen=True):
    response: Raw


_decode_asked = Decoder(_Asked)
_decode_items = Decoder(list[Raw])
_decode_answered = Decoder(_Answered)
_decode_event = Decoder(_Event)
_decode_fields = Decoder(dict[str, Raw])
decode_held = Decoder(HeldResponse)


class ResponseKeeper:
    def __init__(
        self,
        store: HoldingStore,
        *,
        keeps_content: bool,
        seconds: float,
        most_bytes: int,
        strict: Callable[[], bool],
        dropped: Callable[[int], None],
    ) -> None:
        """`keeps_content`: of what was translated. `most_bytes`: of a request with the conversation that
        it continues. `strict`: what is not known to be the caller's is
        not found; else it is left to the provider. `dropped` counts notes that were lost."""
        self._store = store
        self._keeps_content = keeps_content
        self._seconds = seconds
        self._most_bytes = most_bytes
        self._strict = strict
        self._dropped = dropped
        self._waiting: dict[str, Held] = {}
        """Notes that are not written yet, by the response's id: the last of each."""
        self._bytes = 0
        """Of what waits."""
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def close(self) -> None:
        await end(self._task)
        await self._flush()

    async def find(self, id: str, tenant: str) -> HeldResponse:
        """Raises GatewayError(not_found | unavailable)."""
        held = self._waiting.get(id)
        if held is None or held.tenant != tenant:
            try:
                held = await self._store.find("response", id, tenant)
            except DatabaseUnavailable:
                raise GatewayError(
                    "unavailable", "Stored responses cannot be looked up now.", retry_after=1
                ) from None
        if held.created_at + self._seconds < now():
            raise GatewayError("not_found", f"The response {id[:100]!a} has expired.")
        return decode_held.decode(held.data)

    async def forget(self, id: str) -> None:
        self._let_go(self._waiting.get(id))
        # Not while it is being written: it would be there again.
        async with self._writing:
            await self._store.forget(id)

    async def follow(
        self, request: Request, reply: Reply, outcome: Outcome, caller: Caller
    ) -> tuple[Request, Reply]:
        """The request with what it continues, and the reply by which its answer can be continued.

        Raises GatewayError(not_found | invalid_request | unavailable).
        """
        try:
            asked = _decode_asked.decode(request.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            # The dialect says what is wrong with it.
            return request, reply
        if self._strict() and bytes(asked.conversation) != b"null":
            raise GatewayError(
                "invalid_request",
                "conversation: use previous_response_id; whose a conversation is, is not known here.",
                field="conversation",
            )
        items = _input_items(asked.input)
        if asked.previous_response_id is not None:
            held = await self._previous(asked.previous_response_id, caller)
            if held is not None and held.items is not None:
                items = [*held.items, *items]
                request = replace(request, body=self._expanded(request.body, items))
            elif held is not None:
                outcome.pin = (held.provider, held.credential)
        if asked.store is False:
            return request, reply
        return request, _KeepingReply(reply, self, outcome, caller.tenant, items)

    def _expanded(self, body: bytes, items: list[Raw]) -> bytes:
        """Raises GatewayError(too_large): each turn adds to it, and each is kept whole."""
        fields: dict[str, Any] = dict(_decode_fields.decode(body))
        del fields["previous_response_id"]
        expanded = encode({**fields, "input": items})
        if len(expanded) > self._most_bytes:
            raise GatewayError(
                "too_large",
                f"The conversation has grown beyond {self._most_bytes} bytes. Begin a new one.",
                field="previous_response_id",
                code="conversation_too_large",
            )
        return expanded

    async def _previous(self, id: str, caller: Caller) -> HeldResponse | None:
        try:
            return await self.find(id, caller.tenant)
        except GatewayError as error:
            if error.kind != "not_found" or self._strict():
                error.field = "previous_response_id"
                raise
            return None

    def keep(self, outcome: Outcome, tenant: str, given: Sequence[Raw], response: bytes) -> None:
        """Notes an answer that went out. What cannot be read is not kept."""
        try:
            answered = _decode_answered.decode(response)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        if not answered.id or outcome.target is None or not outcome.attempts:
            return
        if outcome.provider_dialect == OPENAI_RESPONSES.name:
            held = HeldResponse(
                provider=outcome.target.provider, credential=outcome.attempts[-1].credential
            )
        elif self._keeps_content:
            held = HeldResponse(
                provider=GATEWAY,
                items=[*given, *answered.output],
                given=len(given),
                response=Raw(response),
            )
        else:
            return
        self._note(
            Held(
                id=answered.id[:200],
                kind="response",
                tenant=tenant,
                provider=held.provider,
                created_at=now(),
                data=encode(held).decode(),
            )
        )

    def _note(self, held: Held) -> None:
        self._let_go(self._waiting.get(held.id))
        if len(self._waiting) >= _MOST_WAITING or self._bytes + len(held.data) > _MOST_BYTES:
            self._dropped(1)
            return
        self._waiting[held.id] = held
        self._bytes += len(held.data)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        swept = 0.0
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            await self._flush()
            if loop.time() - swept > _SWEEP_SECONDS:
                swept = loop.time()
                with suppress(DatabaseUnavailable):
                    await self._store.expire("response", now() - int(self._seconds))

    async def _flush(self) -> None:
        if not self._waiting:
            return
        async with self._writing:
            batch = list(self._waiting.values())
            try:
                await self._store.keep_all(batch)
            except DatabaseUnavailable:
                # Tried again with the next; past the bound they are counted and given up.
                return
            except Exception:
                # A database that is half there, or a note it will not take: the next batch is its own.
                self._dropped(len(batch))
        for held in batch:
            self._let_go(held)

    def _let_go(self, held: Held | None) -> None:
        """Written, given up or overtaken. From then on the database alone says what there is: another
        replica may have deleted it."""
        if held is not None and self._waiting.get(held.id) is held:
            del self._waiting[held.id]
            self._bytes -= len(held.data)


def _input_items(given: Raw) -> list[Raw]:
    text = bytes(given)
    if text[:1] == b'"':
        said = msgspec.json.decode(text)
        content = [{"type": "input_text", "text": said}]
        return [Raw(encode({"type": "message", "role": "user", "content": content}))]
    return _decode_items.decode(text) if text[:1] == b"[" else []


class _KeepingReply(PassingReply):
    """Sees the answer go out, and keeps it before its last byte has left."""

    def __init__(
        self,
        inner: Reply,
        keeper: ResponseKeeper,
        outcome: Outcome,
        tenant: str,
        given: list[Raw],
    ) -> None:
        super().__init__(inner)
        self._keeper = keeper
        self._outcome = outcome
        self._tenant = tenant
        self._given = given

    async def whole(
        self, outcome: Outcome, body: bytes, headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        if outcome.status == 200:
            self._keeper.keep(outcome, self._tenant, self._given, body)
        await self._reply.whole(outcome, body, headers)

    async def piece(self, data: bytes) -> None:
        if any(mark in data for mark in _ENDINGS):
            for event in parse_events(data):
                if any(mark in event.data[:200] for mark in _ENDINGS):
                    self._see(event.data)
        await self._reply.piece(data)

    def _see(self, data: bytes) -> None:
        try:
            response = bytes(_decode_event.decode(data).response)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        self._keeper.keep(self._outcome, self._tenant, self._given, response)
