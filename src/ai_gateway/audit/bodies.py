"""What is kept of a call's two bodies: redacted, streams assembled, cut to size. Runs off the event loop."""

from msgspec import Struct

from ai_gateway.dialects.dialect import BadAnswer
from ai_gateway.dialects.folding import fold
from ai_gateway.dialects.registry import DIALECTS
from ai_gateway.model.audit import Captured
from ai_gateway.model.errors import GatewayError

from .redact import Redactor


class KeptBodies(Struct, frozen=True, kw_only=True):
    request: str
    response: str | None
    redacted: dict[str, int]
    """How many values each rule took out."""
    cut: str | None


class Bodies:
    def __init__(self, redactor: Redactor, most: int) -> None:
        """`most`: bytes kept of each body."""
        self._redactor = redactor
        self._most = most

    @property
    def captured_at_most(self) -> int:
        """More than is kept, so that what is cut off in the middle of a secret is not kept either."""
        return 2 * self._most + 65_536

    def keep(
        self, dialect: str, body: bytes, answer: Captured | None, *, stream: bool
    ) -> KeptBodies:
        counts: dict[str, int] = {}
        cuts: list[str] = []
        request = self._keep("request", body[: self.captured_at_most], len(body), counts, cuts)
        response = None
        if answer is not None:
            data = b"".join(answer.pieces)
            if stream and answer.kept == answer.total:
                whole = assembled(dialect, body, data)
                if whole is None:
                    cuts.append("response: the stream as it was sent, since it is not whole")
                else:
                    data = whole
            kept = answer.kept == answer.total
            response = self._keep(
                "response", data, len(data) if kept else answer.total, counts, cuts
            )
        return KeptBodies(
            request=request, response=response, redacted=counts, cut="; ".join(cuts) or None
        )

    def _keep(
        self, name: str, data: bytes, total: int, counts: dict[str, int], cuts: list[str]
    ) -> str:
        text = self._redactor.redact(data, counts)
        # No database's text holds it.
        text = text.replace("\0", "�")
        encoded = text.encode()
        if len(encoded) > self._most or total > len(data):
            text = encoded[: self._most].decode("utf-8", "ignore")
            cuts.append(
                f"{name}: the first {len(text.encode())} of {max(total, len(encoded))} bytes"
            )
        return text


def assembled(dialect: str, request: bytes, stream: bytes) -> bytes | None:
    """The whole answer that a stream amounts to, in the caller's dialect; None where it is not whole."""
    spoken = DIALECTS[dialect]
    frames, decoder = spoken.frames(), spoken.decoder()
    try:
        read = [*frames.feed(stream), *frames.end()]
        events = [event for frame in read for event in decoder.feed(frame)]
        answer = fold([*events, *decoder.end()])
        return spoken.render_answer(answer, spoken.parse_request(request)).body
    except (BadAnswer, GatewayError, KeyError, ValueError):
        return None
