"""Sending a stored answer to a caller, in the form it asked for."""

from collections.abc import Sequence

from ai_gateway.dialects.exchange import ChatExchange
from ai_gateway.dialects.registry import DIALECTS
from ai_gateway.model.call import Outcome
from ai_gateway.model.chat import Chat
from ai_gateway.model.errors import GatewayError
from ai_gateway.reply import Reply

from .asking import Asking
from .entry import Entry
from .flight import Whole
from .forms import Form, Told, tell

PIECE_BYTES = 64 * 1024
"""A stream that is stored is sent in pieces of at most this size, so that a slow reader costs no more
memory than with a live one."""


class WholeReply:
    """Nobody waits for it: it keeps a whole answer."""

    def __init__(self) -> None:
        self.begun = False
        self.body: bytes | None = None
        self.headers: Sequence[tuple[str, str]] = ()

    async def whole(
        self, outcome: Outcome, body: bytes, headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        self.begun = True
        self.body, self.headers = body, headers

    async def begin(self, outcome: Outcome) -> None:
        raise AssertionError("nothing but whole answers is asked for through this")

    async def piece(self, data: bytes) -> None: ...

    async def end(self) -> None: ...


def chat_of(asking: Asking) -> Chat:
    assert isinstance(asking.exchange, ChatExchange)
    return asking.exchange.chat


def retell(entry: Entry, asking: Asking) -> Told:
    """The stored answer in the form that is asked for; to the letter where it is the form it has."""
    if entry.form == asking.form:
        return Told(entry.body, entry.notes)
    return tell(entry.form, entry.body, entry.usage, asking.form, chat_of(asking))


async def send(told: Told, form: Form, outcome: Outcome, reply: Reply) -> None:
    outcome.notes = told.notes
    if not form.stream:
        await reply.whole(outcome, told.body)
        return
    await reply.begin(outcome)
    body = told.body
    if len(body) <= PIECE_BYTES:
        await reply.piece(body)
    else:
        for at in range(0, len(body), PIECE_BYTES):
            await reply.piece(body[at : at + PIECE_BYTES])
    await reply.end()


def refusal_of(form: Form, whole: Whole) -> GatewayError:
    """What a provider's refusal, sent to another caller, means to this one."""
    error = DIALECTS[form.dialect].parse_error(whole.status, whole.body)
    refusal = GatewayError(error.kind, error.message, field=error.field, code=error.code)
    if whole.status >= 500:
        refusal.status = whole.status
    refusal.headers = whole.headers
    return refusal
