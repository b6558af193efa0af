"""The dialects by name."""

from .anthropic_messages import ANTHROPIC_MESSAGES
from .bedrock_converse import BEDROCK_CONVERSE
from .dialect import Dialect, ProviderDialect
from .gemini import GEMINI
from .openai_chat import OPENAI_CHAT
from .openai_responses import OPENAI_RESPONSES

DIALECTS: dict[str, Dialect] = {
    d.name: d for d in (OPENAI_CHAT, OPENAI_RESPONSES, ANTHROPIC_MESSAGES, GEMINI)
}
"""Those that callers and providers speak."""

PROVIDER_DIALECTS: dict[str, ProviderDialect] = {
    **DIALECTS,
    BEDROCK_CONVERSE.name: BEDROCK_CONVERSE,
    # Providers whose embeddings differ, and whose errors OpenAI's dialect reads.
    "cohere": OPENAI_CHAT,
    "voyage": OPENAI_CHAT,
}
