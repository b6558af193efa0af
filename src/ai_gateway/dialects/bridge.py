"""A provider's stream on its way to the caller, relayed or translated, behind one face."""

from typing import Protocol

from msgspec.structs import replace

from ai_gateway.model.answer import Failure, Finish, Start, StopReason
from ai_gateway.model.usage import Usage

from .dialect import Decoder, Encoder, Frames, ProviderError
from .sse import ServerSentEvent


class Bridge(Protocol):
    """Bytes from the provider in, bytes for the caller out. `Watcher` is the relaying one."""

    usage: Usage | None
    stop: StopReason | None
    complete: bool
    failure: ProviderError | None
    first_content: bool

    @property
    def next_number(self) -> int: ...

    def feed(self, chunk: bytes) -> bytes: ...
    def end(self) -> bytes: ...


class TranslatingBridge:
    """Decodes the provider's events and encodes them in the caller's dialect.

    May raise `BadAnswer` for what cannot be read.
    """

    __slots__ = (
        "_decoder",
        "_encoder",
        "_frames",
        "_model",
        "_now",
        "complete",
        "failure",
        "first_content",
        "stop",
        "usage",
    )

    def __init__(
        self, frames: Frames, decoder: Decoder, encoder: Encoder, now: int, model: str = ""
    ) -> None:
        """`now` and `model` fill in for a provider whose answers tell neither."""
        self._now = now
        self._model = model
        self._frames = frames
        self._decoder = decoder
        self._encoder = encoder
        self.usage: Usage | None = None
        self.stop: StopReason | None = None
        self.complete = False
        self.failure: ProviderError | None = None
        self.first_content = False

    def feed(self, chunk: bytes) -> bytes:
        return self._translate(self._frames.feed(chunk), ending=False)

    def end(self) -> bytes:
        return self._translate(self._frames.end(), ending=True)

    @property
    def next_number(self) -> int:
        return self._encoder.next_number

    @property
    def notes(self) -> list[str]:
        return self._encoder.notes

    def _translate(self, incoming: list[ServerSentEvent], *, ending: bool) -> bytes:
        events = [event for each in incoming for event in self._decoder.feed(each)]
        if ending:
            events += self._decoder.end()
        out: list[bytes] = []
        for event in events:
            if self.complete or self.failure is not None:
                break
            match event:
                case Finish():
                    self.complete = True
                    self.stop = event.stop
                    self.usage = event.usage or self.usage
                case Start():
                    self.usage = event.usage
                    if not event.created or not event.model:
                        event = replace(
                            event,
                            created=event.created or self._now,
                            model=event.model or self._model,
                        )
                case Failure():
                    self.usage = event.usage or self.usage
                    self.failure = ProviderError(
                        kind=event.kind, message=event.message, code=event.code
                    )
                case _:
                    self.first_content = True
            out.append(self._encoder.feed(event))
        return b"".join(out)
