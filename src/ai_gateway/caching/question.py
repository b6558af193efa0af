"""What makes two calls the same question, whoever asks it in whatever dialect.

A question's digest is taken over the call in no dialect, so that it is one in every dialect; or, where
the call says what only its own dialect can, over the body in a canonical form.

Left out, since they do not change the answer: `stream` and its options, the names by which a caller
marks its calls (`user`, `metadata`, ...), and marks for the provider's own prompt cache. Everything
else counts, fields the gateway does not know included.
"""

import json
from collections.abc import Callable, Collection, Mapping
from hashlib import sha256
from typing import Any, cast

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from ai_gateway.model.chat import Chat, OpaqueTool, Tool
from ai_gateway.model.content import (
    Document,
    Image,
    Opaque,
    Part,
    RedactedThinking,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from ai_gateway.model.errors import GatewayError

from .forms import Form
from .plain import Untold, plain_content

DIGEST_BYTES = 20

UNTOLD_FIELDS = frozenset(Untold.__struct_fields__)
"""Top-level fields of any dialect that do not change the answer."""

STATEFUL_FIELDS = frozenset({"previous_response_id", "conversation", "background"})
"""Fields by which a call reads or changes what its provider keeps; such a call is never cached."""

CARRIED = frozenset(
    {
        "parameters", "input_schema", "schema", "input", "arguments", "args", "response",
        "parametersJsonSchema", "responseSchema", "responseJsonSchema",
    }
)  # fmt: skip
"""Members whose values parsing carries whole, whatever is in them."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


VOCABULARIES: dict[str, frozenset[str]] = {
    "openai_chat": _words(
        "role content name tool_calls tool_call_id refusal reasoning_content reasoning_signature "
        "redacted_reasoning type text image_url url detail file filename file_data thinking id "
        "function description strict json_schema cache_control ttl"
    ),
    "anthropic_messages": _words(
        "role content name type text source media_type data url id tool_use_id is_error thinking "
        "signature title context citations enabled description strict disable_parallel_tool_use "
        "budget_tokens display effort format cache_control ttl"
    ),
    "openai_responses": _words(
        "type role content text call_id name output id status summary encrypted_content annotations "
        "refusal image_url file_id detail filename file_data format description strict effort mode tools"
    ),
    "gemini": _words(
        "role parts text inlineData mimeType data fileData fileUri functionCall functionResponse name id "
        "thought thoughtSignature functionDeclarations description functionCallingConfig mode "
        "allowedFunctionNames temperature topP topK maxOutputTokens stopSequences candidateCount seed "
        "presencePenalty frequencyPenalty responseMimeType thinkingConfig includeThoughts thinkingBudget"
    ),
}
"""Members below the top that a dialect's `parse_request` keeps. A call with any other may mean
something that `Chat` does not hold, so it is told by its body."""

TELLING_HEADERS = frozenset({b"anthropic-beta"})
"""Request headers that are handed to a provider and change what it does."""

_encode = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.decode


class Question(Struct, frozen=True, gc=False):
    digest: bytes
    portable: bool
    """The answer can be told in every dialect, whole or as a stream. False where the call says what
    only its own dialect can; then the digest is of the body itself, the dialect and the mode."""


def question_of(
    form: Form,
    model: str,
    headers: bytes,
    body: bytes,
    parse: Callable[[], Chat],
) -> Question | None:
    """The canonical digest of a well-formed call; None for one that must not be cached.

    `model` is told apart, since not every dialect has it in the body.

    `parse` reads the call; where it refuses what a relay lets pass, the body itself
    is what counts. `body`: without a member at the top that is given twice.
    """
    if not headers:
        plain = plain_content(form.dialect, body)
        if plain is not None:
            turns, set_ = plain
            return Question(_digest(("chat", model, turns, (), set_)), portable=True)
    return whole_question(form, model, headers, body, parse)


def whole_question(
    form: Form, model: str, headers: bytes, body: bytes, parse: Callable[[], Chat]
) -> Question | None:
    """The same for any call, all of it read."""
    try:
        tree = json.loads(body, object_pairs_hook=_object)
    except _Repeated:
        return None
    if any(tree.get(name) is not None for name in STATEFUL_FIELDS):
        return None
    told = {n: v for n, v in tree.items() if n not in UNTOLD_FIELDS and v is not None}
    if not headers and _only_known(told, VOCABULARIES.get(form.dialect, frozenset())):
        try:
            chat = parse()
        except GatewayError:
            chat = None
        if chat is not None and _is_portable(chat):
            content = [
                "chat",
                model,
                _turns(chat),
                list(map(_tool, chat.tools)),
                _set(chat, form.dialect),
            ]
            return Question(_digest(content), portable=True)
    return Question(_digest([form, model, headers.decode("latin-1"), told]), portable=False)


def _is_portable(chat: Chat) -> bool:
    return (
        chat.n in (None, 1)
        and not chat.logprobs
        and all(name in UNTOLD_FIELDS for name in chat.left_out)
        and all(n in UNTOLD_FIELDS or bytes(v) == b"null" for n, v in chat.extras.items())
        and not any(isinstance(tool, OpaqueTool) for tool in chat.tools)
        and not any(isinstance(p, Opaque) for m in chat.messages for p in m.parts)
    )


def _only_known(value: dict[str, Any], vocabulary: frozenset[str]) -> bool:
    """Whether every member below the top is one that parsing keeps. (Those at the top that it does
    not know, it hands on as `extras`.)"""
    stack: list[Any] = list(value.values())
    while stack:
        at = stack.pop()
        if isinstance(at, list):
            stack += cast("list[Any]", at)
        elif isinstance(at, dict):
            for name, inner in cast("dict[str, Any]", at).items():
                if name in CARRIED:
                    continue
                if name not in vocabulary:
                    return False
                stack.append(inner)
    return True


def _digest(told: object) -> bytes:
    return sha256(_encode(told)).digest()[:DIGEST_BYTES]


def _set(chat: Chat, dialect: str) -> dict[str, object]:
    """What was set, but for what is a default wherever it is left out."""
    choice = chat.tool_choice
    wanted = chat.response_format
    set_: dict[str, object] = {
        "tool_choice": None if choice is None or choice.mode == "auto" else choice,
        "parallel_tool_calls": None if chat.parallel_tool_calls is not False else False,
        "max_tokens": chat.max_tokens,
        "temperature": chat.temperature,
        "top_p": chat.top_p,
        "top_k": chat.top_k,
        "stop": sorted(set(chat.stop)) or None,
        "seed": chat.seed,
        "frequency_penalty": chat.frequency_penalty or None,
        "presence_penalty": chat.presence_penalty or None,
        "logit_bias": chat.logit_bias or None,
        "logprobs": chat.logprobs or None,
        "top_logprobs": chat.top_logprobs,
        "n": None if chat.n == 1 else chat.n,
        "reasoning": chat.reasoning,
        "service_tier": chat.service_tier,
        "format": None
        if wanted is None or wanted.kind == "text"
        else [
            wanted.kind,
            wanted.description,
            # Messages keeps to a schema always; Chat only where it is told to.
            wanted.strict or dialect == "anthropic_messages",
            None if wanted.schema is None else canonical_json(wanted.schema),
        ],
    }
    return {name: value for name, value in set_.items() if value is not None}


def _turns(chat: Chat) -> list[list[object]]:
    """Roles with their parts. Where dialects differ in how they cut turns (results of tools are
    messages of their own in Chat, parts of the user's turn in Messages), the cut does not count."""
    turns: list[list[object]] = []
    role = ""
    for message in chat.messages:
        new_role = {"tool": "user", "developer": "system"}.get(message.role, message.role)
        if message.name is not None:
            new_role = f"{new_role} {message.name}"
        if new_role != role:
            role = new_role
            turns.append([role])
        turns[-1].extend(_part(part) for part in message.parts)
    return turns


def _part(part: Part) -> object:
    match part:
        case Text():
            if part.citations is None:
                return part.text
            return ["text", part.text, canonical_json(part.citations)]
        case Image():
            return ["image", part.url, part.data, part.media_type, part.detail]
        case Document():
            return [
                "document",
                part.url,
                part.data,
                part.text,
                part.media_type,
                part.name,
                part.context,
                part.citations,
            ]
        case ToolCall():
            return ["call", part.id, part.name, _arguments(part.arguments)]
        case ToolResult():
            return ["result", part.call_id, part.is_error or None, *map(_part, part.parts)]
        case Thinking():
            return ["thinking", part.text, part.signature]
        case RedactedThinking():
            return ["redacted", part.data]
        case Refusal():
            return ["refusal", part.text]
        case Opaque():
            return ["opaque", part.dialect, part.kind, canonical_json(part.raw)]


def _tool(tool: Tool | OpaqueTool) -> object:
    if isinstance(tool, OpaqueTool):
        return ["opaque", tool.dialect, tool.kind, canonical_json(tool.raw)]
    schema = None if tool.parameters is None else canonical_json(tool.parameters)
    return [tool.name, tool.description, tool.strict or None, schema]


def _arguments(text: str) -> object:
    """A tool call's arguments, which are JSON unless the model slipped."""
    try:
        return ["json", _decode(text or "{}")]
    except (msgspec.DecodeError, RecursionError):
        return text


def canonical_json(raw: Raw) -> object:
    """The value, so that spacing and the order of members do not count."""
    return _decode(raw)


class _Repeated(Exception):
    """An object gives a member twice. Readers differ on which one counts, so such a call could be
    stored as the answer to another."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Repeated
    return found


def telling_headers(headers: Mapping[bytes, bytes]) -> bytes:
    """The values of `TELLING_HEADERS`, the order within a list not counting."""
    if TELLING_HEADERS.isdisjoint(headers):
        return b""
    found: list[bytes] = []
    for name in sorted(TELLING_HEADERS):
        value = headers.get(name)
        if value:
            items = sorted(item.strip() for item in value.split(b",") if item.strip())
            found.append(name + b"=" + b",".join(items))
    return b";".join(found)


def told_by_body(form: Form, fields: Mapping[str, Raw]) -> bytes:
    """The digest of a call of an operation that has but one wire format."""
    told = {n: canonical_json(v) for n, v in fields.items() if n not in UNTOLD_FIELDS}
    return _digest([form, told])


class Meaning(Struct, frozen=True):
    """A call as the semantic cache sees it: what must be the same, and what may be worded otherwise."""

    fingerprint: bytes
    """Of everything but the last turn's text."""
    text: str


LONGEST_TEXT = 2000
LONGEST_CONVERSATION = 8000
"""Characters of all turns together, beyond which a call counts as `long`."""


def meaning_of(chat: Chat, form: Form, model: str, allowed: Collection[str]) -> Meaning | None:
    """None where the call is none for a semantic cache: its last turn is not the user's, holds no
    text or too much; or it holds what `allowed` does not name (`images`, `tool_results`, `long`).

    The call is portable.
    """
    if not chat.messages or chat.messages[-1].role != "user":
        return None
    last = chat.messages[-1]
    texts = [part.text for part in last.parts if isinstance(part, Text)]
    text = "\n".join(texts)
    if not text.strip() or len(text) > LONGEST_TEXT:
        return None
    length = 0
    for message in chat.messages:
        for part in message.parts:
            match part:
                case Text():
                    length += len(part.text)
                case Image() | Document():
                    if "images" not in allowed:
                        return None
                case ToolResult() | ToolCall():
                    if "tool_results" not in allowed:
                        return None
                case _:
                    pass
    if length > LONGEST_CONVERSATION and "long" not in allowed:
        return None
    others = tuple(part for part in last.parts if not isinstance(part, Text))
    rest = replace(chat, messages=(*chat.messages[:-1], replace(last, parts=others)))
    told = [
        "meaning", model, _turns(rest), list(map(_tool, rest.tools)), _set(rest, form.dialect),
        len(texts),
    ]  # fmt: skip
    return Meaning(_digest(told), text)
