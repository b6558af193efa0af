"""The provider's side of every dialect: what it reads in a request, and how it answers.

Of the dialects that callers speak too, the code under test does both. Cohere and Bedrock only ever
answer; their side is written here, after their own documentation and apart from that code.
"""

import json
import struct
from collections.abc import Callable, Iterable
from typing import Any
from zlib import crc32

from msgspec import Raw, Struct
from msgspec.json import decode, encode

from ai_gateway.dialects.anthropic_messages.blocks import STRUCTURED_ANSWER
from ai_gateway.dialects.registry import DIALECTS
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
from ai_gateway.model.chat import Chat, Reasoning, ResponseFormat, Tool, ToolChoice
from ai_gateway.model.content import (
    CacheMark,
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
from ai_gateway.model.errors import ErrorKind, GatewayError
from ai_gateway.model.usage import Usage

NO_CHAT = Chat(model="a-model", messages=(), stream=True, include_usage=True)


class Speaker(Struct, frozen=True):
    read: Callable[[bytes], Chat]
    whole: Callable[[Answer], bytes]
    stream: Callable[[list[Event]], bytes]
    """Failure among the events: the error as it comes inside a stream."""
    error: Callable[[ErrorKind, int, str], bytes]
    path_tells: bool = False
    """The model, and whether to stream, are not in the body."""
    signs_as: str | None = None
    """By whose name its reasoning is marked; None where it signs none."""


def _of(name: str) -> Speaker:
    dialect = DIALECTS[name]

    def stream(events: list[Event]) -> bytes:
        encoder = dialect.encoder(NO_CHAT)
        return b"".join(encoder.feed(event) for event in events)

    def error(kind: ErrorKind, status: int, message: str) -> bytes:
        given = GatewayError(kind, message, field="f", code="c", status=status)
        return dialect.render_error(given, "req_1")

    return Speaker(
        read=dialect.parse_request,
        whole=lambda answer: dialect.render_answer(answer, NO_CHAT).body,
        stream=stream,
        error=error,
        path_tells=dialect.model_in_path,
        signs_as=None if name == "openai_chat" else name,
    )


def in_turn(events: Iterable[Event]) -> list[Event]:
    """Part after part, as providers say it that hold one open at a time."""
    events = list(events)
    parts = sorted({e.index for e in events if isinstance(e, PartStart)})
    head = [e for e in events if isinstance(e, Start)]
    tail = [e for e in events if isinstance(e, Finish | Failure)]
    return [*head, *(e for i in parts for e in events if getattr(e, "index", None) == i), *tail]


# Cohere's Chat v2 (docs.cohere.com/v2/reference/chat, .../chat-stream).

_COHERE_STOPS = {
    "stop": "COMPLETE", "length": "MAX_TOKENS", "tool_calls": "TOOL_CALL", "error": "ERROR",
    "stop_sequence": "STOP_SEQUENCE",
}  # fmt: skip


def cohere_read(body: bytes) -> Chat:
    asked = decode(body)
    allowed = {
        "model", "messages", "stream", "tools", "strict_tools", "tool_choice", "response_format",
        "max_tokens", "stop_sequences", "temperature", "seed", "frequency_penalty", "presence_penalty",
        "k", "p", "thinking",
    }  # fmt: skip
    assert asked.keys() <= allowed, asked.keys() - allowed
    wanted = asked.get("response_format")
    thinking = asked.get("thinking")
    choice = asked.get("tool_choice")
    schema = None if wanted is None else wanted.get("json_schema")
    kind = "json_object" if schema is None else "json_schema"
    return Chat(
        model=asked["model"],
        messages=tuple(_cohere_message(m) for m in asked["messages"]),
        tools=tuple(
            Tool(
                name=t["function"]["name"],
                description=t["function"].get("description"),
                parameters=Raw(encode(t["function"]["parameters"])),
                strict=asked.get("strict_tools"),
            )
            for t in asked.get("tools", ())
        ),
        tool_choice=None if choice is None else ToolChoice(mode=choice.lower()),
        max_tokens=asked.get("max_tokens"),
        temperature=asked.get("temperature"),
        top_p=asked.get("p"),
        top_k=asked.get("k"),
        stop=tuple(asked.get("stop_sequences", ())),
        seed=asked.get("seed"),
        frequency_penalty=asked.get("frequency_penalty"),
        presence_penalty=asked.get("presence_penalty"),
        response_format=None
        if wanted is None
        else ResponseFormat(kind=kind, schema=None if schema is None else Raw(encode(schema))),
        reasoning=None
        if thinking is None
        else Reasoning(mode=thinking["type"], budget_tokens=thinking.get("token_budget")),
        stream=asked["stream"],
    )


def _cohere_message(message: dict[str, Any]) -> Message:
    content = message.get("content") or []
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    parts: list[Any] = [_cohere_content(c) for c in content]
    if message["role"] == "tool":
        return Message(
            role="tool",
            parts=(ToolResult(call_id=message["tool_call_id"], parts=tuple(parts)),),
        )
    if message.get("tool_plan"):
        parts.append(Text(text=message["tool_plan"]))
    parts += [
        ToolCall(id=c["id"], name=c["function"]["name"], arguments=c["function"]["arguments"])
        for c in message.get("tool_calls", ())
    ]
    return Message(role=message["role"], parts=tuple(parts))


def _cohere_content(content: dict[str, Any]) -> Part:
    match content["type"]:
        case "text":
            return Text(text=content["text"])
        case "thinking":
            return Thinking(text=content["thinking"])
        case "image_url":
            image = content["image_url"]
            head, _, data = image["url"].partition(";base64,")
            if data:
                return Image(
                    data=data, media_type=head.removeprefix("data:"), detail=image.get("detail")
                )
            return Image(url=image["url"], detail=image.get("detail"))
        case kind:
            raise AssertionError(f"Cohere has no content of type {kind}")


def _cohere_usage(usage: Usage) -> dict[str, Any]:
    units = {"input_tokens": float(usage.input_tokens), "output_tokens": float(usage.output_tokens)}
    tokens = {
        "input_tokens": float(usage.input_tokens + 490),
        "output_tokens": units["output_tokens"],
    }
    return {
        "billed_units": units,
        "tokens": tokens,
        "cached_tokens": float(usage.cache_read_tokens),
    }


def cohere_whole(answer: Answer) -> bytes:
    message: dict[str, Any] = {"role": "assistant"}
    called = any(isinstance(p, ToolCall) for p in answer.parts)
    content: list[dict[str, Any]] = []
    for part in answer.parts:
        match part:
            case Text(text=text) | Refusal(text=text):
                if called:
                    message["tool_plan"] = message.get("tool_plan", "") + text
                else:
                    content.append({"type": "text", "text": text})
            case Thinking():
                content.append({"type": "thinking", "thinking": part.text})
            case ToolCall():
                function = {"name": part.name, "arguments": part.arguments}
                call = {"id": part.id, "type": "function", "function": function}
                message.setdefault("tool_calls", []).append(call)
            case _:
                pass
    if content:
        message["content"] = content
    told = {
        "id": answer.id,
        "finish_reason": _COHERE_STOPS.get(answer.stop, "COMPLETE"),
        "message": message,
        "usage": _cohere_usage(answer.usage),
    }
    return encode(told)


def cohere_stream(events: list[Event]) -> bytes:
    out: list[bytes] = []
    kinds: dict[int, Part] = {}
    called = any(isinstance(e, PartStart) and isinstance(e.part, ToolCall) for e in events)

    def say(kind: str, **rest: Any) -> None:
        data = encode({"type": kind, **rest})
        out.append(b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n")

    def message(**rest: Any) -> dict[str, Any]:
        return {"message": rest}

    for event in in_turn(events):
        match event:
            case Start():
                empty = {"content": [], "tool_plan": "", "tool_calls": [], "citations": []}
                say("message-start", id=event.id, delta=message(role="assistant", **empty))
            case PartStart(index=index, part=part):
                kinds[index] = part
                match part:
                    case ToolCall():
                        function = {"name": part.name, "arguments": ""}
                        call = {"id": part.id, "type": "function", "function": function}
                        say("tool-call-start", index=index, delta=message(tool_calls=call))
                    case Thinking():
                        content = {"type": "thinking", "thinking": ""}
                        say("content-start", index=index, delta=message(content=content))
                    case _ if not called:
                        content = {"type": "text", "text": ""}
                        say("content-start", index=index, delta=message(content=content))
                    case _:
                        pass
            case Delta(index=index, text=text):
                match kinds[index]:
                    case ToolCall():
                        call = {"function": {"arguments": text}}
                        say("tool-call-delta", index=index, delta=message(tool_calls=call))
                    case Thinking():
                        say("content-delta", index=index, delta=message(content={"thinking": text}))
                    case _ if called:
                        say("tool-plan-delta", delta=message(tool_plan=text))
                    case _:
                        say("content-delta", index=index, delta=message(content={"text": text}))
            case PartEnd(index=index):
                if isinstance(kinds[index], ToolCall):
                    say("tool-call-end", index=index)
                elif isinstance(kinds[index], Thinking) or not called:
                    say("content-end", index=index)
            case Finish():
                usage = _cohere_usage(event.usage or Usage())
                reason = _COHERE_STOPS.get(event.stop, "COMPLETE")
                say("message-end", delta={"finish_reason": reason, "usage": usage})
            case Failure():
                say("message-end", delta={"finish_reason": "ERROR", "error": event.message})
            case Signature():
                pass
    return b"".join(out) + b"data: [DONE]\n\n"


def cohere_error(kind: ErrorKind, status: int, message: str) -> bytes:
    return encode({"id": "8bd5b608", "message": message})


# Bedrock's Converse (docs.aws.amazon.com/bedrock/latest/APIReference).

_BEDROCK_STOPS = {
    "stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use",
    "content_filter": "content_filtered", "refusal": "guardrail_intervened",
    "stop_sequence": "stop_sequence",
}  # fmt: skip


def bedrock_read(body: bytes) -> Chat:
    asked = decode(body)
    config = asked["inferenceConfig"]
    more = asked.get("additionalModelRequestFields", {})
    tools: list[Tool] = []
    wanted: ResponseFormat | None = None
    given = asked.get("toolConfig", {})
    for entry in given.get("tools", ()):
        if "cachePoint" in entry:
            continue
        spec = entry["toolSpec"]
        schema = Raw(encode(spec["inputSchema"]["json"]))
        if spec["name"] == STRUCTURED_ANSWER:
            wanted = ResponseFormat(kind="json_schema", schema=schema)
        else:
            tools.append(
                Tool(
                    name=spec["name"],
                    description=spec.get("description"),
                    parameters=schema,
                    strict=spec.get("strict"),
                )
            )
    choice: ToolChoice | None = None
    if tools:
        ((kind, value),) = given["toolChoice"].items()
        mode: Any = {"auto": "auto", "any": "required", "tool": "tool"}[kind]
        choice = ToolChoice(mode=mode, name=value.get("name"))
    thinking = more.get("thinking")
    effort = more.get("output_config", {}).get("effort")
    system = [Message(role="system", parts=(p,)) for p in _bedrock_parts(asked.get("system", []))]
    turns = [
        Message(role=m["role"], parts=tuple(_bedrock_parts(m["content"])))
        for m in asked["messages"]
    ]
    return Chat(
        model="",
        messages=(*system, *turns),
        tools=tuple(tools),
        tool_choice=choice,
        max_tokens=config.get("maxTokens"),
        temperature=config.get("temperature"),
        top_p=config.get("topP"),
        top_k=more.get("top_k"),
        stop=tuple(config.get("stopSequences", ())),
        response_format=wanted,
        reasoning=None
        if thinking is None and effort is None
        else Reasoning(
            mode=None if thinking is None else thinking["type"],
            budget_tokens=None if thinking is None else thinking.get("budget_tokens"),
            effort=effort,
        ),
    )


def _bedrock_parts(contents: list[dict[str, Any]]) -> list[Any]:
    parts: list[Any] = []
    for content in contents:
        ((kind, value),) = content.items()
        match kind:
            case "text":
                parts.append(Text(text=value))
            case "image":
                data, kind = value["source"]["bytes"], value["format"]
                parts.append(Image(data=data, media_type=f"image/{kind}"))
            case "document":
                name = None if value["name"] == "document" else value["name"]
                data = value["source"]["bytes"]
                if value["format"] == "txt":
                    import base64

                    parts.append(Document(text=base64.b64decode(data).decode(), name=name))
                else:
                    parts.append(Document(data=data, name=name))
            case "toolUse":
                arguments = json.dumps(value["input"])
                parts.append(
                    ToolCall(id=value["toolUseId"], name=value["name"], arguments=arguments)
                )
            case "toolResult":
                parts.append(
                    ToolResult(
                        call_id=value["toolUseId"],
                        parts=tuple(_bedrock_parts(value["content"])),
                        is_error=value.get("status") == "error",
                    )
                )
            case "reasoningContent" if "redactedContent" in value:
                parts.append(RedactedThinking(data=value["redactedContent"]))
            case "reasoningContent":
                said = value["reasoningText"]
                signature = f"anthropic_messages#{said['signature']}"
                parts.append(Thinking(text=said["text"], signature=signature))
            case "cachePoint":
                last = parts.pop()
                parts.append(Text(text=last.text, cache=CacheMark()))
            case _:
                raise AssertionError(f"Bedrock has no content {kind}")
    return parts


def _bedrock_usage(usage: Usage) -> dict[str, Any]:
    written = usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
    return {
        "inputTokens": usage.input_tokens - usage.cache_read_tokens - written,
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.total_tokens,
        "cacheReadInputTokens": usage.cache_read_tokens,
        "cacheWriteInputTokens": written,
    }


def _bare(signature: str | None) -> str:
    return (signature or "").split("#")[-1]


def bedrock_whole(answer: Answer) -> bytes:
    content: list[dict[str, Any]] = []
    for part in answer.parts:
        match part:
            case Text(text=text) | Refusal(text=text):
                content.append({"text": text})
            case ToolCall():
                call = {"toolUseId": part.id, "name": part.name, "input": decode(part.arguments)}
                content.append({"toolUse": call})
            case Thinking():
                said = {"text": part.text, "signature": _bare(part.signature)}
                content.append({"reasoningContent": {"reasoningText": said}})
            case RedactedThinking():
                content.append({"reasoningContent": {"redactedContent": part.data}})
            case _:
                pass
    return encode(
        {
            "output": {"message": {"role": "assistant", "content": content}},
            "stopReason": _BEDROCK_STOPS.get(answer.stop, "end_turn"),
            "usage": _bedrock_usage(answer.usage),
            "metrics": {"latencyMs": 1},
        }
    )


def bedrock_frame(kind: str, name: str, data: object) -> bytes:
    """docs.aws.amazon.com, "Amazon event stream encoding"."""
    headers = b""
    pairs = [
        (":message-type", kind),
        (":event-type" if kind == "event" else ":exception-type", name),
    ]
    for header, value in pairs:
        headers += struct.pack("!B", len(header)) + header.encode() + b"\x07"
        headers += struct.pack("!H", len(value)) + value.encode()
    payload = json.dumps(data).encode()
    prelude = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    message = prelude + struct.pack("!I", crc32(prelude)) + headers + payload
    return message + struct.pack("!I", crc32(message))


def bedrock_stream(events: list[Event]) -> bytes:
    out: list[bytes] = []
    kinds: dict[int, Part] = {}

    def say(name: str, **data: Any) -> None:
        out.append(bedrock_frame("event", name, data))

    def grow(index: int, **delta: Any) -> None:
        say("contentBlockDelta", contentBlockIndex=index, delta=delta)

    for event in in_turn(events):
        match event:
            case Start():
                say("messageStart", role="assistant")
            case PartStart(index=index, part=part):
                kinds[index] = part
                if isinstance(part, ToolCall):
                    start = {"toolUse": {"toolUseId": part.id, "name": part.name}}
                    say("contentBlockStart", contentBlockIndex=index, start=start)
            case Delta(index=index, text=text):
                match kinds[index]:
                    case ToolCall():
                        grow(index, toolUse={"input": text})
                    case Thinking():
                        grow(index, reasoningContent={"text": text})
                    case _:
                        grow(index, text=text)
            case Signature(index=index, signature=signature):
                grow(index, reasoningContent={"signature": _bare(signature)})
            case PartEnd(index=index):
                say("contentBlockStop", contentBlockIndex=index)
            case Finish():
                say("messageStop", stopReason=_BEDROCK_STOPS.get(event.stop, "end_turn"))
                say("metadata", usage=_bedrock_usage(event.usage or Usage()), metrics={})
            case Failure():
                told = {"message": event.message}
                out.append(bedrock_frame("exception", "serviceUnavailableException", told))
    return b"".join(out)


def bedrock_error(kind: ErrorKind, status: int, message: str) -> bytes:
    return encode({"message": message})


SPEAKERS: dict[str, Speaker] = {
    **{name: _of(name) for name in DIALECTS},
    "cohere": Speaker(cohere_read, cohere_whole, cohere_stream, cohere_error),
    "bedrock_converse": Speaker(
        bedrock_read,
        bedrock_whole,
        bedrock_stream,
        bedrock_error,
        path_tells=True,
        signs_as="anthropic_messages",
    ),
}
