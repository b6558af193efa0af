"""Content blocks <-> Parts, in requests and in answers."""

from typing import Any

from msgspec import Raw
from msgspec.json import Decoder

from ai_gateway.dialects.raw import given_list
from ai_gateway.dialects.signatures import marked
from ai_gateway.model.content import (
    CacheMark,
    Document,
    Image,
    Opaque,
    Part,
    RedactedThinking,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)

from .wire import (
    DocumentBlock,
    ImageBlock,
    RedactedBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    Typed,
    WireCache,
    WireSource,
)

DIALECT = "anthropic_messages"
STRUCTURED_ANSWER = "gateway_structured_answer"
"""The tool that is forced where a model has no structured output of its own: its input is the
answer, and never shown to the caller as a tool call."""

_typed = Decoder(Typed)
_decoders: dict[str, Decoder[Any]] = {
    "text": Decoder(TextBlock),
    "image": Decoder(ImageBlock),
    "document": Decoder(DocumentBlock),
    "tool_use": Decoder(ToolUseBlock),
    "tool_result": Decoder(ToolResultBlock),
    "thinking": Decoder(ThinkingBlock),
    "redacted_thinking": Decoder(RedactedBlock),
}


def part_from_block(raw: Raw, path: str = "") -> Part:
    """Raises msgspec.DecodeError where a known block is not as it must be."""
    kind = _typed.decode(raw).type
    decoder = _decoders.get(kind)
    if decoder is None:
        return Opaque(dialect=DIALECT, kind=kind, raw=raw, path=path)
    block = decoder.decode(raw)
    match block:
        case TextBlock():
            citations = given_list(block.citations)
            return Text(text=block.text, cache=cache_mark(block.cache_control), citations=citations)
        case ImageBlock(source=source) if source.type in ("base64", "url"):
            return Image(
                url=source.url,
                data=source.data,
                media_type=source.media_type,
                cache=cache_mark(block.cache_control),
            )
        case DocumentBlock(source=source) if source.type in ("base64", "url", "text"):
            return _document(block, source)
        case ToolUseBlock():
            return ToolCall(
                id=block.id,
                name=block.name,
                arguments=bytes(block.input).decode(),
                cache=cache_mark(block.cache_control),
            )
        case ToolResultBlock():
            return ToolResult(
                call_id=block.tool_use_id,
                parts=_result_parts(block.content, path),
                is_error=block.is_error,
                cache=cache_mark(block.cache_control),
            )
        case ThinkingBlock():
            signature = marked(block.signature, DIALECT) if block.signature else None
            return Thinking(text=block.thinking, signature=signature)
        case RedactedBlock():
            return RedactedThinking(data=block.data)
        case _:
            # An image or document from a source the gateway does not know (an uploaded file).
            return Opaque(dialect=DIALECT, kind=kind, raw=raw, path=path)


def _document(block: DocumentBlock, source: WireSource) -> Document:
    plain = source.type == "text"
    return Document(
        url=source.url,
        data=None if plain else source.data,
        text=source.data if plain else None,
        media_type=source.media_type,
        name=block.title,
        context=block.context,
        citations=None if block.citations is None else block.citations.enabled,
        cache=cache_mark(block.cache_control),
    )


def _result_parts(content: str | list[Raw] | None, path: str) -> tuple[Any, ...]:
    if content is None:
        return ()
    if isinstance(content, str):
        return (Text(text=content),)
    return tuple(part_from_block(raw, f"{path}.content[{i}]") for i, raw in enumerate(content))


def cache_mark(wire: WireCache | None) -> CacheMark | None:
    return None if wire is None else CacheMark(wire.ttl)


def cache_to_wire(block: dict[str, object], cache: CacheMark | None) -> dict[str, object]:
    """The block, marked."""
    if cache is not None:
        mark = {"type": "ephemeral"}
        if cache.ttl is not None:
            mark["ttl"] = cache.ttl
        block["cache_control"] = mark
    return block


def image_to_block(part: Image) -> dict[str, object]:
    if part.url is not None:
        source: dict[str, object] = {"type": "url", "url": part.url}
    else:
        source = {
            "type": "base64",
            "media_type": part.media_type or "image/png",
            "data": part.data or "",
        }
    return cache_to_wire({"type": "image", "source": source}, part.cache)


def document_to_block(part: Document) -> dict[str, object]:
    if part.url is not None:
        source: dict[str, object] = {"type": "url", "url": part.url}
    elif part.text is not None:
        source = {"type": "text", "media_type": "text/plain", "data": part.text}
    else:
        media_type = part.media_type or "application/pdf"
        source = {"type": "base64", "media_type": media_type, "data": part.data or ""}
    block: dict[str, object] = {"type": "document", "source": source}
    if part.name is not None:
        block["title"] = part.name
    if part.context is not None:
        block["context"] = part.context
    if part.citations is not None:
        block["citations"] = {"enabled": part.citations}
    return cache_to_wire(block, part.cache)


def text_to_block(part: Text) -> dict[str, object]:
    block: dict[str, object] = {"type": "text", "text": part.text}
    return cache_to_wire(block, part.cache)
