"""Cohere's Chat (v2), as a provider's dialect (docs.cohere.com/v2/reference/chat).

Near OpenAI's in its messages, far from it in its events: content and calls each begin, grow and end
under names of their own, and the plan before a call is told apart from the text.
"""

from ai_gateway.dialects.dialect import ProviderDialect

from .answers import parse_answer, parse_error
from .decoder import CohereDecoder
from .render import render_request

COHERE = ProviderDialect(
    name="cohere",
    render_request=render_request,
    parse_answer=parse_answer,
    decoder=CohereDecoder,
    parse_error=parse_error,
    one_call_at_a_time=False,
)
