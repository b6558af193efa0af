"""Google's Gemini: generateContent."""

from ai_gateway.dialects.dialect import Dialect

from .answers import parse_answer, peek_answer, render_answer
from .count_tokens import COUNTING
from .decoder import GeminiDecoder
from .encoder import GeminiEncoder
from .errors import parse_error, render_error, render_stream_error
from .parts import DIALECT, FOREIGN_MARKS
from .peek import peek, rewrite
from .render import render_request
from .requests import parse_request
from .watch import GeminiWatcher

GEMINI = Dialect(
    name=DIALECT,
    foreign_marks=FOREIGN_MARKS,
    model_in_path=True,
    one_call_at_a_time=False,
    field_names={
        "messages": "contents",
        "tool_choice": "toolConfig.functionCallingConfig",
        "response_format": "generationConfig.responseJsonSchema",
        "reasoning": "generationConfig.thinkingConfig",
        "max_tokens": "generationConfig.maxOutputTokens",
        "temperature": "generationConfig.temperature",
        "top_p": "generationConfig.topP",
        "top_k": "generationConfig.topK",
        "stop": "generationConfig.stopSequences",
        "seed": "generationConfig.seed",
        "frequency_penalty": "generationConfig.frequencyPenalty",
        "presence_penalty": "generationConfig.presencePenalty",
    },
    peek=peek,
    rewrite=rewrite,
    peek_answer=peek_answer,
    watch=GeminiWatcher,
    parse_request=parse_request,
    render_request=render_request,
    parse_answer=parse_answer,
    render_answer=render_answer,
    decoder=GeminiDecoder,
    encoder=GeminiEncoder,
    parse_error=parse_error,
    render_error=render_error,
    render_stream_error=render_stream_error,
    counting=COUNTING,
)
