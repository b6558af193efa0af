"""Google's side of the simulator: generateContent, token counts, embeddings."""

# pyright: basic
# Free JSON, as a client may write it, is read here; typing each shape would say nothing more.

import base64
import re
from typing import Any

from msgspec import Struct
from msgspec.json import encode

from .answer import Asked, Said, pieces, say, tokens_in
from .openai import unit_vector

_SIGNATURE = base64.b64encode(b"simulator thought").decode()
_STAND_IN = base64.b64encode(b"context_engineering_is_the_way_to_go").decode()
_PATH = re.compile(r"/models/(?P<model>.+):(?P<action>[A-Za-z]+)")
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    502: "INTERNAL",
    503: "UNAVAILABLE",
    529: "UNAVAILABLE",
}
_MADE_UP = frozenset(
    {
        "args",
        "response",
        "parameters",
        "parametersJsonSchema",
        "responseSchema",
        "responseJsonSchema",
    }
)
ACTIONS = frozenset(
    {
        "generateContent",
        "streamGenerateContent",
        "countTokens",
        "embedContent",
        "batchEmbedContents",
    }
)


class Refused(Exception):
    """A request the real one would refuse."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status
        self.body = error_body(status, message)


def error_body(status: int, message: str) -> bytes:
    error = {"code": status, "message": message, "status": _STATUSES.get(status, "INTERNAL")}
    return encode({"error": error})


def called(path: str) -> tuple[str, str] | None:
    """(model, action) of one of Gemini's paths."""
    match = _PATH.fullmatch(path)
    if match is None or match["action"] not in ACTIONS:
        return None
    return match["model"], match["action"]


class GeminiAsked(Struct):
    asked: Asked


def _camel(value: Any) -> Any:
    """Google takes names in either case; what callers made up themselves stays as it is."""
    if isinstance(value, list):
        return [_camel(each) for each in value]
    if not isinstance(value, dict):
        return value
    out: dict[str, Any] = {}
    for name, inner in value.items():
        named = re.sub(r"_([a-z])", lambda m: m[1].upper(), name)
        out[named] = inner if named in _MADE_UP else _camel(inner)
    return out


def read_generate(body: Any, model: str, answer_tokens: int) -> GeminiAsked:
    body = _camel(body)
    if model.startswith("missing-"):
        raise Refused(404, f"models/{model} is not found for API version v1beta.")
    contents = body.get("contents")
    if not isinstance(contents, list) or not contents:
        raise Refused(400, "* GenerateContentRequest.contents: contents is not specified")
    config = body.get("generationConfig") or {}
    calling = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    allowed = calling.get("allowedFunctionNames") or []
    thinking = config.get("thinkingConfig") or {}
    choice = {"ANY": "required", "NONE": "none"}.get(calling.get("mode") or "AUTO", "auto")
    schema = config.get("responseJsonSchema") or config.get("responseSchema")
    asked = Asked(
        model=model,
        tools=[
            (d["name"], _lower(d.get("parametersJsonSchema") or d.get("parameters") or {}))
            for tool in body.get("tools") or []
            for d in tool.get("functionDeclarations") or []
        ],
        tool_choice=f"tool:{allowed[0]}" if choice == "required" and len(allowed) == 1 else choice,
        schema=_lower(schema) if schema else None,
        json_object=config.get("responseMimeType") == "application/json" and not schema,
        stop=config.get("stopSequences") or [],
        max_tokens=config.get("maxOutputTokens"),
        thinking=bool(thinking.get("includeThoughts")),
        answer_tokens=answer_tokens,
    )
    for part in (body.get("systemInstruction") or {}).get("parts") or []:
        asked.prompt_characters += len(part.get("text", ""))
    for content in contents:
        _read_content(content, asked)
    return GeminiAsked(asked)


def _lower(schema: Any) -> Any:
    """Google's own schemas, whose types are in capitals."""
    if isinstance(schema, dict):
        return {
            k: v.lower() if k == "type" and isinstance(v, str) else _lower(v)
            for k, v in schema.items()
        }
    return [_lower(each) for each in schema] if isinstance(schema, list) else schema


def _read_content(content: Any, asked: Asked) -> None:
    if content.get("role", "user") not in ("user", "model"):
        raise Refused(400, "Please use a valid role: user, model.")
    texts: list[str] = []
    results: list[str] = []
    for part in content.get("parts") or []:
        if part.get("thoughtSignature") not in (None, _SIGNATURE, _STAND_IN):
            raise Refused(400, "Thought signature is not valid")
        if "inlineData" in part or "fileData" in part:
            kind = (part.get("inlineData") or part.get("fileData")).get("mimeType", "")
            if kind.startswith("image/"):
                asked.images += 1
            else:
                asked.documents += 1
        elif "functionResponse" in part:
            response = part["functionResponse"]
            if not response.get("name"):
                raise Refused(400, "function_response.name: Name cannot be empty.")
            given = response.get("response") or {}
            results.append(str(given.get("output") or given.get("error") or given))
        elif not part.get("thought"):
            texts.append(part.get("text", ""))
    text = " ".join(texts)
    asked.prompt_characters += len(text) + sum(len(r) for r in results)
    if content.get("role", "user") == "user":
        asked.last_text, asked.tool_results = text, results


def _parts(said: Said) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    if said.thinking:
        parts.append({"text": said.thinking, "thought": True})
    if said.text:
        parts.append({"text": said.text})
    for number, (_, name, arguments) in enumerate(said.calls):
        call: dict[str, Any] = {"functionCall": {"name": name, "args": arguments}}
        if said.thinking and number == 0:
            call["thoughtSignature"] = _SIGNATURE
        parts.append(call)
    return parts


def _usage(said: Said) -> dict[str, Any]:
    usage = {
        "promptTokenCount": said.input_tokens,
        "candidatesTokenCount": said.output_tokens - said.thinking_tokens,
        "totalTokenCount": said.input_tokens + said.output_tokens,
    }
    if said.thinking_tokens:
        usage["thoughtsTokenCount"] = said.thinking_tokens
    return usage


def _finish(said: Said) -> str:
    return {"length": "MAX_TOKENS", "refusal": "SAFETY"}.get(said.stop, "STOP")


def _answer(
    asked: GeminiAsked, number: int, parts: list[Any], said: Said, *, last: bool
) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if last:
        candidate["finishReason"] = _finish(said)
    return {
        "candidates": [candidate],
        "usageMetadata": _usage(said),
        "modelVersion": asked.asked.model,
        "responseId": f"simulator{number:08d}",
    }


def generate_answer(asked: GeminiAsked, number: int) -> tuple[bytes, Said]:
    said = say(asked.asked, number)
    return encode(_answer(asked, number, _parts(said), said, last=True)), said


def generate_events(asked: GeminiAsked, number: int) -> tuple[list[bytes], Said]:
    """A whole stream, an event each."""
    said = say(asked.asked, number)
    told: list[dict[str, Any]] = []
    for part in _parts(said):
        if "text" in part:
            told += [{**part, "text": piece} for piece in pieces(part["text"])]
        else:
            told.append(part)
    told.append({"text": ""})
    return [
        b"data: %b\r\n\r\n" % encode(_answer(asked, number, [part], said, last=at == len(told) - 1))
        for at, part in enumerate(told)
    ], said


def count_answer(body: Any, model: str) -> bytes:
    body = _camel(body)
    asked = read_generate(body.get("generateContentRequest") or body, model, 0)
    return encode({"totalTokens": max(1, tokens_in(asked.asked.prompt_characters))})


def embeddings_answer(body: Any, action: str) -> tuple[bytes, int]:
    """The answer and how many tokens it counts."""
    body = _camel(body)
    requests = body.get("requests") if action == "batchEmbedContents" else [body]
    if not requests:
        raise Refused(400, "* BatchEmbedContentsRequest.requests: requests is not specified")
    vectors: list[dict[str, Any]] = []
    tokens = 0
    for request in requests:
        text = " ".join(p.get("text", "") for p in request["content"]["parts"])
        tokens += tokens_in(text)
        vectors.append({"values": unit_vector(text, request.get("outputDimensionality") or 3072)})
    usage = {"usageMetadata": {"promptTokenCount": tokens}}
    if action == "embedContent":
        return encode({"embedding": vectors[0], **usage}), tokens
    return encode({"embeddings": vectors, **usage}), tokens
