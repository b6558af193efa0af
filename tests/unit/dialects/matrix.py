"""Every scenario for every pair of dialects: what the provider is told, what the caller gets.

A cell is how it went: `=` relayed to the letter, `ok` the same meaning, `note` something is left out
and said so, `refused` named in a 400, `-` the caller's own dialect cannot say it. Anything else (a
meaning that changed in silence) raises AssertionError.
"""

from collections.abc import Callable
from typing import Any

from msgspec import Raw
from msgspec.json import decode, encode
from msgspec.structs import replace

from ai_gateway.dialects.dialect import RenderTarget
from ai_gateway.dialects.efforts import effort_of
from ai_gateway.dialects.exchange import ChatExchange, Named
from ai_gateway.dialects.registry import DIALECTS, PROVIDER_DIALECTS
from ai_gateway.dialects.statuses import CREDENTIAL_REFUSED
from ai_gateway.model.answer import Answer, Event, Failure
from ai_gateway.model.call import Operation
from ai_gateway.model.chat import Chat, Tool, ToolChoice
from ai_gateway.model.content import (
    Document,
    Image,
    Message,
    Part,
    RedactedThinking,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from ai_gateway.model.errors import ErrorKind, GatewayError, Untranslatable

from .scenarios import ANSWERS, ERRORS, OWN, REASONED, REQUESTS, STREAMS, answer
from .speakers import SPEAKERS

TARGET = RenderTarget(
    model="a-model", developer_role=True, adaptive_thinking=True, thinking_level=True
)
PAIRS = [(caller, provider) for caller in DIALECTS for provider in SPEAKERS]
OPERATION: Operation = "chat"
_SIGNATURES = {"openai_responses": "rs_1:c2ln"}
_STOPS = {"stop_sequence": "stop", "refusal": "content_filter"}


def owned(signature: str | None, provider: str) -> str | None:
    if signature != OWN:
        return signature
    maker = SPEAKERS[provider].signs_as or provider
    return f"{maker}#{_SIGNATURES.get(maker, 'c2ln')}"


def _owned(part: Part, provider: str) -> Part:
    if isinstance(part, Thinking):
        return replace(part, signature=owned(part.signature, provider))
    return part


def _message(message: Message, provider: str) -> Message:
    return replace(message, parts=tuple(_owned(p, provider) for p in message.parts))


# What a request says, however it is written.


def said(chat: Chat) -> dict[str, Any]:
    turns: list[tuple[str, list[object]]] = []
    for message in chat.messages:
        role = {"tool": "user", "developer": "system"}.get(message.role, message.role)
        parts = [plain for p in message.parts if (plain := _plain(p)) != ""]
        if turns and turns[-1][0] == role:
            turns[-1][1].extend(parts)
        elif parts:
            turns.append((role, parts))
    for _, parts in turns:
        parts.sort(key=lambda p: not (isinstance(p, tuple) and p[0] == "result"))
    joined: list[tuple[str, list[object]]] = []
    for role, parts in turns:
        if joined and joined[-1][0] == role:
            joined[-1][1].extend(parts)
        else:
            joined.append((role, parts))
    choice = chat.tool_choice
    wanted = chat.response_format
    return {
        "turns": joined,
        "thoughts": "".join(
            p.text for m in chat.messages for p in m.parts if isinstance(p, Thinking)
        ),
        "signatures": [
            p.signature
            for m in chat.messages
            for p in m.parts
            if isinstance(p, Thinking) and p.signature
        ],
        "tools": [
            (
                t.name,
                t.description,
                decode(t.parameters or Raw(b'{"type":"object","properties":{}}')),
            )
            for t in chat.tools
            if isinstance(t, Tool)
        ],
        "strict": any(isinstance(t, Tool) and t.strict for t in chat.tools),
        "choice": _choice(choice),
        "parallel": chat.parallel_tool_calls is not False,
        "max_tokens": chat.max_tokens,
        "temperature": chat.temperature,
        "top_p": chat.top_p,
        "top_k": chat.top_k,
        "stop": chat.stop,
        "seed": chat.seed,
        "penalties": (chat.frequency_penalty, chat.presence_penalty),
        "bias": chat.logit_bias,
        "n": chat.n,
        "logprobs": (chat.logprobs, chat.top_logprobs),
        "format": None
        if wanted is None
        else (wanted.kind, wanted.schema and decode(wanted.schema)),
        "effort": "none"
        if chat.reasoning is not None and chat.reasoning.mode == "disabled"
        else effort_of(chat.reasoning, {}),
        "user": chat.user,
        "verbosity": chat.verbosity,
        "stream": chat.stream,
    }


def _choice(choice: ToolChoice | None) -> object:
    if choice is None or (choice.mode == "auto" and not choice.allowed):
        return None
    allowed = choice.allowed or ((choice.name,) if choice.mode == "tool" else ())
    return ("required" if choice.mode == "tool" else choice.mode, allowed)


def differing(one: Chat, other: Chat) -> list[tuple[str, str, str]]:
    before, after = said(one), said(other)
    return [(k, str(v)[:300], str(after[k])[:300]) for k, v in before.items() if v != after[k]]


def _plain(part: Part) -> object:
    match part:
        case Text() | Refusal():
            return part.text if getattr(part, "cache", None) is None else (part.text, "cached")
        case ToolCall():
            return ("call", part.id, part.name, decode(part.arguments or "{}"))
        case ToolResult():
            return ("result", part.call_id, bool(part.is_error), [_plain(p) for p in part.parts])
        case Document():
            name = None if part.name == "document.pdf" else part.name
            return ("document", part.url, part.data, part.text, name)
        case Image():
            detail = None if part.detail == "auto" else part.detail
            return ("image", part.url, part.data, detail)
        case Thinking():
            return ""  # told apart: dialects differ in where a signature stands
        case _:
            return part


# One scenario for one pair each.


def open_by(caller: str, body: bytes, *, stream: bool) -> ChatExchange:
    dialect = DIALECTS[caller]
    named = Named("a-model", stream) if dialect.model_in_path else None
    return ChatExchange(dialect, body, 1, named)


def request(chat: Chat, caller: str, provider: str) -> tuple[str, tuple[str, ...]]:
    chat = replace(chat, messages=tuple(_message(m, provider) for m in chat.messages))
    speaker = DIALECTS[caller]
    try:
        written = speaker.render_request(chat, TARGET)
    except Untranslatable:
        return "-", ()
    exchange = open_by(caller, written.body, stream=chat.stream)
    # What the caller has written is what counts: its dialect may lack a place for some of it.
    meant = exchange.chat
    if said(meant) != said(chat) and not written.notes:
        raise AssertionError(f"{caller} cannot read what it wrote: {differing(chat, meant)}")
    if said(meant) != said(chat):
        return "-", ()
    try:
        sent = exchange.request(provider, TARGET)
    except GatewayError as error:
        if error.status != 400 or not error.field:
            raise
        return f"refused: {error.field}", ()
    if provider == caller:
        assert sent.body == written.body or speaker.name == "openai_chat"
        return "=", ()
    got = SPEAKERS[provider].read(sent.body)
    if SPEAKERS[provider].path_tells:
        got = replace(got, stream=chat.stream)
    if said(got) == said(meant):
        return "ok", ()
    if not sent.notes:
        raise AssertionError(f"lost in silence: {differing(meant, got)}")
    return "note", sent.notes


def heard(answer: Answer, caller: str) -> dict[str, Any]:
    """What the caller can tell of an answer, by what its dialect has a place for."""
    usage = answer.usage
    written = usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
    if caller == "gemini":
        written = 0
    usage = replace(usage, cache_write_5m_tokens=written, cache_write_1h_tokens=0)
    refused = any(isinstance(p, Refusal) for p in answer.parts)
    stop = "refusal" if refused and answer.stop == "stop" else answer.stop
    signatures = [
        s.split("#")[-1].split(":")[-1]
        for p in answer.parts
        if isinstance(p, Thinking) and (s := p.signature)
    ]
    return {
        "text": "".join(p.text for p in answer.parts if isinstance(p, Text | Refusal)),
        "calls": [
            (p.id, p.name, decode(p.arguments or "{}"))
            for p in answer.parts
            if isinstance(p, ToolCall)
        ],
        "thinking": "".join(p.text for p in answer.parts if isinstance(p, Thinking)),
        "signatures": signatures,
        "redacted": [p.data for p in answer.parts if isinstance(p, RedactedThinking)],
        "stop": _STOPS.get(stop, stop),
        "usage": usage,
    }


def whole(answer: Answer, caller: str, provider: str) -> tuple[str, tuple[str, ...]]:
    answer = replace(answer, parts=tuple(_owned(p, provider) for p in answer.parts))
    told = SPEAKERS[provider].whole(answer)
    exchange = open_by(caller, _plain_request(caller), stream=False)
    converted = exchange.answer(provider, told)
    if provider == caller:
        assert converted.body == told
        return "=", ()
    expected = heard(PROVIDER_DIALECTS[provider].parse_answer(told), caller)
    return _compared(expected, converted.body, caller, converted.notes)


def _compared(
    expected: dict[str, Any], body: bytes, caller: str, notes: tuple[str, ...]
) -> tuple[str, tuple[str, ...]]:
    found = heard(DIALECTS[caller].parse_answer(body), caller)
    if found == expected:
        return "ok", ()
    if not notes:
        raise AssertionError(f"lost in silence: {expected} became {found}")
    return "note", notes


def _plain_request(caller: str, *, stream: bool = False) -> bytes:
    chat = REQUESTS[0][1]
    return DIALECTS[caller].render_request(replace(chat, stream=stream), TARGET).body


def stream(events: list[Event], caller: str, provider: str) -> tuple[str, tuple[str, ...]]:
    from ai_gateway.dialects.folding import fold

    told = SPEAKERS[provider].stream([owned_event(event, provider) for event in events])
    exchange = open_by(caller, _plain_request(caller, stream=True), stream=True)
    bridge = exchange.bridge(provider, TARGET)
    got = b"".join(bridge.feed(told[i : i + 7]) for i in range(0, len(told), 7)) + bridge.end()
    assert bridge.complete
    if provider == caller:
        assert got == told
        return "=", ()
    expected = heard(fold(iter(_events(provider, told))), caller)
    found = heard(fold(iter(_events(caller, got))), caller)
    notes = tuple(getattr(bridge, "notes", ()))
    if found == expected:
        return "ok", ()
    if not notes:
        raise AssertionError(f"lost in silence: {expected} became {found}")
    return "note", notes


def owned_event(event: Event, provider: str) -> Event:
    signature = getattr(event, "signature", None)
    return replace(event, signature=owned(signature, provider)) if signature else event


def _events(dialect: str, body: bytes) -> list[Event]:
    frames, decoder = PROVIDER_DIALECTS[dialect].frames(), PROVIDER_DIALECTS[dialect].decoder()
    found = [e for event in (*frames.feed(body), *frames.end()) for e in decoder.feed(event)]
    return found + decoder.end()


def error(status: int, kind: ErrorKind, caller: str, provider: str) -> tuple[str, tuple[str, ...]]:
    body = SPEAKERS[provider].error(kind, status, "What was wrong.")
    read = PROVIDER_DIALECTS[provider].parse_error(status, body)
    told = GatewayError(read.kind, read.message, field=read.field, code=read.code)
    if status in CREDENTIAL_REFUSED:
        # Never told as the caller's own fault, nor in the provider's words.
        assert "What was wrong" not in told.message
        assert told.status == 502
    else:
        assert "What was wrong." in read.message
    back = DIALECTS[caller].parse_error(told.status, DIALECTS[caller].render_error(told, "req_1"))
    assert told.message in back.message
    if 500 <= status < 600 and status not in CREDENTIAL_REFUSED:
        return str(status), ()
    return str(told.status), ()


def stream_error(caller: str, provider: str) -> tuple[str, tuple[str, ...]]:
    failed = Failure(kind="overloaded", message="Too much.")
    told = SPEAKERS[provider].stream([*STREAMS[0][1][:3], failed])
    exchange = open_by(caller, _plain_request(caller, stream=True), stream=True)
    bridge = exchange.bridge(provider, TARGET)
    got = bridge.feed(told) + bridge.end()
    assert bridge.failure is not None
    assert not bridge.complete
    last = _events(caller, got)[-1]
    assert isinstance(last, Failure)
    assert "Too much." in last.message
    return ("=" if caller == provider else "ok"), ()


def sent_back(caller: str, body: bytes, calls: list[ToolCall]) -> bytes:
    """The next request of a client that keeps the whole answer, as clients are told to."""
    got = decode(body)
    match caller:
        case "openai_chat":
            given = [{"role": "user", "content": "Hi"}, got["choices"][0]["message"]]
            given += [{"role": "tool", "tool_call_id": c.id, "content": "42"} for c in calls]
            return encode({"model": "a-model", "messages": [*given, *_go_on(calls)]})
        case "openai_responses":
            given = [{"role": "user", "content": "Hi"}, *got["output"]]
            given += [
                {"type": "function_call_output", "call_id": c.id, "output": "42"} for c in calls
            ]
            return encode({"model": "a-model", "input": [*given, *_go_on(calls)]})
        case "anthropic_messages":
            results = [{"type": "tool_result", "tool_use_id": c.id, "content": "42"} for c in calls]
            given = [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": got["content"]},
                {"role": "user", "content": results or "Go on"},
            ]
            return encode({"model": "a-model", "max_tokens": 1000, "messages": given})
        case _:
            results = [
                {"functionResponse": {"id": c.id, "name": c.name, "response": {"output": "42"}}}
                for c in calls
            ]
            given = [
                {"role": "user", "parts": [{"text": "Hi"}]},
                got["candidates"][0]["content"],
                {"role": "user", "parts": results or [{"text": "Go on"}]},
            ]
            return encode({"contents": given})


def _go_on(calls: list[ToolCall]) -> list[dict[str, str]]:
    return [] if calls else [{"role": "user", "content": "Go on"}]


def reasoned(
    parts: tuple[Part, ...], foreign: bool, caller: str, provider: str
) -> tuple[str, tuple[str, ...]]:
    """A model's reasoning goes through the caller and comes back: signed, to the maker alone."""
    makers = [name for name in DIALECTS if name != "openai_chat"]
    maker = provider
    signs_as = SPEAKERS[provider].signs_as
    if foreign:
        maker = next(name for name in makers if name not in (signs_as, caller))
    elif signs_as is None:
        return "-", ()
    said_by = answer(*(_owned(p, maker) for p in parts), stop="stop")
    told = SPEAKERS[maker].whole(said_by)
    first = open_by(caller, _plain_request(caller), stream=False).answer(maker, told)
    calls = [p for p in parts if isinstance(p, ToolCall)]
    exchange = open_by(caller, sent_back(caller, first.body, calls), stream=False)
    sent = exchange.request(provider, TARGET)
    if provider == caller and (not foreign or caller == "openai_chat"):
        # Chat's providers take no reasoning back, and look at none.
        return "=", ()
    got = SPEAKERS[provider].read(sent.body)
    signatures = said(got)["signatures"]
    if foreign:
        assert signatures == [], signatures
        assert sent.notes
        return "note", sent.notes
    expected = owned(OWN, provider) or ""
    assert [s.rpartition(":")[2] for s in signatures] == [expected.rpartition(":")[2]], signatures
    assert [p.name for m in got.messages for p in m.parts if isinstance(p, ToolCall)] == [
        c.name for c in calls
    ]
    return "ok", ()


Row = tuple[str, Callable[[str, str], tuple[str, tuple[str, ...]]]]


def rows() -> dict[str, list[Row]]:
    return {
        "Requests": [
            (name, lambda c, p, chat=chat: request(chat, c, p)) for name, chat in REQUESTS
        ],
        "Reasoning": [
            (name, lambda c, p, parts=parts, foreign=foreign: reasoned(parts, foreign, c, p))
            for name, parts, foreign in REASONED
        ],
        "Answers": [(name, lambda c, p, a=a: whole(a, c, p)) for name, a in ANSWERS],
        "Streams": [
            *((name, lambda c, p, e=e: stream(e, c, p)) for name, e in STREAMS),
            ("an error in mid-stream", stream_error),
        ],
        "Errors": [
            (name, lambda c, p, s=status, k=kind: error(s, k, c, p))
            for name, status, kind in ERRORS
        ],
    }


SHORT = {
    "openai_chat": "Chat",
    "openai_responses": "Resp",
    "anthropic_messages": "Msgs",
    "gemini": "Gem",
    "cohere": "Coh",
    "bedrock_converse": "Bed",
}
_HEAD = """# Every pair of dialects

Made by the tests (`make documents`), and true as long as they pass. A column is a pair: the caller's
dialect, then the provider's. *Chat* is `openai_chat`, *Resp* `openai_responses`, *Msgs*
`anthropic_messages`, *Gem* `gemini` (a model that takes thinking levels), *Coh* `cohere`, *Bed*
`bedrock_converse`; the last two are spoken by providers only.

`=` relayed to the letter; `ok` the same meaning in the other's words; a number: something is left out, and
`x-gateway-notes` says what (below); `no` refused with a 400 that names the field; `-` the caller's own
dialect cannot say it. Errors show the status that the caller gets. Nothing is lost in silence: a test
fails where a meaning changes and nothing says so.
"""


def page() -> str:
    notes: dict[str, int] = {}
    refusals: dict[str, set[str]] = {}
    out = [_HEAD]
    for title, table in rows().items():
        out.append(f"## {title}\n")
        out.append("| | " + " | ".join(f"{SHORT[c]} {SHORT[p]}" for c, p in PAIRS) + " |")
        out.append("| --- |" + " --- |" * len(PAIRS))
        for name, run in table:
            cells: list[str] = []
            for caller, provider in PAIRS:
                found, said_why = run(caller, provider)
                if found == "note":
                    numbers = [notes.setdefault(note, len(notes) + 1) for note in said_why]
                    found = " ".join(map(str, numbers))
                elif found.startswith("refused"):
                    refusals.setdefault(name, set()).add(found.removeprefix("refused: "))
                    found = "no"
                cells.append(found)
            out.append(f"| {name} | " + " | ".join(cells) + " |")
        out.append("")
    out.append("## Notes\n")
    out += [f"{number}. {note}" for note, number in notes.items()]
    out.append("\n## What a refusal names\n")
    out += [f"- {name}: `{'`, `'.join(sorted(fields))}`" for name, fields in refusals.items()]
    return "\n".join(out) + "\n"
