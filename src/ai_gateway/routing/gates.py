"""A provider's door for calls that pass through: its address and credential, and nothing of a model."""

from msgspec import Struct

from ai_gateway.catalogue.models import Prices
from ai_gateway.model.call import Target

from .vitals import Vitals


class Gate(Struct, frozen=True, kw_only=True):
    target: Target
    """The model is `-` where the call names none."""
    base_url: str
    headers: tuple[tuple[str, str], ...]
    """They hold the credential."""
    own_headers: frozenset[str]
    """The names of these, in lower case: a caller's own of the name is not handed on."""
    prices: Prices | None = None
    vitals: Vitals | None = None
    """Of all that passes through to this provider; None: nobody watches it."""
