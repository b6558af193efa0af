"""What tool results show beside text, for dialects that take pictures and files in the user's turns
only: behind the last of the results, which must follow each other."""

from collections.abc import Callable

from msgspec.structs import replace

from ai_gateway.model.content import Message, Part, Text, ToolResult

NOTE = "what tools showed was sent as the user's: the provider takes text in tool results"


def with_shown_apart(messages: tuple[Message, ...], note: Callable[[str], None]) -> list[Message]:
    """A renderer leaves what is not text out of the results it writes."""
    out: list[Message] = []
    shown: list[Part] = []
    for message in messages:
        results = [p for p in message.parts if isinstance(p, ToolResult)]
        for result in results:
            beside = [p for p in result.parts if not isinstance(p, Text)]
            if beside:
                shown += [Text(text=f"Shown by the tool call {result.call_id}:"), *beside]
        rest = [p for p in message.parts if not isinstance(p, ToolResult)]
        if shown and rest:
            if message.role == "user":
                message = replace(message, parts=(*results, *shown, *rest))
            else:
                out.append(Message(role="user", parts=tuple(shown)))
            shown = []
            note(NOTE)
        out.append(message)
    if shown:
        out.append(Message(role="user", parts=tuple(shown)))
        note(NOTE)
    return out
