"""Chats for property tests: everything the dialects can say, but for what `sayable` takes away."""

from hypothesis import strategies as st
from msgspec import Raw
from msgspec.json import decode, encode
from msgspec.structs import replace

from ai_gateway.model.chat import Chat, ResponseFormat, Tool, ToolChoice
from ai_gateway.model.content import (
    Document,
    Image,
    Message,
    Part,
    Text,
    ToolCall,
    ToolResult,
)

WORDS = st.text(
    alphabet=st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=20
).filter(lambda t: t.strip() == t)
NAMES = st.from_regex(r"[a-z][a-z_]{0,15}", fullmatch=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(NAMES, JSON, max_size=3)
BASE64 = st.sampled_from(["aGVsbG8=", "AAAA", "iVBORw0KGgo="])

TEXTS = WORDS.map(lambda t: Text(text=t))
IMAGES = st.one_of(
    BASE64.map(lambda d: Image(data=d, media_type="image/png")),
    st.just(Image(url="https://example.org/a.png")),
)
DOCUMENTS = BASE64.map(lambda d: Document(data=d, media_type="application/pdf", name="a.pdf"))
TOOLS = st.builds(
    Tool,
    name=NAMES,
    description=st.none() | WORDS,
    parameters=OBJECTS.map(lambda o: Raw(encode({"type": "object", **o}))),
)


@st.composite
def turns(draw: st.DrawFn) -> tuple[Message, ...]:
    """User and assistant in turns, tool results after their calls."""
    messages: list[Message] = []
    if draw(st.booleans()):
        messages.append(Message(role="system", parts=(draw(TEXTS),)))
    for number in range(draw(st.integers(1, 3))):
        parts: list[Part] = draw(st.lists(TEXTS | IMAGES | DOCUMENTS, min_size=1, max_size=3))
        messages.append(Message(role="user", parts=tuple(parts)))
        if draw(st.booleans()):
            continue_with: list[Part] = [draw(TEXTS)] if draw(st.booleans()) else []
            calls = [
                ToolCall(
                    id=f"call_{number}_{i}",
                    name=draw(NAMES),
                    arguments=encode(draw(OBJECTS)).decode(),
                )
                for i in range(draw(st.integers(0, 2)))
            ]
            if not continue_with and not calls:
                continue_with = [Text(text="Well.")]
            messages.append(Message(role="assistant", parts=(*continue_with, *calls)))
            messages += [
                Message(role="tool", parts=(ToolResult(call_id=c.id, parts=(draw(TEXTS),)),))
                for c in calls
            ]
    if messages[-1].role == "assistant":
        messages.append(Message(role="user", parts=(Text(text="Go on."),)))
    return tuple(messages)


@st.composite
def chats(draw: st.DrawFn) -> Chat:
    tools = tuple(draw(st.lists(TOOLS, max_size=2, unique_by=lambda t: t.name)))
    choices = [None, ToolChoice(mode="auto"), ToolChoice(mode="required")]
    if tools:
        choices.append(ToolChoice(mode="tool", name=tools[0].name))
    return Chat(
        model="a-model",
        messages=draw(turns()),
        tools=tools,
        tool_choice=draw(st.sampled_from(choices)) if tools else None,
        parallel_tool_calls=draw(st.sampled_from([None, False])) if tools else None,
        max_tokens=draw(st.integers(16, 4096)),
        temperature=draw(st.none() | st.sampled_from([0.0, 0.5, 1.0])),
        top_p=draw(st.none() | st.sampled_from([0.1, 1.0])),
        stop=tuple(draw(st.lists(NAMES, max_size=2))),
        response_format=draw(
            st.none()
            | OBJECTS.map(
                lambda o: ResponseFormat(
                    kind="json_schema", schema=Raw(encode({"type": "object", **o}))
                )
            )
        ),
        user=draw(st.none() | NAMES),
        stream=draw(st.booleans()),
        include_usage=True,
    )


NO_PLACE_FOR: dict[str, dict[str, object]] = {
    # Fields a dialect has no like of: refused (Responses' stop) or noted.
    "openai_responses": {"stop": ()},
    "gemini": {"parallel_tool_calls": None, "user": None},
}


def sayable(chat: Chat, *dialects: str) -> Chat:
    """What of a chat all of these dialects have a place for."""
    for name in dialects:
        chat = replace(chat, **NO_PLACE_FOR.get(name, {}))
    if "gemini" in dialects:
        chat = replace(chat, messages=tuple(_without_names(m) for m in chat.messages))
    return chat


def _without_names(message: Message) -> Message:
    parts = tuple(replace(p, name=None) if isinstance(p, Document) else p for p in message.parts)
    return replace(message, parts=parts)


def meaning(chat: Chat) -> object:
    """What must be the same however it is written: tool results flow into one turn in Messages and
    are their own in Chat, neighbours of one role are joined, names of schemas are labels."""
    turns_found: list[tuple[str, list[object]]] = []
    for message in chat.messages:
        role = {"tool": "user", "developer": "system"}.get(message.role, message.role)
        parts = [_plain(p) for p in message.parts]
        if turns_found and turns_found[-1][0] == role:
            turns_found[-1][1].extend(parts)
        else:
            turns_found.append((role, parts))
    for _, parts in turns_found:
        parts.sort(key=lambda p: not (isinstance(p, tuple) and p[0] == "result"))
    wanted = chat.response_format
    return {
        "turns": turns_found,
        "tools": [(t.name, t.description, bytes(t.parameters or b"")) for t in chat.tools],  # type: ignore[union-attr]
        "choice": chat.tool_choice or (ToolChoice(mode="auto") if chat.tools else None),
        "parallel": chat.parallel_tool_calls is not False,
        "limits": (chat.max_tokens, chat.temperature, chat.top_p, chat.stop),
        "format": None if wanted is None else bytes(wanted.schema or b""),
        "user": chat.user,
        "stream": chat.stream,
    }


def _plain(part: Part) -> object:
    match part:
        case ToolCall():
            return ("call", part.id, part.name, decode(part.arguments or "{}"))
        case ToolResult():
            return ("result", part.call_id, [_plain(p) for p in part.parts])
        case Document():
            # Where a dialect must have a name, it writes this one.
            name = None if part.name == "document.pdf" else part.name
            return ("document", part.data, part.media_type, name)
        case Image():
            # Of a picture behind a URL only Gemini is told the type.
            return ("image", part.url, part.data, part.media_type if part.data else None)
        case _:
            return part
