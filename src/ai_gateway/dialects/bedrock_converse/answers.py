"""Converse's answers, events and errors, read by way of Messages."""

# pyright: basic
# Free JSON is reworded here and then read, typed, by the dialect of Messages.

import hashlib
from typing import Any

import msgspec
from msgspec.json import decode, encode

from ai_gateway.dialects.anthropic_messages.answers import parse_answer as parse_messages
from ai_gateway.dialects.anthropic_messages.decoder import MessagesDecoder
from ai_gateway.dialects.dialect import BadAnswer, ProviderError
from ai_gateway.dialects.sse import ServerSentEvent
from ai_gateway.dialects.statuses import CREDENTIAL_REFUSED, kind_of_status, refused_credential
from ai_gateway.model.answer import Answer, Event, Failure
from ai_gateway.model.errors import ErrorKind

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_MISSHAPEN = (AttributeError, KeyError, TypeError, IndexError)
_STOPS = {"guardrail_intervened": "refusal", "content_filtered": "refusal"}
"""The others have Messages' names."""
_KINDS: dict[str, ErrorKind] = {
    "throttlingException": "rate_limited",
    "serviceUnavailableException": "overloaded",
    "modelStreamErrorException": "upstream",
    "modelTimeoutException": "timeout",
    "validationException": "invalid_request",
    "internalServerException": "upstream",
}
_LONGEST_MESSAGE = 2000
_MODEL_FAILED = 424


def parse_answer(body: bytes) -> Answer:
    """Raises BadAnswer."""
    try:
        answer = decode(body)
        blocks = [_block(content) for content in answer["output"]["message"]["content"]]
        reworded = {
            "id": _id(body),
            "type": "message",
            "role": "assistant",
            "model": "",
            "content": [block for block in blocks if block is not None],
            "stop_reason": _STOPS.get(answer["stopReason"], answer["stopReason"]),
            "stop_sequence": None,
            "usage": _usage(answer.get("usage") or {}),
        }
    except _UNREADABLE:
        raise BadAnswer("not JSON in UTF-8") from None
    except _MISSHAPEN as error:
        raise BadAnswer(f"not an answer of Converse: {type(error).__name__}") from None
    return parse_messages(encode(reworded))


def _id(data: bytes) -> str:
    """Converse gives no id in its body; the same answer always gets the same one."""
    return f"msg_bdrk_{hashlib.sha256(data).hexdigest()[:24]}"


def _usage(usage: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {
        "input_tokens": usage.get("inputTokens", 0),
        "output_tokens": usage.get("outputTokens", 0),
        "cache_read_input_tokens": usage.get("cacheReadInputTokens", 0),
        "cache_creation_input_tokens": usage.get("cacheWriteInputTokens", 0),
    }
    written = {detail["ttl"]: detail["inputTokens"] for detail in usage.get("cacheDetails") or ()}
    if written:
        # They have prices of their own.
        out["cache_creation"] = {
            "ephemeral_5m_input_tokens": written.get("5m", 0),
            "ephemeral_1h_input_tokens": written.get("1h", 0),
        }
    return out


def _block(content: dict[str, Any]) -> dict[str, Any] | None:
    if "text" in content:
        return {"type": "text", "text": content["text"]}
    if "toolUse" in content:
        call = content["toolUse"]
        return {
            "type": "tool_use",
            "id": call["toolUseId"],
            "name": call["name"],
            "input": call["input"],
        }
    if "reasoningContent" in content:
        return _reasoning(content["reasoningContent"])
    if "citationsContent" in content:
        parts = content["citationsContent"].get("content", [])
        return {"type": "text", "text": "".join(part.get("text", "") for part in parts)}
    return None


def _reasoning(content: dict[str, Any]) -> dict[str, Any]:
    if "redactedContent" in content:
        return {"type": "redacted_thinking", "data": content["redactedContent"]}
    said = content["reasoningText"]
    signature = said.get("signature") or ""
    return {"type": "thinking", "thinking": said.get("text", ""), "signature": signature}


class ConverseDecoder:
    """ConverseStream's events -> Events.

    Text and thinking begin without an event of their own, and usage comes after the stop: what
    Messages would have said is put in.
    """

    def __init__(self) -> None:
        self._inner = MessagesDecoder()
        self._open: set[int] = set()
        self._stop: str | None = None
        self._failed = False

    def feed(self, event: ServerSentEvent) -> list[Event]:
        """Raises BadAnswer."""
        if self._failed:
            return []
        kind, _, name = event.event.partition(":")
        try:
            data = decode(event.data) if event.data else {}
            if kind != "event":
                self._failed = True
                message = str(data.get("message") or "the stream broke off")[:_LONGEST_MESSAGE]
                return [Failure(kind=_KINDS.get(name, "upstream"), message=message, code=name)]
            return self._read(name, data, event.data)
        except _UNREADABLE:
            raise BadAnswer("an event is not JSON in UTF-8") from None
        except _MISSHAPEN as error:
            raise BadAnswer(f"not an event of Converse: {type(error).__name__}") from None

    def end(self) -> list[Event]:
        # The usage never came: the answer is whole all the same.
        if self._stop is None or self._failed:
            return []
        return self._finish({})

    def _read(self, name: str, data: dict[str, Any], raw: bytes) -> list[Event]:
        at = data.get("contentBlockIndex", 0)
        match name:
            case "messageStart":
                message = {"id": _id(raw), "model": "", "role": "assistant", "content": []}
                return self._say({"type": "message_start", "message": message})
            case "contentBlockStart":
                call = data["start"].get("toolUse")
                if call is None:
                    # A picture, or the result of a tool of AWS's own: nothing a caller could be told.
                    return []
                named = {"id": call["toolUseId"], "name": call["name"]}
                return self._begin(at, {"type": "tool_use", **named, "input": {}})
            case "contentBlockDelta":
                return self._delta(at, data["delta"])
            case "contentBlockStop":
                if at not in self._open:
                    return []
                self._open.discard(at)
                return self._say({"type": "content_block_stop", "index": at})
            case "messageStop":
                self._stop = data["stopReason"]
                return []
            case "metadata":
                return self._finish(_usage(data.get("usage") or {}))
            case _:
                return []

    def _delta(self, at: int, delta: dict[str, Any]) -> list[Event]:
        if "text" in delta:
            return [
                *self._begin(at, {"type": "text", "text": ""}),
                *self._grow(at, {"type": "text_delta", "text": delta["text"]}),
            ]
        if "toolUse" in delta:
            given = delta["toolUse"].get("input", "")
            return self._grow(at, {"type": "input_json_delta", "partial_json": given})
        if "reasoningContent" not in delta:
            return []
        thought = delta["reasoningContent"]
        if "redactedContent" in thought:
            block = {"type": "redacted_thinking", "data": thought["redactedContent"]}
            return self._begin(at, block)
        begun = self._begin(at, {"type": "thinking", "thinking": "", "signature": ""})
        if "signature" in thought:
            change = {"type": "signature_delta", "signature": thought["signature"]}
        else:
            change = {"type": "thinking_delta", "thinking": thought.get("text", "")}
        return [*begun, *self._grow(at, change)]

    def _begin(self, at: int, block: dict[str, Any]) -> list[Event]:
        if at in self._open:
            return []
        self._open.add(at)
        return self._say({"type": "content_block_start", "index": at, "content_block": block})

    def _grow(self, at: int, delta: dict[str, Any]) -> list[Event]:
        if at not in self._open:
            raise BadAnswer("a piece of what has not begun")
        return self._say({"type": "content_block_delta", "index": at, "delta": delta})

    def _finish(self, usage: dict[str, Any]) -> list[Event]:
        stop = _STOPS.get(self._stop or "", self._stop)
        self._stop = None
        told = self._say({"type": "message_delta", "delta": {"stop_reason": stop}, "usage": usage})
        return [*told, *self._say({"type": "message_stop"})]

    def _say(self, event: dict[str, Any]) -> list[Event]:
        return self._inner.feed(ServerSentEvent(event["type"], encode(event)))


class _WireError(msgspec.Struct):
    message: str | None = None


_decode_error = msgspec.json.Decoder(_WireError)


def parse_error(status: int, body: bytes) -> ProviderError:
    """`{"message": "..."}`; total: any status, any bytes."""
    if status in CREDENTIAL_REFUSED:
        return refused_credential(status)
    # 424: the model failed, which AWS counts among the caller's faults.
    kind = "upstream" if status == _MODEL_FAILED else kind_of_status(status)
    try:
        message = _decode_error.decode(body).message
    except _UNREADABLE:
        message = None
    told = (message or f"the provider answered with status {status}")[:_LONGEST_MESSAGE]
    too_long = kind == "invalid_request" and "too long" in told.lower()
    return ProviderError(
        kind=kind, message=told, code="context_length_exceeded" if too_long else None
    )
