"""The forms in which one answer can be told: a dialect, whole or as a stream; and from one to another.

What was sent to whoever asked first is in that caller's dialect. Every dialect parses as well as it
renders, so a stored answer can be told in any form; where it is the form it came in, to the letter.
"""

from collections.abc import Iterator
from functools import cache

from msgspec import Struct
from msgspec.structs import replace

from ai_gateway.dialects.bridge import TranslatingBridge
from ai_gateway.dialects.folding import fold, unfold
from ai_gateway.dialects.registry import DIALECTS, PROVIDER_DIALECTS
from ai_gateway.model.answer import Answer, Event
from ai_gateway.model.call import Operation
from ai_gateway.model.chat import Chat
from ai_gateway.model.usage import Usage


class Form(Struct, frozen=True, array_like=True, gc=False):
    operation: Operation
    dialect: str
    stream: bool = False
    usage_shown: bool = False
    """Of a stream: it holds the usage. (What is whole always does.)"""


class Told(Struct, frozen=True, gc=False):
    body: bytes
    notes: tuple[str, ...] = ()


def answer_of(form: Form, body: bytes) -> Answer:
    """The answer in no dialect. Raises BadAnswer."""
    dialect = DIALECTS[form.dialect]
    return fold(_events(form.dialect, body)) if form.stream else dialect.parse_answer(body)


def _events(dialect: str, body: bytes) -> Iterator[Event]:
    provider = PROVIDER_DIALECTS[dialect]
    frames, decoder = provider.frames(), provider.decoder()
    for event in (*frames.feed(body), *frames.end()):
        yield from decoder.feed(event)
    yield from decoder.end()


def tell(form: Form, body: bytes, usage: Usage, wanted: Form, chat: Chat) -> Told:
    """A chat's answer in another form. `usage` is the whole call's, which a stream may not hold;
    `chat` is the call it now answers.

    Raises BadAnswer, which nothing that was sent whole should cause.
    """
    answer = replace(answer_of(form, body), usage=usage)
    dialect = DIALECTS[wanted.dialect]
    if not wanted.stream:
        rendered = dialect.render_answer(answer, chat)
        return Told(rendered.body, rendered.notes)
    encoder = dialect.encoder(chat)
    data = b"".join([encoder.feed(event) for event in unfold(answer)])
    return Told(data, tuple(encoder.notes))


def live(form: Form, wanted: Form, chat: Chat, now: int) -> TranslatingBridge | None:
    """What tells a stream in another stream's form as it comes; None where the one lacks what the
    other needs from the first event on."""
    if not (form.stream and wanted.stream) or (wanted.usage_shown and not form.usage_shown):
        return None
    encoder = DIALECTS[wanted.dialect].encoder(chat)
    provider = PROVIDER_DIALECTS[form.dialect]
    return TranslatingBridge(provider.frames(), provider.decoder(), encoder, now)


@cache
def form_of(operation: Operation, dialect: str, stream: bool, usage_shown: bool) -> Form:
    """The same Form each time; there are a few dozen at most."""
    return Form(operation, dialect, stream, usage_shown)
