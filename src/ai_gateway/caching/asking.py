"""A call as the cache sees it."""

from msgspec import Struct

from ai_gateway.dialects.exchange import Exchange

from .directives import Directives
from .embeddings import EmbeddingInputs
from .forms import Form
from .rules import Rules


class Asking(Struct, frozen=True, kw_only=True):
    key: str
    form: Form
    """In which the caller wants its answer."""
    prefix: str
    """The part of the key that tells whose it is."""
    exchange: Exchange
    rules: Rules
    directives: Directives
    portable: bool
    inputs: EmbeddingInputs | None = None
    """Of a call for embeddings, which are kept one by one."""
