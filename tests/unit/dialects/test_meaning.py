"""A chat keeps its meaning through any dialect and through all of them, one after the other."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ai_gateway.dialects.dialect import RenderTarget
from ai_gateway.dialects.registry import DIALECTS, PROVIDER_DIALECTS
from ai_gateway.dialects.sse import SseDecoder
from ai_gateway.model.answer import Delta, Event, Finish, PartEnd, PartStart, Signature, Start
from ai_gateway.model.chat import Chat
from ai_gateway.model.content import Part, Text, Thinking, ToolCall
from ai_gateway.model.usage import Usage

from .chats import chats, meaning, sayable
from .speakers import SPEAKERS

pytestmark = pytest.mark.apart

TARGET = RenderTarget(model="a-model", developer_role=True)
NO_CHAT = Chat(model="m", messages=(), include_usage=True)


def passed_through(name: str, chat: Chat) -> Chat:
    """Written in a dialect and read again; what the path tells comes from there."""
    dialect = DIALECTS[name]
    body = dialect.render_request(chat, TARGET).body
    dialect.peek(body)
    found = dialect.parse_request(body)
    return replace(found, model=chat.model, stream=chat.stream) if dialect.model_in_path else found


@pytest.mark.parametrize("name", DIALECTS)
@given(chat=chats())
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_render_then_parse_keeps_the_meaning(name: str, chat: Chat) -> None:
    chat = sayable(chat, name)
    assert meaning(passed_through(name, chat)) == meaning(chat)


@given(chat=chats(), order=st.permutations(list(DIALECTS)))
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_a_round_trip_over_all_dialects_keeps_the_meaning(chat: Chat, order: list[str]) -> None:
    chat = sayable(chat, *DIALECTS)
    passed = chat
    for name in order:
        passed = passed_through(name, passed)
    assert meaning(passed) == meaning(chat)


@st.composite
def event_lists(draw: st.DrawFn) -> list[Event]:
    """A good stream: parts one after the other, or tool calls whose pieces interleave."""
    usage = Usage(input_tokens=draw(st.integers(1, 99)), output_tokens=draw(st.integers(0, 99)))
    events: list[Event] = [Start(id="msg_1", model="m", usage=usage)]
    index = 0
    texts = st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=3)
    for kind in draw(st.lists(st.sampled_from(["text", "thinking"]), max_size=2, unique=True)):
        part: Part = Text(text="") if kind == "text" else Thinking(text="")
        events.append(PartStart(index=index, part=part))
        events += [Delta(index=index, text=text) for text in draw(texts)]
        if kind == "thinking":
            events.append(Signature(index=index, signature="sig"))
        events.append(PartEnd(index=index))
        index += 1
    calls = draw(st.integers(0, 3))
    waiting: list[tuple[int, str]] = []
    for call in range(calls):
        at = index + call
        events.append(PartStart(index=at, part=ToolCall(id=f"call_{call}", name="f", arguments="")))
        waiting += [(at, '{"a":'), (at, f'"{call}"'), (at, "}")]
    order = draw(st.permutations(range(len(waiting))))
    grown = dict.fromkeys(range(index, index + calls), 0)
    for position in order:
        at = waiting[position][0]
        piece = [w for w in waiting if w[0] == at][grown[at]]
        grown[at] += 1
        events.append(Delta(index=at, text=piece[1]))
    events += [PartEnd(index=at) for at in range(index, index + calls)]
    events.append(Finish(stop="tool_calls" if calls else "stop", usage=usage))
    return events


def gathered(events: list[Event]) -> object:
    """What a stream amounts to, however it was cut into pieces."""
    parts: dict[int, list[object]] = {}
    for event in events:
        match event:
            case PartStart():
                part = event.part
                label = (part.id, part.name) if isinstance(part, ToolCall) else ("", "")
                parts[event.index] = [type(part).__name__, *label, ""]
            case Delta():
                parts[event.index][3] = str(parts[event.index][3]) + event.text
            case Signature():
                # Each dialect marks a signature as its own, or with the id of its item.
                parts[event.index].append(re.split("[#:]", event.signature)[-1])
            case _:
                pass
    finish = events[-1]
    assert isinstance(finish, Finish)
    return [parts[i] for i in sorted(parts)], finish.stop, finish.usage


@pytest.mark.parametrize("name", DIALECTS)
@given(events=event_lists(), size=st.integers(1, 50))
@settings(max_examples=150, deadline=None)
def test_encoded_events_decode_to_the_same_whatever_the_cut(
    name: str, events: list[Event], size: int
) -> None:
    dialect = DIALECTS[name]
    encoder, decoder, sse = dialect.encoder(NO_CHAT), dialect.decoder(), SseDecoder()
    data = b"".join(encoder.feed(event) for event in events)
    found: list[Event] = []
    for at in range(0, len(data), size):
        for piece in sse.feed(data[at : at + size]):
            found += decoder.feed(piece)
    found += decoder.end()
    assert gathered(found) == gathered(events)
    watcher = dialect.watch(False)
    relayed = b"".join(watcher.feed(data[i : i + size]) for i in range(0, len(data), size))
    assert relayed + watcher.end() == data
    assert watcher.complete
    finish = events[-1]
    assert isinstance(finish, Finish)
    assert (watcher.stop, watcher.usage) == (finish.stop, finish.usage)


@pytest.mark.parametrize("name", DIALECTS)
def test_a_stream_cut_in_two_at_any_byte_is_the_same_stream(name: str) -> None:
    dialect = DIALECTS[name]
    encoder = dialect.encoder(NO_CHAT)
    data = b"".join(encoder.feed(event) for event in EVERYTHING)
    whole = read_in(name, [data])
    assert isinstance(whole[-1], Finish)
    for at in range(1, len(data)):
        assert gathered(read_in(name, [data[:at], data[at:]])) == gathered(whole)
        watcher = dialect.watch(False)
        assert watcher.feed(data[:at]) + watcher.feed(data[at:]) + watcher.end() == data
        assert watcher.complete


@pytest.mark.parametrize("name", DIALECTS)
def test_a_stream_that_breaks_off_never_passes_for_a_whole_one(name: str) -> None:
    dialect = DIALECTS[name]
    encoder = dialect.encoder(NO_CHAT)
    told = [encoder.feed(event) for event in EVERYTHING]
    before = b"".join(told[:-1])
    for at in range(len(before)):
        found = read_in(name, [before[:at]])
        assert not any(isinstance(event, Finish) for event in found)
        watcher = dialect.watch(False)
        sent = watcher.feed(before[:at]) + watcher.end()
        assert before.startswith(sent)
        assert not watcher.complete


ANSWERING_ONLY = [name for name in SPEAKERS if name not in DIALECTS]


@pytest.mark.parametrize("name", ANSWERING_ONLY)
def test_an_answering_dialects_stream_cut_in_two_at_any_byte_is_the_same(name: str) -> None:
    data = SPEAKERS[name].stream(EVERYTHING)
    whole = gathered(read_in(name, [data]))
    text, stop, _ = whole
    assert (len(text), stop) == (4, "tool_calls")
    for at in range(1, len(data)):
        assert gathered(read_in(name, [data[:at], data[at:]])) == whole
    assert gathered(read_in(name, [data[i : i + 1] for i in range(len(data))])) == whole


@pytest.mark.parametrize("name", ANSWERING_ONLY)
def test_an_answering_dialects_stream_that_breaks_off_never_passes_for_a_whole_one(
    name: str,
) -> None:
    before = SPEAKERS[name].stream(EVERYTHING[:-1]).removesuffix(b"data: [DONE]\n\n")
    for at in range(len(before) + 1):
        assert not any(isinstance(event, Finish) for event in read_in(name, [before[:at]]))


def read_in(name: str, pieces: list[bytes]) -> list[Event]:
    dialect = PROVIDER_DIALECTS[name]
    decoder, frames = dialect.decoder(), dialect.frames()
    found = [e for piece in pieces for event in frames.feed(piece) for e in decoder.feed(event)]
    found += [e for event in frames.end() for e in decoder.feed(event)]
    return found + decoder.end()


USAGE = Usage(input_tokens=30, output_tokens=20, cache_read_tokens=10, reasoning_tokens=5)
EVERYTHING: list[Event] = [
    Start(id="answer_1", model="m"),
    PartStart(index=0, part=Thinking(text="")),
    Delta(index=0, text="H\u00f6m\n"),
    Delta(index=0, text='"hm"'),
    Signature(index=0, signature="c2ln"),
    PartEnd(index=0),
    PartStart(index=1, part=Text(text="")),
    Delta(index=1, text="data: \U0001f600"),
    Delta(index=1, text="\r\n\r\nend"),
    PartEnd(index=1),
    PartStart(index=2, part=ToolCall(id="call_a", name="f", arguments="")),
    PartStart(index=3, part=ToolCall(id="call_b", name="g", arguments="")),
    Delta(index=2, text='{"a":'),
    Delta(index=3, text='{"b":2}'),
    Delta(index=2, text="1}"),
    PartEnd(index=2),
    PartEnd(index=3),
    Finish(stop="tool_calls", usage=USAGE),
]
