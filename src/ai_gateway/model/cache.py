"""The cache as a whole, as written in `gateway.yaml` under `cache`."""

from typing import Annotated

from msgspec import Meta, Struct

from .policy import CachePolicy


class SemanticSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What it takes to look answers up by what is meant."""

    embedder: str
    """A model or route that embeds, by any name that callers could use."""
    budget: Annotated[float, Meta(gt=0, le=10)] = 0.15
    """Seconds that a call waits for its embedding; then it is a miss."""
    capacity: Annotated[int, Meta(ge=1, le=10_000_000)] = 20_000
    """Questions that each process holds the vectors of."""
    verifier: str | None = None
    """A model or route that is asked, off the path of calls, whether two questions want the same
    answer; its word moves the threshold of the one stored."""
    verify_within: Annotated[float, Meta(ge=0, le=0.5)] = 0.0
    """How far below the policy's threshold a neighbour is still worth asking about."""


class CacheSettings(CachePolicy, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The policy that holds where neither key nor route says otherwise, and the semantic part."""

    semantic: SemanticSettings | None = None
