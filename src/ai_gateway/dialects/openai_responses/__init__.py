"""OpenAI Responses."""

from ai_gateway.dialects.dialect import Dialect
from ai_gateway.dialects.signatures import foreign_marks

from .answers import parse_answer, peek_answer, render_answer
from .decoder import ResponsesDecoder
from .encoder import ResponsesEncoder
from .errors import parse_error, render_error, render_stream_error
from .items import DIALECT
from .peek import peek, rewrite
from .render import render_request
from .requests import parse_request
from .watch import ResponsesWatcher

OPENAI_RESPONSES = Dialect(
    name=DIALECT,
    field_names={
        "messages": "input",
        "max_tokens": "max_output_tokens",
        "response_format": "text.format",
        "verbosity": "text.verbosity",
    },
    foreign_marks=foreign_marks(DIALECT, "encrypted_content"),
    peek=peek,
    rewrite=rewrite,
    peek_answer=peek_answer,
    watch=ResponsesWatcher,
    parse_request=parse_request,
    render_request=render_request,
    parse_answer=parse_answer,
    render_answer=render_answer,
    decoder=ResponsesDecoder,
    encoder=ResponsesEncoder,
    parse_error=parse_error,
    render_error=render_error,
    render_stream_error=render_stream_error,
)
