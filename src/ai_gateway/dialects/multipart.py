"""Looking into a multipart form (RFC 7578) for the fields that say where it should go, sans-io.

Only the beginning is looked at: SDKs write a form's fields before its files, or its one file first and
small; where `model` comes later than what may be held, the form has no model as far as we can tell.
"""

import re

from msgspec import Struct

from ai_gateway.model.errors import GatewayError

_BOUNDARY = re.compile(rb'boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_NAME = re.compile(rb'content-disposition:[^\r\n]*?\bname="([^"\r\n]*)"', re.IGNORECASE)
_FILE = re.compile(rb"content-disposition:[^\r\n]*?\bfilename", re.IGNORECASE)
_LONGEST_FIELD = 4096


class FormField(Struct, frozen=True):
    value: str
    start: int
    """Where its value begins in the bytes looked at, and where it ends."""
    end: int


def boundary_of(content_type: bytes) -> bytes:
    """Raises GatewayError(unsupported_media_type)."""
    found = _BOUNDARY.search(content_type)
    if not content_type.lower().startswith(b"multipart/form-data") or found is None:
        raise GatewayError(
            "unsupported_media_type",
            "The body must be a form: send 'content-type: multipart/form-data' with its boundary.",
            field="content-type",
            code="unsupported_media_type",
        )
    return found[1] or found[2]


def form_field(head: bytes, boundary: bytes, name: bytes) -> FormField | None:
    """A field of the form whose value lies wholly within `head`, the beginning of the body."""
    border = b"--" + boundary
    at = head.find(border)
    while at >= 0:
        start = at + len(border)
        blank = head.find(b"\r\n\r\n", start)
        end = head.find(b"\r\n" + border, blank) if blank >= 0 else -1
        if blank < 0 or end < 0:
            return None
        part_head = head[start:blank]
        named = _NAME.search(part_head)
        if named is not None and named[1] == name and _FILE.search(part_head) is None:
            value = head[blank + 4 : end]
            if len(value) > _LONGEST_FIELD:
                return None
            return FormField(value.decode("utf-8", "replace"), blank + 4, end)
        at = end + 2
    return None
