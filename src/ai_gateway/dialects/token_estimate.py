"""A guess at a prompt's tokens, for where no provider counts them.

About 3.5 bytes of English or code make a token of today's tokenizers; messages and tools add a few
of their own, and an image counts as Anthropic's documented middle (about 1,600).
"""

from ai_gateway.model.chat import Chat, Tool
from ai_gateway.model.content import Document, Image, Opaque, Part, ToolCall, ToolResult

_BYTES_PER_TOKEN = 3.5
_PER_MESSAGE = 4
_PER_TOOL = 12
_PER_IMAGE = 1600
_BASE64_BYTES_PER_PDF_TOKEN = 30


def tokens_of_bytes(size: int) -> int:
    return int(size / _BYTES_PER_TOKEN) + 1


def estimate_tokens(chat: Chat) -> int:
    size = 0.0
    fixed = 0
    for message in chat.messages:
        fixed += _PER_MESSAGE
        for part in message.parts:
            part_size, part_fixed = _part(part)
            size += part_size
            fixed += part_fixed
    for tool in chat.tools:
        fixed += _PER_TOOL
        if isinstance(tool, Tool):
            schema = 0 if tool.parameters is None else len(memoryview(tool.parameters))
            size += len(tool.name) + _length(tool.description or "") + schema
        else:
            size += len(memoryview(tool.raw))
    return fixed + int(size / _BYTES_PER_TOKEN) + 1


def _part(part: Part) -> tuple[float, int]:
    match part:
        case Image():
            return 0, _PER_IMAGE
        case Document(data=str(data)):
            return 0, len(data) // _BASE64_BYTES_PER_PDF_TOKEN
        case Document():
            return _length(part.text or ""), 0
        case ToolCall():
            return _length(part.name) + _length(part.arguments), _PER_MESSAGE
        case ToolResult():
            sizes = [_part(p) for p in part.parts]
            return sum(s for s, _ in sizes), _PER_MESSAGE + sum(f for _, f in sizes)
        case Opaque():
            return len(memoryview(part.raw)), 0
        case _:
            return _length(getattr(part, "text", "") or getattr(part, "data", "")), 0


def _length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
