"""What a call consumed, in tokens by kind."""

from decimal import Decimal

from msgspec import Struct


class Usage(Struct, frozen=True, kw_only=True, gc=False):
    """Tokens by kind, with *inclusive* totals, as OpenAI counts.

    `input_tokens` includes cache reads and writes (Anthropic reports them apart; its dialect adds
    them up). `output_tokens` includes reasoning. Each cost kind can be had by subtraction.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0
    told_cost: Decimal | None = None
    """US dollars, where the answer itself says what it cost. Whether that is to be believed is the
    catalogue's to say."""

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def uncached_input_tokens(self) -> int:
        """Input billed at the plain rate: neither read from nor written to a prompt cache."""
        written = self.cache_write_5m_tokens + self.cache_write_1h_tokens
        return max(0, self.input_tokens - self.cache_read_tokens - written)


NO_USAGE = Usage()
