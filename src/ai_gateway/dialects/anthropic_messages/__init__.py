"""Anthropic Messages."""

from ai_gateway.dialects.dialect import Dialect
from ai_gateway.dialects.signatures import foreign_marks

from .answers import parse_answer, peek_answer, render_answer
from .blocks import DIALECT
from .count_tokens import COUNTING
from .decoder import MessagesDecoder
from .encoder import MessagesEncoder
from .errors import parse_error, render_error, render_stream_error
from .peek import peek, rewrite
from .render import render_request
from .requests import parse_request
from .watch import MessagesWatcher

ANTHROPIC_MESSAGES = Dialect(
    name=DIALECT,
    field_names={
        "stop": "stop_sequences",
        "reasoning": "thinking",
        "response_format": "output_config.format",
        "user": "metadata.user_id",
        "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
    },
    foreign_marks=foreign_marks(DIALECT, "signature"),
    peek=peek,
    rewrite=rewrite,
    peek_answer=peek_answer,
    watch=MessagesWatcher,
    parse_request=parse_request,
    render_request=render_request,
    parse_answer=parse_answer,
    render_answer=render_answer,
    decoder=MessagesDecoder,
    encoder=MessagesEncoder,
    parse_error=parse_error,
    render_error=render_error,
    render_stream_error=render_stream_error,
    counting=COUNTING,
)
