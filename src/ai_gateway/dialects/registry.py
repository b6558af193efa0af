"""The dialects by name."""

from .anthropic_messages import ANTHROPIC_MESSAGES
from .dialect import Dialect
from .openai_chat import OPENAI_CHAT

DIALECTS: dict[str, Dialect] = {d.name: d for d in (OPENAI_CHAT, ANTHROPIC_MESSAGES)}
