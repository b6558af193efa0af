"""Looking into a multipart form (RFC 7578) for the fields that say where it should go, sans-io.

Only the beginning is looked at for values: SDKs write a form's fields before its files, or its one file
first and small; where `model` comes later than what may be held, the form has no model as far as we can
tell. The heads of all its parts are, as they pass by (`PartNames`).
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


_MOST_HEAD_BYTES = 16 * 1024
_BLANK = re.compile(rb"\r?\n\r?\n")
_DELIMITS = re.compile(rb"[ \t]*\r?\n")
_UNDECIDED = re.compile(rb"-|[ \t]*\r?")
_HEADER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:")
_QUOTED = rb'"(?:[^"\\\r\n]|\\[^\r\n])*"'
_DISPOSITION = re.compile(
    rb'content-disposition:[ \t]*form-data;[ \t]*name=(?:"([^"\\\r\n]*)"|([^\s;"\\*=]+))'
    rb"(?:;[ \t]*filename=(?:" + _QUOTED + rb'|[^\s;"]+))?(?:;[ \t]*filename\*=[^\s;"]+)?[ \t]*',
    re.IGNORECASE,
)


class PartNames:
    """The names of a form's parts, as its bytes pass by.

    Servers read forms by different rules. So what only some of them would read, or read otherwise (folded
    lines, a name given twice, escaped or encoded), is refused; and what only some would take for the
    beginning of a part (after a bare line feed, behind the form's end) is looked at as well.
    """

    def __init__(self, boundary: bytes) -> None:
        self._border = b"\n--" + boundary
        # The first border may have nothing in front of it.
        self._held = b"\n"
        self._in_head = False

    def feed(self, data: bytes) -> list[str]:
        """Of those parts whose heads are whole now. Raises GatewayError(invalid_request)."""
        names: list[str] = []
        data = self._held + data
        at = 0
        while True:
            if not self._in_head:
                found = data.find(self._border, at)
                if found < 0:
                    self._held = data[max(at, len(data) - len(self._border) + 1) :]
                    return names
                at = found + len(self._border)
                self._in_head = True
            if _DELIMITS.match(data, at) is None:
                if _UNDECIDED.fullmatch(data, at) is None:
                    # The form's end, or something longer that begins like a border.
                    self._in_head = False
                    continue
                blank = None
            else:
                blank = _BLANK.search(data, at)
            if blank is None:
                if len(data) - at > _MOST_HEAD_BYTES:
                    raise _unreadable()
                self._held = data[at:]
                return names
            names.append(_name_in(data[at : blank.start()]))
            # The line's end may be the beginning of a border.
            at = blank.end() - 1
            self._in_head = False


def _name_in(head: bytes) -> str:
    named: list[str] = []
    for line in head.splitlines()[1:]:
        header = _HEADER.match(line)
        if header is None:
            raise _unreadable()
        if header[0].lower() == b"content-disposition:":
            found = _DISPOSITION.fullmatch(line)
            if found is None:
                raise _unreadable()
            named.append((found[1] or found[2] or b"").decode("utf-8", "replace"))
    if len(named) != 1:
        raise _unreadable()
    return named[0]


def _unreadable() -> GatewayError:
    return GatewayError(
        "invalid_request",
        "The form holds a part whose head not every server would read alike.",
        code="invalid_form",
    )
