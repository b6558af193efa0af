"""A chat keeps its meaning through either dialect and through both, one after the other."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ai_gateway.dialects.dialect import RenderTarget
from ai_gateway.dialects.registry import DIALECTS
from ai_gateway.dialects.sse import SseDecoder
from ai_gateway.model.answer import Delta, Event, Finish, PartEnd, PartStart, Signature, Start
from ai_gateway.model.chat import Chat
from ai_gateway.model.content import Part, Text, Thinking, ToolCall
from ai_gateway.model.usage import Usage

from .chats import chats, meaning

TARGET = RenderTarget(model="a-model", developer_role=True)
NO_CHAT = Chat(model="m", messages=(), include_usage=True)


@pytest.mark.parametrize("name", DIALECTS)
@given(chat=chats())
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_render_then_parse_keeps_the_meaning(name: str, chat: Chat) -> None:
    dialect = DIALECTS[name]
    body = dialect.render_request(chat, TARGET).body
    dialect.peek(body)
    assert meaning(dialect.parse_request(body)) == meaning(chat)


@given(chat=chats())
@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_a_round_trip_over_both_dialects_keeps_the_meaning(chat: Chat) -> None:
    passed = chat
    for name in ("openai_chat", "anthropic_messages", "openai_chat"):
        dialect = DIALECTS[name]
        passed = dialect.parse_request(dialect.render_request(passed, TARGET).body)
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
                parts[event.index].append(event.signature)
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
