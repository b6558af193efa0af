"""Items and their content parts <-> Parts, in requests and in answers."""

from typing import Any

from msgspec import Raw
from msgspec.json import Decoder

from ai_gateway.dialects.openai_chat.requests import split_data_url
from ai_gateway.dialects.raw import given_list
from ai_gateway.dialects.signatures import bare, is_marked, marked, own, redacted_in
from ai_gateway.dialects.strict_json import decode_object, invalid
from ai_gateway.model.content import (
    Document,
    Image,
    Opaque,
    Part,
    RedactedThinking,
    Refusal,
    Text,
    Thinking,
)
from ai_gateway.model.errors import GatewayError

from .wire import (
    FilePart,
    FunctionCallItem,
    FunctionOutputItem,
    ImagePart,
    MessageItem,
    ReasoningItem,
    RefusalPart,
    TextPart,
    Typed,
)

DIALECT = "openai_responses"

_typed = Decoder(Typed)
_text = Decoder(TextPart)
_refusal = Decoder(RefusalPart)
_image = Decoder(ImagePart)
_file = Decoder(FilePart)
message_item = Decoder(MessageItem)
function_call_item = Decoder(FunctionCallItem)
function_output_item = Decoder(FunctionOutputItem)
reasoning_item = Decoder(ReasoningItem)


def read(raw: Raw, decoder: Decoder[Any], path: str) -> Any:
    """Raises GatewayError naming the field within `path`."""
    try:
        return decode_object(bytes(raw), decoder)
    except GatewayError as error:
        field = f"{path}.{error.field}" if error.field else path
        raise GatewayError(
            error.kind, f"{field}: {error.message}", field=field, code=error.code
        ) from None


def kind_of(raw: Raw, path: str) -> str:
    typed: Typed = read(raw, _typed, path)
    if typed.type is None:
        return "message" if typed.role is not None else ""
    return typed.type


def content_part(raw: Raw, path: str) -> Part:
    """A part of a message's content, or of a function's output."""
    kind = kind_of(raw, path)
    match kind:
        case "input_text" | "output_text" | "text":
            text: TextPart = read(raw, _text, path)
            return Text(text=text.text, citations=given_list(text.annotations))
        case "refusal":
            return Refusal(text=read(raw, _refusal, path).refusal)
        case "input_image":
            image: ImagePart = read(raw, _image, path)
            if image.image_url is None:
                return Opaque(dialect=DIALECT, kind=kind, raw=raw, path=f"{path}.file_id")
            return _image_of(image.image_url, image.detail, f"{path}.image_url")
        case "input_file":
            return _document(raw, path)
        case "":
            raise invalid(f"{path}.type", "must say what the part is, such as 'input_text'.")
        case _:
            return Opaque(dialect=DIALECT, kind=kind, raw=raw, path=path)


def _image_of(url: str, detail: str | None, path: str) -> Image:
    if not url.startswith("data:"):
        if not url.startswith(("https://", "http://")):
            raise invalid(path, "must be a base64 data URL or an http(s) URL.")
        return Image(url=url, detail=detail)
    split = split_data_url(url)
    if split is None:
        raise invalid(path, "must be a base64 data URL or an http(s) URL.")
    return Image(data=split[1], media_type=split[0], detail=detail)


def _document(raw: Raw, path: str) -> Part:
    file: FilePart = read(raw, _file, path)
    if file.file_data is not None:
        media_type, data = split_data_url(file.file_data) or ("application/pdf", file.file_data)
        return Document(data=data, media_type=media_type, name=file.filename)
    if file.file_url is not None:
        return Document(url=file.file_url, name=file.filename)
    return Opaque(dialect=DIALECT, kind="input_file", raw=raw, path=f"{path}.file_id")


def thinking_of(item: ReasoningItem) -> Thinking | RedactedThinking:
    """A reasoning item. OpenAI's own is handed back by its id and its encrypted content."""
    texts = item.content or item.summary or ()
    text = "\n\n".join(part.text for part in texts)
    signature = signature_of(item)
    redacted = redacted_in(signature) if signature is not None else None
    if redacted is not None:
        return RedactedThinking(data=redacted)
    return Thinking(text=text, signature=signature)


def signature_of(item: ReasoningItem) -> str | None:
    encrypted = item.encrypted_content
    if not encrypted:
        return None
    if is_marked(encrypted):
        return encrypted
    return (
        marked(f"{item.id or ''}:{encrypted}", DIALECT) if item.id else marked(encrypted, DIALECT)
    )


def split_signature(signature: str) -> tuple[str | None, str]:
    """(the item's id, its encrypted content) of a signature that OpenAI can read."""
    item_id, colon, encrypted = signature.rpartition(":")
    return (item_id or None, encrypted) if colon else (None, signature)


def own_signature(signature: str | None) -> tuple[str | None, str] | None:
    found = own(signature, DIALECT)
    return None if found is None else split_signature(found)


def encrypted_for_caller(signature: str) -> str:
    """As it stands in `encrypted_content`: OpenAI's own bare, another's marked."""
    found = bare(signature, DIALECT)
    return split_signature(found)[1] if not is_marked(found) else found
