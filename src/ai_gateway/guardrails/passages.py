"""Where the texts are in a body of any dialect, so that they can be read and written in place.

The walk goes by member names that all dialects share, and by rules for the few that differ; it works
on plain JSON, since what is changed must keep every member that the gateway does not know.
"""

from typing import Any, cast

from msgspec import Struct

from .guard import Role

_TEXTS = frozenset(
    {
        "text",
        "content",
        "system",
        "instructions",
        "input",
        "prompt",
        "output",
        "query",
        "refusal",
    }
)
"""Members that hold a text where their value is a string (or texts, where it is a list of strings)."""
_ARGUMENTS = frozenset({"arguments", "partial_json"})
"""JSON text, written by a model or echoed back."""
_FREE = frozenset({"args", "response"})
"""Any JSON at all: every string in it is a text. (Anthropic's `input` of a tool call too.)"""
_PASSED_BY = frozenset(
    {
        "tools", "functions", "tool_choice", "toolConfig", "response_format", "generationConfig",
        "output_config", "metadata", "format", "parameters", "schema", "input_schema", "json_schema",
        "usage", "usageMetadata", "source", "image_url", "inlineData", "fileData", "file",
        "input_audio", "logprobs", "reasoning", "thinking",
    }
)  # fmt: skip
_LABELS = frozenset({"title", "context"})
"""What a document of Anthropic's is called, and what is told of it."""
_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "model": "assistant",
    "tool": "tool",
    "function": "tool",
}
_SYSTEM = frozenset({"system", "instructions", "systemInstruction"})
_TOOL_TYPES = frozenset({"tool_result", "function_call_output"})


class Slot(Struct):
    """A text and its place: `container[key]`."""

    container: Any
    key: Any
    role: Role
    is_json: bool = False
    """It stands inside JSON text, so what is put in must be escaped."""

    @property
    def text(self) -> str:
        return self.container[self.key]

    def put(self, text: str) -> None:
        self.container[self.key] = text


def slots_of(body: Any, role: Role) -> list[Slot]:
    """`role` is whose text it is where nothing says otherwise: `user` in a request, `assistant` in
    an answer."""
    found: list[Slot] = []
    _walk(body, role, found)
    return found


def _walk(value: Any, role: Role, found: list[Slot]) -> None:
    if isinstance(value, list):
        for item in value:  # pyright: ignore[reportUnknownVariableType]
            _walk(item, role, found)
        return
    if not isinstance(value, dict):
        return
    members = cast(dict[str, Any], value)
    role = _role_of(members, role)
    for name, inner in members.items():
        here: Role = "system" if name in _SYSTEM else role
        if name == "source" and isinstance(inner, dict):
            _walk_source(cast(dict[str, Any], inner), here, found)
        elif name in _LABELS and isinstance(inner, str) and members.get("type") == "document":
            found.append(Slot(members, name, here))
        if name in _PASSED_BY:
            continue
        if name in _FREE or (name == "input" and isinstance(inner, dict)):
            _walk_free(members, name, "tool" if name == "response" else here, found)
        elif name in _ARGUMENTS and isinstance(inner, str):
            found.append(Slot(members, name, here, is_json=True))
        elif name in _TEXTS and isinstance(inner, str):
            found.append(Slot(members, name, here))
        elif name in _TEXTS and isinstance(inner, list):
            _walk_texts(inner, here, found)  # pyright: ignore[reportUnknownArgumentType]
        else:
            _walk(inner, here, found)


def _walk_source(source: dict[str, Any], role: Role, found: list[Slot]) -> None:
    """Of a document of Anthropic's: it may be given as plain text, or as parts."""
    if source.get("type") == "text" and isinstance(source.get("data"), str):
        found.append(Slot(source, "data", role))
    elif source.get("type") == "content":
        _walk(source, role, found)


def _walk_texts(items: list[Any], role: Role, found: list[Slot]) -> None:
    for at, item in enumerate(items):
        if isinstance(item, str):
            found.append(Slot(items, at, role))
        else:
            _walk(item, role, found)


def _walk_free(container: Any, key: Any, role: Role, found: list[Slot]) -> None:
    value = container[key]
    if isinstance(value, str):
        found.append(Slot(container, key, role))
    elif isinstance(value, dict):
        for name in value:  # pyright: ignore[reportUnknownVariableType]
            _walk_free(value, name, role, found)
    elif isinstance(value, list):
        for at in range(len(value)):  # pyright: ignore[reportUnknownArgumentType]
            _walk_free(value, at, role, found)


def _role_of(members: dict[str, Any], role: Role) -> Role:
    kind = members.get("type")
    if isinstance(kind, str) and kind in _TOOL_TYPES:
        return "tool"
    if "functionResponse" in members:
        return "tool"
    named = members.get("role")
    return _ROLES.get(named, role) if isinstance(named, str) else role


Channel = tuple[Any, ...]


class StreamSlot(Struct):
    """A piece of a text that grows over a stream's events."""

    channel: Channel
    slot: Slot


class StreamPieces(Struct):
    pieces: list[StreamSlot]
    closes: Channel | None
    """Every channel that begins with it is complete with this event; None: none is."""
    whole: bool = False
    """It repeats texts that are complete already, anywhere within it."""


_NOTHING = StreamPieces([], None)


def pieces_of(dialect: str, event: Any) -> StreamPieces:
    """What one event of a stream, read as JSON, adds to which text."""
    if not isinstance(event, dict):
        return _NOTHING
    members = cast(dict[str, Any], event)
    match dialect:
        case "openai_chat":
            return _chat_pieces(members)
        case "anthropic_messages":
            return _messages_pieces(members)
        case "openai_responses":
            return _responses_pieces(members)
        case "gemini":
            return _gemini_pieces(members)
        case _:
            return _NOTHING


def _chat_pieces(event: dict[str, Any]) -> StreamPieces:
    pieces: list[StreamSlot] = []
    closes: Channel | None = None
    for choice in _dicts(event.get("choices")):
        at = choice.get("index", 0)
        delta: dict[str, Any] = choice.get("delta") or {}
        pieces += [
            StreamSlot((at, name), Slot(delta, name, "assistant"))
            for name in ("content", "refusal")
            if isinstance(delta.get(name), str)
        ]
        for call in _dicts(delta.get("tool_calls")):
            function: dict[str, Any] = call.get("function") or {}
            if isinstance(function.get("arguments"), str):
                channel = (at, "tool", call.get("index", 0))
                pieces.append(
                    StreamSlot(channel, Slot(function, "arguments", "assistant", is_json=True))
                )
        if isinstance(choice.get("text"), str):
            pieces.append(StreamSlot((at, "text"), Slot(choice, "text", "assistant")))
        if choice.get("finish_reason") is not None:
            closes = (at,)
    return StreamPieces(pieces, closes)


def _messages_pieces(event: dict[str, Any]) -> StreamPieces:
    at = event.get("index", 0)
    match event.get("type"):
        case "content_block_delta":
            delta: dict[str, Any] = event.get("delta") or {}
            for name in ("text", "partial_json"):
                if isinstance(delta.get(name), str):
                    slot = Slot(delta, name, "assistant", is_json=name == "partial_json")
                    return StreamPieces([StreamSlot((at,), slot)], None)
            return _NOTHING
        case "content_block_stop":
            return StreamPieces([], (at,))
        case "message_delta" | "message_stop":
            return StreamPieces([], ())
        case _:
            return _NOTHING


def _responses_pieces(event: dict[str, Any]) -> StreamPieces:
    kind = str(event.get("type"))
    channel = (event.get("output_index"), event.get("content_index"))
    if kind in ("response.output_text.delta", "response.refusal.delta"):
        return StreamPieces([StreamSlot(channel, Slot(event, "delta", "assistant"))], None)
    if kind == "response.function_call_arguments.delta":
        slot = Slot(event, "delta", "assistant", is_json=True)
        return StreamPieces([StreamSlot(channel, slot)], None)
    if kind.endswith(".done") and not kind.startswith("response.reasoning"):
        return StreamPieces([], channel[:1], whole=True)
    if kind in ("response.completed", "response.incomplete", "response.failed"):
        return StreamPieces([], (), whole=True)
    return _NOTHING


def _gemini_pieces(event: dict[str, Any]) -> StreamPieces:
    pieces: list[StreamSlot] = []
    closes: Channel | None = None
    for candidate in _dicts(event.get("candidates")):
        at = candidate.get("index", 0)
        content: dict[str, Any] = candidate.get("content") or {}
        pieces += [
            StreamSlot((at,), Slot(part, "text", "assistant"))
            for part in _dicts(content.get("parts"))
            if isinstance(part.get("text"), str) and not part.get("thought")
        ]
        if candidate.get("finishReason") is not None:
            closes = (at,)
    return StreamPieces(pieces, closes)


def _dicts(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        return []
    items = cast(list[Any], value)
    return [cast(dict[str, Any], item) for item in items if isinstance(item, dict)]
