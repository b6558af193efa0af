"""Whatever stands in place of any value, a dialect reads it or says what is wrong; nothing else is raised."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.json import decode, encode
from msgspec.structs import replace

from ai_gateway.dialects.dialect import BadAnswer
from ai_gateway.dialects.gemini.count_tokens import COUNTING
from ai_gateway.dialects.gemini.embeddings import GEMINI_EMBEDDINGS
from ai_gateway.dialects.registry import DIALECTS, PROVIDER_DIALECTS
from ai_gateway.dialects.sse import ServerSentEvent, SseDecoder
from ai_gateway.model.chat import Chat
from ai_gateway.model.errors import GatewayError, Untranslatable

from .matrix import TARGET, owned_event
from .scenarios import ANSWERS, LONG, REQUESTS, STREAMS
from .speakers import SPEAKERS

ODD: list[Any] = [None, True, 0, -1, 1.5, 10**18, "", "x", "\u2028", [], {}, [None], [[]], {"": {}}]


def changed(tree: Any, seed: int) -> Any:
    """The same tree with one of its values replaced, left out, or given another name."""
    pick = random.Random(seed)
    places: list[tuple[Any, Any]] = []
    stack = [tree]
    while stack:
        at = stack.pop()
        inner = (
            at.items() if isinstance(at, dict) else enumerate(at) if isinstance(at, list) else ()
        )
        for key, value in inner:
            places.append((at, key))
            stack.append(value)
    if not places:
        return pick.choice(ODD)
    holder, key = pick.choice(places)
    match pick.randrange(6):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[pick.choice(["type", "role", "id", "text", "unheard_of"])] = holder.pop(key)
        case _:
            holder[key] = pick.choice(ODD)
    return tree


def _requests(name: str) -> list[bytes]:
    found: list[bytes] = []
    for _, chat in REQUESTS:
        if LONG in str(chat):
            continue
        try:
            found.append(DIALECTS[name].render_request(chat, TARGET).body)
        except Untranslatable:
            continue
    return found


NO_CHAT = Chat(model="m", messages=(), include_usage=True)
BODIES = {name: _requests(name) for name in DIALECTS}
WHOLE = {
    name: [d.render_answer(a, NO_CHAT).body for _, a in ANSWERS if LONG not in str(a)]
    for name, d in DIALECTS.items()
}
ANSWERING_ONLY = [name for name in SPEAKERS if name not in DIALECTS]
for name in ANSWERING_ONLY:
    WHOLE[name] = [SPEAKERS[name].whole(a) for _, a in ANSWERS if LONG not in str(a)]
TOLD: dict[str, list[ServerSentEvent]] = {}
for name, dialect in DIALECTS.items():
    TOLD[name] = []
    for _, events in STREAMS:
        encoder, sse = dialect.encoder(NO_CHAT), SseDecoder()
        TOLD[name] += sse.feed(b"".join(encoder.feed(event) for event in events))
for name in ANSWERING_ONLY:
    frames = PROVIDER_DIALECTS[name].frames()
    TOLD[name] = [e for _, events in STREAMS for e in frames.feed(SPEAKERS[name].stream(events))]
TOLD_APART = {
    name: [
        PROVIDER_DIALECTS[name]
        .frames()
        .feed(speaker.stream([owned_event(e, name) for e in events]))
        for _, events in STREAMS
    ]
    for name, speaker in SPEAKERS.items()
}
"""Each stream by itself."""


@pytest.mark.parametrize("name", DIALECTS)
@given(which=st.integers(0, 10**6), seed=st.integers(0, 10**9))
@settings(max_examples=400, deadline=None)
def test_a_request_is_read_or_refused(name: str, which: int, seed: int) -> None:
    bodies = BODIES[name]
    body = encode(changed(decode(bodies[which % len(bodies)]), seed))
    dialect = DIALECTS[name]
    try:
        dialect.peek(body)
        chat = dialect.parse_request(body)
    except GatewayError as error:
        assert error.status == 400  # noqa: PT017
        return
    for other in PROVIDER_DIALECTS.values():
        try:
            other.render_request(replace(chat, model="m"), TARGET)
        except Untranslatable:
            continue


OTHERS: list[tuple[Any, Any, bytes]] = [
    *((COUNTING.peek, COUNTING.parse_request, body) for body in BODIES["gemini"][:20]),
    (
        COUNTING.peek,
        COUNTING.parse_request,
        b'{"generateContentRequest":{"contents":[{"parts":[{"text":"a"}]}]}}',
    ),
    *(
        (GEMINI_EMBEDDINGS.peek, GEMINI_EMBEDDINGS.parse_request, body)
        for body in (
            b'{"content":{"parts":[{"text":"a"}]},"outputDimensionality":5,"taskType":"X"}',
            b'{"requests":[{"model":"m","content":{"parts":[{"text":"a"}]}},{"content":{}}]}',
        )
    ),
]


@given(which=st.integers(0, 10**6), seed=st.integers(0, 10**9))
@settings(max_examples=300, deadline=None)
def test_counts_and_embeddings_are_read_or_refused(which: int, seed: int) -> None:
    peek, parse, body = OTHERS[which % len(OTHERS)]
    body = encode(changed(decode(body), seed))
    try:
        peeked = peek(body)
        parse(body)
    except GatewayError as error:
        assert error.status == 400  # noqa: PT017
        return
    if peek is GEMINI_EMBEDDINGS.peek:
        GEMINI_EMBEDDINGS.rewrite(peeked, body, "m")
    else:
        COUNTING.rewrite(peeked, body, TARGET)


@pytest.mark.parametrize("name", SPEAKERS)
@given(which=st.integers(0, 10**6), seed=st.integers(0, 10**9))
@settings(max_examples=300, deadline=None)
def test_an_answer_is_read_or_held_unreadable(name: str, which: int, seed: int) -> None:
    bodies = WHOLE[name]
    body = encode(changed(decode(bodies[which % len(bodies)]), seed))
    dialect = PROVIDER_DIALECTS[name]
    peeks = (DIALECTS[name].peek_answer,) if name in DIALECTS else ()
    for read in (*peeks, dialect.parse_answer):
        try:
            found = read(body)
        except BadAnswer:
            continue
        assert found is not None
    dialect.parse_error(400, body)
    dialect.parse_error(500, body)


@pytest.mark.parametrize("name", SPEAKERS)
@given(seed=st.integers(0, 10**9))
@settings(max_examples=300, deadline=None)
def test_a_stream_is_read_or_held_unreadable(name: str, seed: int) -> None:
    pick = random.Random(seed)
    decoder = PROVIDER_DIALECTS[name].decoder()
    watcher = DIALECTS[name].watch(False) if name in DIALECTS else None
    for event in TOLD[name]:
        data = event.data
        if data[:1] == b"{" and pick.random() < 0.1:
            data = encode(changed(decode(data), pick.randrange(10**9)))
        if watcher is not None:
            watcher.feed(b"event: " + event.event.encode() + b"\ndata: " + data + b"\n\n")
        try:
            decoder.feed(ServerSentEvent(event.event, data))
        except BadAnswer:
            break
    if watcher is not None:
        watcher.end()


@pytest.mark.parametrize("name", SPEAKERS)
@given(seed=st.integers(0, 10**9), caller=st.sampled_from(list(DIALECTS)))
@settings(max_examples=400, deadline=None)
def test_events_out_of_order_missing_or_twice_are_told_or_held_unreadable(
    name: str, seed: int, caller: str
) -> None:
    """A provider may say anything in any order; no caller's encoder may stumble over it."""
    pick = random.Random(seed)
    stream = pick.choice(TOLD_APART[name])
    said = [event for event in stream for _ in range(pick.choice([0, 1, 1, 1, 2]))]
    if pick.random() < 0.3:
        pick.shuffle(said)
    decoder, encoder = PROVIDER_DIALECTS[name].decoder(), DIALECTS[caller].encoder(NO_CHAT)
    try:
        for told in said:
            for event in decoder.feed(told):
                encoder.feed(event)
        for event in decoder.end():
            encoder.feed(event)
    except BadAnswer:
        return
