"""A stream's events folded into one whole answer, and a whole answer unfolded into events."""

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from ai_gateway.model.answer import (
    Answer,
    Delta,
    Event,
    Failure,
    Finish,
    PartEnd,
    PartStart,
    Signature,
    Start,
)
from ai_gateway.model.content import Part, Refusal, Text, Thinking, ToolCall
from ai_gateway.model.usage import NO_USAGE

from .dialect import BadAnswer


def fold(events: Iterable[Event]) -> Answer:
    """Raises BadAnswer for a stream that failed or broke off."""
    start: Start | None = None
    finish: Finish | None = None
    parts: dict[int, Part] = {}
    grown: dict[int, list[str]] = {}
    signatures: dict[int, str] = {}
    for event in events:
        match event:
            case Start():
                start = event
            case PartStart():
                parts[event.index] = event.part
                grown[event.index] = []
            case Delta():
                grown[event.index].append(event.text)
            case Signature():
                signatures[event.index] = event.signature
            case PartEnd():
                pass
            case Finish():
                finish = event
            case Failure():
                raise BadAnswer("the stream holds an error")
    if start is None or finish is None:
        raise BadAnswer("the stream is not whole")
    return Answer(
        id=start.id,
        model=start.model,
        created=start.created,
        parts=tuple(
            _whole(part, "".join(grown[index]), signatures.get(index))
            for index, part in sorted(parts.items())
        ),
        stop=finish.stop,
        stop_sequence=finish.stop_sequence,
        usage=finish.usage or start.usage or NO_USAGE,
    )


def _whole(part: Part, text: str, signature: str | None) -> Part:
    match part:
        case Text() | Refusal():
            return replace(part, text=part.text + text)
        case Thinking():
            return replace(part, text=part.text + text, signature=signature or part.signature)
        case ToolCall():
            return replace(part, arguments=part.arguments + text)
        case _:
            return part


def unfold(answer: Answer) -> Iterator[Event]:
    yield Start(id=answer.id, model=answer.model, created=answer.created, usage=answer.usage)
    for index, part in enumerate(answer.parts):
        match part:
            case Text(text=text) | Refusal(text=text):
                yield PartStart(index=index, part=replace(part, text=""))
                yield Delta(index=index, text=text)
            case Thinking(text=text, signature=signature):
                yield PartStart(index=index, part=Thinking(text=""))
                yield Delta(index=index, text=text)
                if signature is not None:
                    yield Signature(index=index, signature=signature)
            case ToolCall(arguments=arguments):
                yield PartStart(index=index, part=replace(part, arguments=""))
                yield Delta(index=index, text=arguments)
            case _:
                yield PartStart(index=index, part=part)
        yield PartEnd(index=index)
    yield Finish(stop=answer.stop, stop_sequence=answer.stop_sequence, usage=answer.usage)
