"""Amazon Bedrock's Converse and ConverseStream, as a provider's dialect.

Converse says what Anthropic's Messages says in other words, for all of Bedrock's models: requests are
rendered as Messages and then reworded, answers and events reworded into Messages and read from there.
(docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html)
"""

from ai_gateway.dialects.dialect import ProviderDialect

from .answers import ConverseDecoder, parse_answer, parse_error
from .frames import EventStreamFrames
from .render import render_request

BEDROCK_CONVERSE = ProviderDialect(
    name="bedrock_converse",
    render_request=render_request,
    parse_answer=parse_answer,
    decoder=ConverseDecoder,
    parse_error=parse_error,
    frames=EventStreamFrames,
    stream_type="vnd.amazon.eventstream",
    one_call_at_a_time=False,
)
