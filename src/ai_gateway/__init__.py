"""AI Gateway: one HTTP service between applications and every LLM provider."""

__version__ = "0.1.0"
