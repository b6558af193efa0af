"""The dialects by name: of chats, and of embeddings."""

from .anthropic_messages import ANTHROPIC_MESSAGES
from .bedrock_converse import BEDROCK_CONVERSE
from .cohere import COHERE
from .dialect import Dialect, ProviderDialect
from .embedding import EmbeddingDialect
from .gemini import GEMINI
from .gemini.embeddings import GEMINI_EMBEDDINGS
from .openai_chat import OPENAI_CHAT
from .openai_embeddings import OPENAI_EMBEDDINGS
from .openai_responses import OPENAI_RESPONSES

DIALECTS: dict[str, Dialect] = {
    d.name: d for d in (OPENAI_CHAT, OPENAI_RESPONSES, ANTHROPIC_MESSAGES, GEMINI)
}
"""Those that callers and providers speak."""

PROVIDER_DIALECTS: dict[str, ProviderDialect] = {
    **DIALECTS,
    BEDROCK_CONVERSE.name: BEDROCK_CONVERSE,
    COHERE.name: COHERE,
    # A provider whose embeddings differ, and whose errors OpenAI's dialect reads.
    "voyage": OPENAI_CHAT,
}

EMBEDDING_DIALECTS: dict[str, EmbeddingDialect] = {
    d.name: d for d in (OPENAI_EMBEDDINGS, GEMINI_EMBEDDINGS)
}
