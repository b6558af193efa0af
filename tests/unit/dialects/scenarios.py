"""What callers ask and providers answer, once, in no dialect: the rows of docs/dialect-matrix.md."""

from collections.abc import Sequence
from typing import Any

from msgspec import Raw
from msgspec.json import encode

from ai_gateway.model.answer import (
    Answer,
    Delta,
    Event,
    Finish,
    PartEnd,
    PartStart,
    Signature,
    Start,
    StopReason,
)
from ai_gateway.model.chat import Chat, Reasoning, ResponseFormat, Tool, ToolChoice
from ai_gateway.model.content import (
    CacheMark,
    Document,
    Image,
    Message,
    Part,
    RedactedThinking,
    Refusal,
    Role,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from ai_gateway.model.errors import ErrorKind
from ai_gateway.model.usage import Usage

UNICODE = 'Grüße \U0001f600 日本語 "\\ \u2028 \x7f'
LONG = "a long text, " * 20_000
PNG, PDF = "iVBORw0KGgo=", "JVBERi0xLjQ="
SCHEMA = Raw(encode({"type": "object", "properties": {"a": {"type": "string"}}}))
WEATHER = Tool(name="get_weather", description="The weather", parameters=SCHEMA)
CLOCK = Tool(name="get_clock", parameters=Raw(b'{"type":"object","properties":{}}'))


def turn(role: Role, *parts: Part | str) -> Message:
    return Message(role=role, parts=tuple(Text(text=p) if isinstance(p, str) else p for p in parts))


def ask(*messages: Message, **fields: Any) -> Chat:
    fields = {"max_tokens": 1000, "include_usage": True, **fields}
    return Chat(model="a-model", messages=messages or (turn("user", "Hello"),), **fields)


def called(*calls: ToolCall) -> Message:
    return turn("assistant", *calls)


CALL_A = ToolCall(id="call_a", name="get_weather", arguments='{"a":"b"}')
CALL_B = ToolCall(id="call_b", name="get_clock", arguments="{}")


def result(call_id: str, *parts: Text | Image, is_error: bool | None = None) -> Message:
    given = ToolResult(call_id=call_id, parts=parts or (Text(text="42"),), is_error=is_error)
    return turn("tool", given)


def history(*parts: Part) -> Chat:
    """A conversation whose assistant's turn holds these."""
    return ask(turn("user", "Hello"), turn("assistant", *parts), turn("user", "Go on"))


OWN = "OWN"
"""Stands for the dialect of the provider that is asked: its own reasoning comes back to it."""

REQUESTS: Sequence[tuple[str, Chat]] = (
    ("a text", ask()),
    ("a system message", ask(turn("system", "Be brief"), turn("user", "Hi"))),
    ("a developer message", ask(turn("developer", "Be brief"), turn("user", "Hi"))),
    ("two system messages", ask(turn("system", "A"), turn("system", "B"), turn("user", "Hi"))),
    ("a system message later on", ask(turn("user", "Hi"), turn("system", "B"), turn("user", "Hi"))),
    ("several turns", ask(turn("user", "A"), turn("assistant", "B"), turn("user", "C"))),
    ("two user turns in a row", ask(turn("user", "A"), turn("user", "B"))),
    ("several texts in a turn", ask(turn("user", "A", "B", "C"))),
    ("text in many scripts", ask(turn("user", UNICODE))),
    ("260 kB of text", ask(turn("user", LONG))),
    ("a stream", ask(stream=True)),
    ("tools", ask(tools=(WEATHER, CLOCK))),
    ("a strict tool", ask(tools=(Tool(name="f", parameters=SCHEMA, strict=True),))),
    ("a tool without parameters", ask(tools=(Tool(name="f"),))),
    ("a tool must be called", ask(tools=(WEATHER,), tool_choice=ToolChoice(mode="required"))),
    (
        "this tool must be called",
        ask(tools=(WEATHER, CLOCK), tool_choice=ToolChoice(mode="tool", name="get_clock")),
    ),
    ("no tool may be called", ask(tools=(WEATHER,), tool_choice=ToolChoice(mode="none"))),
    (
        "only some tools may be called",
        ask(
            tools=(WEATHER, CLOCK),
            tool_choice=ToolChoice(mode="required", allowed=("get_clock",)),
        ),
    ),
    ("one tool at a time", ask(tools=(WEATHER,), parallel_tool_calls=False)),
    (
        "a tool call and its result",
        ask(turn("user", "Hi"), called(CALL_A), result("call_a"), tools=(WEATHER,)),
    ),
    (
        "parallel calls and results",
        ask(
            turn("user", "Hi"),
            called(CALL_A, CALL_B),
            result("call_a"),
            result("call_b", Text(text="7")),
            tools=(WEATHER, CLOCK),
        ),
    ),
    (
        "text before a tool call",
        ask(turn("user", "Hi"), turn("assistant", "Let me see", CALL_A), result("call_a")),
    ),
    (
        "a result and a new question",
        ask(turn("user", "Hi"), called(CALL_A), result("call_a"), turn("user", "And?")),
    ),
    (
        "a tool that failed",
        ask(turn("user", "Hi"), called(CALL_A), result("call_a", is_error=True)),
    ),
    (
        "a picture as a tool's result",
        ask(
            turn("user", "Hi"),
            called(CALL_A),
            result("call_a", Text(text="see"), Image(data=PNG, media_type="image/png")),
        ),
    ),
    (
        "structured output",
        ask(response_format=ResponseFormat(kind="json_schema", schema=SCHEMA, strict=True)),
    ),
    ("free JSON", ask(response_format=ResponseFormat(kind="json_object"))),
    ("a picture by data", ask(turn("user", "See", Image(data=PNG, media_type="image/png")))),
    ("a picture by URL", ask(turn("user", "See", Image(url="https://example.org/a.png")))),
    ("a picture in low detail", ask(turn("user", Image(data=PNG, media_type="image/png", detail="low")))),
    ("a PDF by data", ask(turn("user", Document(data=PDF, media_type="application/pdf")))),
    ("a named PDF", ask(turn("user", Document(data=PDF, media_type="application/pdf", name="a.pdf")))),
    ("a PDF by URL", ask(turn("user", Document(url="https://example.org/a.pdf")))),
    ("a text document", ask(turn("user", Document(text="some text", media_type="text/plain")))),
    ("effort", ask(reasoning=Reasoning(effort="high"))),
    ("the highest effort", ask(reasoning=Reasoning(effort="xhigh"))),
    ("a short answer wished for", ask(verbosity="low")),
    ("no reasoning", ask(reasoning=Reasoning(effort="none"))),
    ("a thinking budget", ask(reasoning=Reasoning(mode="enabled", budget_tokens=4096), max_tokens=9000)),
    ("redacted thinking", history(RedactedThinking(data="abc"), Text(text="So"))),
    ("a refusal in the history", history(Refusal(text="No."))),
    ("an empty answer in the history", history(Text(text=""))),
    ("stop strings", ask(stop=("END", "STOP"))),
    ("temperature 0.7", ask(temperature=0.7)),
    ("temperature 1.5", ask(temperature=1.5)),
    ("top_p", ask(top_p=0.5)),
    ("top_k", ask(top_k=5)),
    ("a seed", ask(seed=7)),
    ("penalties", ask(frequency_penalty=0.5, presence_penalty=0.5)),
    ("a bias on tokens", ask(logit_bias={"50256": -100.0})),
    ("two answers", ask(n=2)),
    ("log probabilities", ask(logprobs=True, top_logprobs=2)),
    ("the user's name", ask(user="u-1")),
    ("a mark for the prompt cache", ask(turn("user", Text(text="Hi", cache=CacheMark())))),
    ("a small output limit", ask(max_tokens=20)),
)  # fmt: skip

REASONED: Sequence[tuple[str, tuple[Part, ...], bool]] = (
    # What a model said, sent back to it, or (True) to another maker's.
    ("its own reasoning, sent back", (Thinking(text="Hm", signature=OWN), Text(text="So")), False),
    (
        "its own reasoning and call, sent back",
        (Thinking(text="Hm", signature=OWN), CALL_A),
        False,
    ),
    (
        "its own hidden reasoning and call, sent back",
        (Thinking(text="", signature=OWN), CALL_A),
        False,
    ),
    ("another maker's reasoning, sent back", (Thinking(text="Hm", signature=OWN), CALL_A), True),
)

USAGE = Usage(input_tokens=100, output_tokens=50)
EVERY_KIND = Usage(
    input_tokens=100, output_tokens=50, cache_read_tokens=40, cache_write_5m_tokens=10,
    reasoning_tokens=20,
)  # fmt: skip


def answer(*parts: Part, stop: StopReason = "stop", usage: Usage = USAGE) -> Answer:
    return Answer(id="answer-1", model="a-model", created=1, parts=parts, stop=stop, usage=usage)


ANSWERS: Sequence[tuple[str, Answer]] = (
    ("a text", answer(Text(text="Hello"))),
    ("text in many scripts", answer(Text(text=UNICODE))),
    ("260 kB of text", answer(Text(text=LONG))),
    ("several texts", answer(Text(text="A"), Text(text="B"))),
    ("nothing", answer()),
    ("a tool call", answer(CALL_A, stop="tool_calls")),
    ("text and parallel calls", answer(Text(text="So:"), CALL_A, CALL_B, stop="tool_calls")),
    ("reasoning", answer(Thinking(text="Hm", signature=OWN), Text(text="So"))),
    ("redacted thinking", answer(RedactedThinking(data="abc"), Text(text="So"))),
    ("a refusal", answer(Refusal(text="No."))),
    ("declined by the model", answer(Text(text="No."), stop="refusal")),
    ("cut by a filter", answer(Text(text="He"), stop="content_filter")),
    ("cut for length", answer(Text(text="He"), stop="length")),
    ("ended by a stop string", answer(Text(text="He"), stop="stop_sequence")),
    ("every kind of token", answer(Text(text="Hello"), usage=EVERY_KIND)),
)


def streamed(*parts: tuple[Part, Sequence[str]], stop: StopReason = "stop") -> list[Event]:
    """Parts with the pieces they grow by. Calls run at the same time, as Chat allows."""
    events: list[Event] = [Start(id="answer-1", model="a-model", created=1)]
    open_calls: list[int] = []
    pieces: list[list[Event]] = []
    for index, (part, texts) in enumerate(parts):
        grown: list[Event] = [Delta(index=index, text=text) for text in texts]
        if isinstance(part, ToolCall):
            events.append(PartStart(index=index, part=part))
            pieces.append(grown)
            open_calls.append(index)
            continue
        if isinstance(part, Thinking) and part.signature is not None:
            grown.append(Signature(index=index, signature=part.signature))
            part = Thinking(text=part.text)
        events += [PartStart(index=index, part=part), *grown, PartEnd(index=index)]
    for at in range(max((len(p) for p in pieces), default=0)):
        events += [p[at] for p in pieces if at < len(p)]
    events += [PartEnd(index=index) for index in open_calls]
    events.append(Finish(stop=stop, usage=EVERY_KIND))
    return events


def begun(call: ToolCall) -> ToolCall:
    return ToolCall(id=call.id, name=call.name, arguments="")


STREAMS: Sequence[tuple[str, list[Event]]] = (
    ("a text", streamed((Text(text=""), ["He", "llo"]))),
    ("text in many scripts", streamed((Text(text=""), list(UNICODE)))),
    ("nothing", streamed()),
    ("a tool call", streamed((begun(CALL_A), ['{"a"', ':"b"}']), stop="tool_calls")),
    (
        "text and parallel calls, mixed",
        streamed(
            (Text(text=""), ["So:"]),
            (begun(CALL_A), ['{"a"', ":", '"b"}']),
            (begun(CALL_B), ["{", "}"]),
            stop="tool_calls",
        ),
    ),
    (
        "reasoning",
        streamed((Thinking(text="", signature=OWN), ["H", "m"]), (Text(text=""), ["So"])),
    ),
    ("a refusal", streamed((Refusal(text=""), ["N", "o."]))),
    ("cut by a filter", streamed((Text(text=""), ["He"]), stop="content_filter")),
    ("cut for length", streamed((Text(text=""), ["He"]), stop="length")),
)

ERRORS: Sequence[tuple[str, int, ErrorKind]] = (
    ("a bad request", 400, "invalid_request"),
    ("the gateway's key refused", 401, "authentication"),
    ("the gateway's account blocked", 403, "permission"),
    ("no such model", 404, "not_found"),
    ("too large", 413, "too_large"),
    ("too many requests", 429, "rate_limited"),
    ("the provider's own fault", 500, "internal"),
    ("unavailable", 503, "unavailable"),
    ("timed out", 504, "timeout"),
)
