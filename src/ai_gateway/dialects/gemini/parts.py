"""Gemini's parts <-> Parts, in requests and in answers."""

import base64
import binascii
import re

from msgspec import Raw
from msgspec.json import Decoder, decode

from ai_gateway.dialects.raw import given
from ai_gateway.dialects.signatures import MAKERS, bare, is_marked, marked, redacted_in
from ai_gateway.dialects.strict_json import decode_object, invalid
from ai_gateway.model.content import (
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
from ai_gateway.model.errors import GatewayError

from .wire import (
    FunctionCall,
    FunctionResponse,
    WirePart,
    decode_blob,
    decode_call,
    decode_file,
    decode_part,
    decode_response,
    fields_of,
    read,
)

DIALECT = "gemini"
NO_SIGNATURE = "Y29udGV4dF9lbmdpbmVlcmluZ19pc190aGVfd2F5X3RvX2dv"
"""Google's own stand-in for the signature of a call that another model made, which Gemini 3 would
else refuse (ai.google.dev/gemini-api/docs/gemini-3, "Migrating from other models"), in base64."""
FOREIGN_MARKS = tuple(
    f'"{field}":{space}"'.encode()
    # As many bytes as make whole characters of base64, whatever follows.
    + base64.b64encode(f"{maker}#".encode()[: len(maker) // 3 * 3])
    for field in ("thoughtSignature", "thought_signature")
    for space in ("", " ")
    for maker in MAKERS
    if maker != DIALECT
)
_ID = re.compile(r"[^A-Za-z0-9_-]")
_BESIDE = frozenset({"thought", "thoughtSignature", "videoMetadata", "mediaResolution"})
_GOOGLES_OWN = ("https://generativelanguage.googleapis.com/", "gs://", "files/")
"""Files only Gemini can reach."""
_object = Decoder(dict[str, Raw])


class CallIds:
    """Gemini's calls and results may leave out their ids; every other dialect needs them.

    Calls are numbered behind `prefix`; a result without an id answers the first call of its name
    that has no answer yet.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = _ID.sub("", prefix)
        self._count = 0
        self._waiting: list[tuple[str, str]] = []
        """(name, id) of calls without a result."""

    def of_call(self, call: FunctionCall) -> str:
        found = call.id or f"{self._prefix}{self._count}"
        self._count += 1
        self._waiting.append((call.name, found))
        return found

    def of_result(self, result: FunctionResponse, path: str) -> str:
        for position, (name, call_id) in enumerate(self._waiting):
            if call_id == result.id or (result.id is None and name == result.name):
                del self._waiting[position]
                return call_id
        if result.id is not None:
            return result.id
        raise invalid(f"{path}.functionResponse", "must answer a functionCall that came before it.")


def parts_of(wire_parts: list[Raw], ids: CallIds, path: str) -> list[Part]:
    """Raises GatewayError naming what is wrong."""
    parts: list[Part] = []
    for index, raw in enumerate(wire_parts):
        join(parts, part_of(raw, ids, f"{path}.parts[{index}]"))
    return parts


def join(parts: list[Part], more: list[Part]) -> None:
    """Adds more parts. Thoughts that a stream gave in pieces, the signature last, become one."""
    for part in more:
        last = parts[-1] if parts else None
        if isinstance(part, Thinking) and isinstance(last, Thinking) and not last.signature:
            parts[-1] = Thinking(text=last.text + part.text, signature=part.signature)
        else:
            parts.append(part)


def part_of(raw: Raw, ids: CallIds, path: str) -> list[Part]:
    """One part, and before or behind it a `Thinking` without text where it bears a signature."""
    wire = read(raw, decode_part, path)
    signature = signature_from_wire(wire.thought_signature)
    if wire.text is not None:
        return _text(wire.text, thought=bool(wire.thought), signature=signature)
    part = _other(raw, wire, ids, path)
    return [part] if signature is None else [Thinking(text="", signature=signature), part]


def _text(text: str, *, thought: bool, signature: str | None) -> list[Part]:
    redacted = redacted_in(signature) if signature is not None else None
    if redacted is not None:
        return [RedactedThinking(data=redacted)]
    if thought:
        return [Thinking(text=text, signature=signature)]
    parts: list[Part] = [Text(text=text)] if text or signature is None else []
    if signature is not None:
        parts.append(Thinking(text="", signature=signature))
    return parts


def _other(raw: Raw, wire: WirePart, ids: CallIds, path: str) -> Part:
    if given(wire.function_call) is not None:
        call = read(wire.function_call, decode_call, f"{path}.functionCall")
        if not call.name:
            raise invalid(f"{path}.functionCall.name", "must be the name of the function.")
        arguments = given(call.args)
        if arguments is not None:
            read_object(arguments, f"{path}.functionCall.args")
        text = "{}" if arguments is None else bytes(arguments).decode()
        return ToolCall(id=ids.of_call(call), name=call.name, arguments=text)
    if given(wire.function_response) is not None:
        return _result(wire, ids, path)
    if given(wire.inline_data) is not None:
        blob = read(wire.inline_data, decode_blob, f"{path}.inlineData")
        media_type = blob.mime_type or ""
        if media_type.startswith("image/"):
            return Image(data=blob.data, media_type=media_type)
        if media_type.startswith("text/"):
            text = _decoded(blob.data, f"{path}.inlineData.data")
            return Document(text=text, media_type=media_type, name=blob.display_name)
        if media_type == "application/pdf":
            return Document(data=blob.data, media_type=media_type, name=blob.display_name)
        kind = media_type.split("/")[0] or "inlineData"
        return Opaque(dialect=DIALECT, kind=kind, raw=raw, path=f"{path}.inlineData")
    if given(wire.file_data) is not None:
        file = read(wire.file_data, decode_file, f"{path}.fileData")
        media_type = file.mime_type or ""
        if file.file_uri.startswith("https://") and not file.file_uri.startswith(_GOOGLES_OWN):
            if media_type.startswith("image/"):
                return Image(url=file.file_uri, media_type=media_type)
            if media_type == "application/pdf" or media_type.startswith("text/"):
                return Document(url=file.file_uri, media_type=media_type)
        return Opaque(dialect=DIALECT, kind="fileData", raw=raw, path=f"{path}.fileData")
    kinds = [name for name in fields_of(raw) if name not in _BESIDE]
    if not kinds:
        return Text(text="")
    return Opaque(dialect=DIALECT, kind=kinds[0], raw=raw, path=f"{path}.{kinds[0]}")


def _decoded(data: str, path: str) -> str:
    try:
        return from_base64(data).decode()
    except (binascii.Error, ValueError):
        raise invalid(path, "must be text in UTF-8, in base64.") from None


def _result(wire: WirePart, ids: CallIds, path: str) -> ToolResult:
    result = read(wire.function_response, decode_response, f"{path}.functionResponse")
    text, is_error = result_text(given(result.response), f"{path}.functionResponse.response")
    parts: list[Text | Image | Document | Opaque] = [Text(text=text)]
    for index, raw in enumerate(result.parts or ()):
        inner = part_of(raw, ids, f"{path}.functionResponse.parts[{index}]")
        parts += [p for p in inner if isinstance(p, Text | Image | Document | Opaque)]
    return ToolResult(
        call_id=ids.of_result(result, path), parts=tuple(parts), is_error=is_error or None
    )


def result_text(response: Raw | None, path: str) -> tuple[str, bool]:
    """(what the function gave, whether it failed): by convention under `output` or `error`, else
    the whole object is the output."""
    if response is None:
        return "", False
    fields = read_object(response, path)
    if len(fields) == 1:
        for name in ("output", "result", "error"):
            if name in fields:
                value = decode(fields[name])
                text = value if isinstance(value, str) else bytes(fields[name]).decode()
                return text, name == "error"
    return bytes(response).decode(), False


def read_object(raw: Raw, path: str) -> dict[str, Raw]:
    """The members, by their own names. Raises GatewayError naming the field."""
    try:
        return decode_object(bytes(raw), _object)
    except GatewayError as error:
        raise invalid(path, error.message) from None


def from_base64(data: str) -> bytes:
    """In either alphabet, padded or not. Raises binascii.Error."""
    plain = data.replace("-", "+").replace("_", "/").rstrip("=")
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


def signature_from_wire(signature: str | None) -> str | None:
    """`thoughtSignature` is base64; another dialect's, marked, hides inside it."""
    if not signature or signature == NO_SIGNATURE:
        return None
    try:
        inside = from_base64(signature).decode("ascii")
    except (binascii.Error, ValueError):
        inside = ""
    return inside if is_marked(inside) else marked(signature, DIALECT)


def signature_to_wire(signature: str) -> str:
    found = bare(signature, DIALECT)
    return base64.b64encode(found.encode()).decode() if is_marked(found) else found


def result_to_wire(text: str, *, is_error: bool) -> dict[str, object]:
    return {"error" if is_error else "output": text}


def as_text_document(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
