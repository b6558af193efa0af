"""Guardrails on what goes back: a `Reply` around the caller's own.

A stream is inspected through a window. The end of what has come is held back (`OVERLAP` characters),
so that what spans two pieces is seen whole; guards that must ask elsewhere get larger pieces.
"""

from collections.abc import Sequence

import msgspec
from msgspec.json import decode, encode

from ai_gateway.dialects.sse import ServerSentEvent, parse_events
from ai_gateway.model.call import Outcome
from ai_gateway.reply import PassingReply, Reply

from .apply import Inspector, merged, replaced
from .guard import OVERLAP, Finding, Passage
from .passages import Channel, Slot, StreamSlot, pieces_of, slots_of
from .personal_data import Vault

_WAITING_WINDOW = 600
"""Characters that are gathered before a guard that asks elsewhere is asked."""
_CONTEXT = 64
"""Characters already sent that a guard is shown again, so that it sees what a text follows on."""


class _Window:
    """One text of the stream, as far as it has not been sent."""

    __slots__ = ("before", "held", "template")

    def __init__(self) -> None:
        self.before = ""
        self.held = ""
        self.template: tuple[str, bytes, Channel] | None = None
        """The last event that carried a piece of it, to be written again with what is held."""


class GuardedReply(PassingReply):
    def __init__(
        self, inner: Reply, dialect: str, inspector: Inspector, vault: Vault, outcome: Outcome
    ) -> None:
        super().__init__(inner)
        self._dialect = dialect
        self._inspector = inspector
        self._vault = vault
        self._outcome = outcome
        self._windows: dict[Channel, _Window] = {}
        self._sequence = 0

    async def whole(
        self, outcome: Outcome, body: bytes, headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        if outcome.status == 200 and outcome.request.operation == "chat":
            body = await self._edited(body)
        await self._reply.whole(outcome, body, headers)

    async def piece(self, data: bytes) -> None:
        out: list[bytes] = []
        try:
            for event in parse_events(data):
                out += await self._event(event)
        finally:
            # What came before a refusal has passed, and the refusal is put behind it.
            if out:
                await self._reply.piece(b"".join(out))

    async def end(self) -> None:
        rest = await self._flush(())
        if rest:
            await self._reply.piece(b"".join(rest))
        await self._reply.end()

    async def _edited(self, body: bytes) -> bytes:
        tree = decode(body)
        return encode(tree) if await self._edit(slots_of(tree, "assistant")) else body

    async def _edit(self, slots: Sequence[Slot]) -> bool:
        changed = False
        for slot in slots:
            text = slot.text
            findings = await self._findings(Passage(text, slot.role), 0)
            if findings:
                slot.put(replaced(text, findings, is_json=slot.is_json))
                changed = True
        return changed

    async def _findings(self, passage: Passage, behind: int) -> list[Finding]:
        found = await self._inspector.findings(passage, behind=behind)
        if not self._vault:
            return found
        restored = [f for f in self._vault.restorations(passage.text) if f.start >= behind]
        return merged(restored, found)

    async def _event(self, event: ServerSentEvent) -> list[bytes]:
        try:
            tree = decode(event.data)
        except msgspec.DecodeError:
            # `[DONE]`: whatever is still held comes before it.
            return [*await self._flush(()), _written(event.event, event.data)]
        found = pieces_of(self._dialect, tree)
        out: list[bytes] = []
        for piece in found.pieces:
            closing = found.closes is not None and _within(piece.channel, found.closes)
            await self._advance(piece, event, closing=closing)
        if found.closes is not None:
            out += await self._flush(found.closes)
        if found.whole:
            await self._edit(slots_of(tree, "assistant"))
        out.append(self._numbered(event.event, tree))
        return out

    async def _advance(self, piece: StreamSlot, event: ServerSentEvent, *, closing: bool) -> None:
        """Takes a piece in, and leaves in its place what may go out."""
        window = self._windows.get(piece.channel)
        if window is None:
            window = self._windows[piece.channel] = _Window()
        slot = piece.slot
        window.held += slot.text
        window.template = (event.event, event.data, piece.channel)
        patience = _WAITING_WINDOW if self._inspector.waits else 0
        if closing or len(window.held) > max(OVERLAP, patience):
            slot.put(await self._release(window, slot, whole=closing))
        else:
            slot.put("")

    async def _release(self, window: _Window, slot: Slot, *, whole: bool) -> str:
        text = window.before + window.held
        behind = len(window.before)
        findings = await self._findings(Passage(text, slot.role), behind)
        cut = len(text) if whole else max(behind, len(text) - OVERLAP)
        for finding in findings:
            if finding.start < cut < finding.end:
                cut = finding.start
        released = replaced(text[:cut], [f for f in findings if f.end <= cut], is_json=slot.is_json)
        window.before = text[max(0, cut - _CONTEXT) : cut]
        window.held = text[cut:]
        return released[behind:]

    async def _flush(self, closes: Channel) -> list[bytes]:
        """What is still held of the texts that end here, each in an event like its last."""
        out: list[bytes] = []
        for channel in [c for c in self._windows if _within(c, closes)]:
            window = self._windows.pop(channel)
            if not window.held or window.template is None:
                continue
            name, data, _ = window.template
            tree = decode(data)
            for piece in pieces_of(self._dialect, tree).pieces:
                if piece.channel == channel:
                    piece.slot.put(await self._release(window, piece.slot, whole=True))
                else:
                    piece.slot.put("")
            out.append(self._numbered(name, tree))
        return out

    def _numbered(self, name: str, tree: object) -> bytes:
        """Responses numbers its events; those put in between must not break the count."""
        if isinstance(tree, dict) and "sequence_number" in tree:
            tree["sequence_number"] = self._sequence
            self._sequence += 1
        return _written(name, encode(tree))


def _within(channel: Channel, prefix: Channel) -> bool:
    return channel[: len(prefix)] == prefix


def _written(name: str, data: bytes) -> bytes:
    if name == "message":
        return b"data: " + data + b"\n\n"
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"
