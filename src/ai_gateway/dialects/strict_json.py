"""Reading a caller's JSON, strictly, with errors that name the field and the remedy.

msgspec refuses by itself: NaN and Infinity, numbers out of range, lone surrogates, control
characters in strings, trailing bytes, and (by RecursionError) absurd nesting. This module adds
what it lets pass: invalid UTF-8 in skipped values, and members given twice.
"""

import json
import re
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from ai_gateway.model.errors import GatewayError

T = TypeVar("T")

LONGEST_MODEL = 256

_fields_decoder = msgspec.json.Decoder(dict[str, Raw])
_encode = msgspec.json.Encoder().encode
_AT = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>.*?)`)?$", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>[^`]+)`")


def decode_object(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """The body as the decoder's type. Raises GatewayError(invalid_request) naming the field."""
    try:
        if not body.isascii():
            body.decode("utf-8")
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise refused_value(str(error)) from None
    except UnicodeDecodeError as error:
        raise _malformed(f"it is not valid UTF-8 (byte {error.start})") from None
    except RecursionError:
        raise _malformed("it is nested too deep") from None
    except msgspec.DecodeError as error:
        raise _malformed(_syntax(body, str(error))) from None


def top_level_fields(body: bytes) -> dict[str, Raw]:
    """The members of an object already known to be well formed, values to the letter.

    A member given twice is refused: a gateway and a provider that disagree on which one counts
    could be played against each other.
    """
    fields = _fields_decoder.decode(body)
    # In a body as most clients write it, compact, or as Python's json does, each member found is all
    # that there is. Others are looked through in full.
    if _encode(fields) != body and not _is_spaced(body, fields):
        _refuse_duplicates(body)
    return fields


def _is_spaced(body: bytes, fields: dict[str, Raw]) -> bool:
    members = [b'"%s": %s' % (name.encode(), bytes(value)) for name, value in fields.items()]
    return body == b"{%s}" % b", ".join(members)


def _refuse_duplicates(body: bytes) -> None:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any] | None:
        # The outermost object is the last to be built; inner ones may repeat as they like.
        nonlocal last
        last = [name for name, _ in pairs]
        return None

    last: list[str] = []
    try:
        json.loads(body, object_pairs_hook=unique, parse_int=str, parse_float=str)
    except RecursionError:
        raise _malformed("it is nested too deep") from None
    seen: set[str] = set()
    for name in last:
        if name in seen:
            shown = name[:64]
            raise GatewayError(
                "invalid_request",
                f"The field {shown!r} is given more than once. Send it once.",
                field=shown,
                code="duplicate_field",
            )
        seen.add(name)


def invalid(field: str, message: str, *, code: str | None = None) -> GatewayError:
    """A value the caller must mend. `message` says what is expected."""
    return GatewayError("invalid_request", f"{field}: {message}", field=field, code=code)


def check_model(model: str) -> None:
    if not 0 < len(model) <= LONGEST_MODEL or not model.isprintable():
        raise invalid(
            "model",
            f"must be the name of a model, 1 to {LONGEST_MODEL} printable characters.",
            code="invalid_model",
        )


def _malformed(why: str) -> GatewayError:
    return GatewayError(
        "invalid_request",
        f"The body could not be read as JSON: {why}. Send one JSON object in UTF-8.",
        code="invalid_json",
    )


def _syntax(body: bytes, error: str) -> str:
    if body.startswith(b"\xef\xbb\xbf"):
        return "it begins with a byte order mark"
    if not body.strip():
        return "it is empty"
    if error.startswith("JSON is malformed: "):
        error = error.removeprefix("JSON is malformed: ")
        # msgspec tells only where; what stands there is most often one of these.
        if re.search(rb"[:\[,]\s*-?(NaN|Infinity)\b", body):
            error += "; NaN and Infinity are not JSON"
        return error
    return "it is cut short or holds a broken escape"


def refused_value(error: str) -> GatewayError:
    """msgspec's words for a wrong value, as a refusal naming the field."""
    match = _AT.match(error)
    what, path = (match["what"], match["path"] or "") if match else (error, "")
    field = path.lstrip(".")
    missing = _MISSING.fullmatch(what)
    if missing is not None:
        field = f"{field}.{missing['name']}" if field else missing["name"]
        return GatewayError(
            "invalid_request",
            f"Missing required parameter: '{field}'.",
            field=field,
            code="missing_required_parameter",
        )
    what = f"{what[:1].lower()}{what[1:]}".replace("`", "")
    if not field:
        return _malformed(what)
    return GatewayError(
        "invalid_request",
        f"Invalid value for '{field}': {what}.",
        field=field,
        code="invalid_value",
    )
