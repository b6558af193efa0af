"""OpenAI Chat Completions, and the many providers that speak it."""

from ai_gateway.dialects.dialect import Dialect

from .answers import parse_answer, peek_answer, render_answer
from .decoder import ChatDecoder
from .encoder import ChatEncoder
from .errors import parse_error, render_error, render_stream_error
from .peek import peek, rewrite
from .render import render_request
from .requests import DIALECT, parse_request
from .watch import ChatWatcher

OPENAI_CHAT = Dialect(
    name=DIALECT,
    field_names={"reasoning": "reasoning_effort"},
    peek=peek,
    rewrite=rewrite,
    peek_answer=peek_answer,
    watch=ChatWatcher,
    parse_request=parse_request,
    render_request=render_request,
    parse_answer=parse_answer,
    render_answer=render_answer,
    decoder=ChatDecoder,
    encoder=ChatEncoder,
    parse_error=parse_error,
    render_error=render_error,
    render_stream_error=render_stream_error,
)
