"""A request's body on its way to a provider: forms and files in pieces, JSON whole."""

import re
from collections.abc import AsyncIterator, Mapping

from msgspec import Raw
from msgspec.json import Decoder, encode

from ai_gateway.dialects.multipart import FormField, PartNames, boundary_of, form_field
from ai_gateway.dialects.strict_json import check_model, decode_object, invalid, top_level_fields
from ai_gateway.model.errors import GatewayError

from .asgi import Message, Receive
from .body import CallerLeft, read_body, too_large

_MOST_LOOKED_AT = 256 * 1024
"""Bytes of a form that are read for the name of its model before any are sent on."""

_decode_model = Decoder(dict[str, Raw])
_decode_text = Decoder(str)
_NUMBER = re.compile(rb"\d{1,15}")


def declared_length(headers: Mapping[bytes, bytes]) -> int | None:
    """None: the body comes in chunks, or there is none (then `transfer-encoding` is absent too)."""
    declared = headers.get(b"content-length")
    if declared is not None and _NUMBER.fullmatch(declared):
        return int(declared)
    return None if b"transfer-encoding" in headers else 0


class RawUpload:
    """A body of any kind, in pieces; it names no model."""

    def __init__(self, receive: Receive, headers: Mapping[bytes, bytes], limit: int) -> None:
        """Raises GatewayError(too_large)."""
        self._receive = receive
        self._limit = limit
        self._size = 0
        self._length = declared_length(headers)
        if self._length is not None and self._length > limit:
            raise too_large(limit)

    @property
    def length(self) -> int | None:
        return self._length

    async def model(self) -> str | None:
        return None

    def rename(self, model: str) -> None:
        raise NotImplementedError("it names no model")

    async def receive(self) -> Message:
        """ASGI's, held to the limit. Raises CallerLeft, GatewayError(too_large)."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise CallerLeft
        self._size += len(message.get("body", b""))
        if self._size > self._limit:
            raise too_large(self._limit)
        return message

    async def pieces(self) -> AsyncIterator[bytes]:
        """Raises CallerLeft, GatewayError(too_large)."""
        more = True
        while more:
            message = await self.receive()
            more = message.get("more_body", False)
            if piece := message.get("body", b""):
                yield piece


class BytesUpload:
    """A body that is here already; it names no model."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    @property
    def length(self) -> int | None:
        return len(self._body)

    async def model(self) -> str | None:
        return None

    def rename(self, model: str) -> None:
        raise NotImplementedError("it names no model")

    async def pieces(self) -> AsyncIterator[bytes]:
        if self._body:
            yield self._body


class FormUpload:
    """A form: its first part is looked at for the model, the rest passes by."""

    def __init__(self, receive: Receive, headers: Mapping[bytes, bytes], limit: int) -> None:
        """Raises GatewayError(unsupported_media_type | too_large)."""
        self._boundary = boundary_of(headers.get(b"content-type", b""))
        self._names = PartNames(self._boundary)
        self._models = 0
        self._raw = RawUpload(receive, headers, limit)
        self._source = self._raw.pieces()
        self._head = b""
        self._found: FormField | None = None
        self._grown = 0

    @property
    def length(self) -> int | None:
        length = self._raw.length
        return None if length is None else length + self._grown

    async def model(self) -> str | None:
        looked = 0
        async for piece in self._source:
            self._head += piece
            if len(self._head) < 2 * looked and not piece.endswith(b"\n"):
                # However small the pieces: most are looked at with the next.
                continue
            looked = len(self._head)
            self._found = form_field(self._head, self._boundary, b"model")
            if self._found is not None or looked > _MOST_LOOKED_AT:
                break
        else:
            self._found = form_field(self._head, self._boundary, b"model")
        if self._found is not None:
            check_model(self._found.value)
            return self._found.value
        return None

    def rename(self, model: str) -> None:
        found = self._found
        assert found is not None
        name = model.encode()
        self._grown = len(name) - (found.end - found.start)
        self._head = self._head[: found.start] + name + self._head[found.end :]
        self._found = FormField(model, found.start, found.start + len(name))

    async def pieces(self) -> AsyncIterator[bytes]:
        """Raises GatewayError(invalid_request) where more than the one `model` is named: a provider
        might heed another, which no rule has seen."""
        if self._head:
            self._look(self._head)
            yield self._head
        async for piece in self._source:
            self._look(piece)
            yield piece

    def _look(self, piece: bytes) -> None:
        self._models += self._names.feed(piece).count("model")
        if self._models > (0 if self._found is None else 1):
            raise _named_twice()


def _named_twice() -> GatewayError:
    return invalid("model", "must be given once, and before the files.")


class JsonUpload:
    """A JSON body that names its model; it is held whole."""

    def __init__(self, receive: Receive, headers: Mapping[bytes, bytes], limit: int) -> None:
        self._receive = receive
        self._headers = headers
        self._limit = limit
        self._body = b""
        self._fields: dict[str, Raw] = {}

    @property
    def length(self) -> int | None:
        return len(self._body)

    async def model(self) -> str | None:
        """Raises GatewayError(invalid_request | too_large), CallerLeft."""
        self._body = await read_body(self._receive, self._headers, self._limit)
        decode_object(self._body, _decode_model)
        self._fields = top_level_fields(self._body)
        given = self._fields.get("model")
        if given is None:
            raise invalid("model", "must name a model.", code="missing_required_parameter")
        if bytes(given)[:1] != b'"':
            raise invalid("model", "must be a text.")
        model = _decode_text.decode(given)
        check_model(model)
        return model

    def rename(self, model: str) -> None:
        self._body = encode({**self._fields, "model": model})

    async def pieces(self) -> AsyncIterator[bytes]:
        yield self._body
