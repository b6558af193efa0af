"""The cache from its settings; numpy and the like are imported only if it is to find by meaning."""

from collections.abc import Awaitable, Callable
from secrets import token_hex
from time import monotonic

import msgspec
from msgspec import Struct

from ai_gateway.model.cache import CacheSettings, SemanticSettings
from ai_gateway.model.call import Caller, Operation
from ai_gateway.model.errors import GatewayError
from ai_gateway.model.policy import CachePolicy

from .cache import Cache
from .memory import MemoryStore
from .no_cache import NoCache
from .rules import RuleBook, Rules, merge
from .shared import SharedStore, SharedValues
from .verdict import verdict, verification

AskItself = Callable[[Caller, Operation, str, bytes, float], Awaitable[bytes]]
"""A call of the gateway's own, by operation, endpoint, body and time-out. Raises GatewayError."""

_VERIFY_SECONDS = 20.0
_EMBED_SECONDS = 5.0


def build_cache(
    settings: CacheSettings,
    *,
    ttl: float,
    memory_bytes: int,
    shared: SharedValues | None,
    ask: AskItself,
    count: Callable[[str], None],
) -> Cache | NoCache:
    """`ttl` in seconds, where the settings say none; 0 turns all caching off."""
    if ttl <= 0:
        return NoCache()
    cache = Cache(
        RuleBook(merge(settings, CachePolicy(), Rules(ttl=ttl))),
        MemoryStore(memory_bytes, monotonic),
        None if shared is None else SharedStore(shared),
    )
    if settings.semantic is not None:
        _add_semantic(cache, settings.semantic, shared, ask, count)
    return cache


def _add_semantic(
    cache: Cache,
    settings: SemanticSettings,
    shared: SharedValues | None,
    ask: AskItself,
    count: Callable[[str], None],
) -> None:
    from .semantic.following import Following
    from .semantic.index import VectorIndex
    from .semantic.semantic import FindAnswer, Semantic, SemanticOptions

    def build(find: FindAnswer) -> tuple[Semantic, Following | None]:
        following: Following | None = None
        semantic = Semantic(
            SemanticOptions(
                embedder=settings.embedder,
                budget=settings.budget,
                verify_within=settings.verify_within if settings.verifier is not None else 0.0,
            ),
            VectorIndex(settings.capacity),
            embed=embedder(settings.embedder, ask),
            verify=None if settings.verifier is None else verifier(settings.verifier, ask),
            find=find,
            count=count,
            tell=lambda message: None if following is None else following.tell(message),
            replica=token_hex(8),
        )
        if shared is not None:
            following = Following(shared, semantic.hear, settings.capacity)
        return semantic, following

    cache.with_semantic(build)


class _Vector(Struct):
    embedding: list[float]


class _Vectors(Struct):
    data: list[_Vector]


_vectors = msgspec.json.Decoder(_Vectors).decode


def embedder(model: str, ask: AskItself) -> Callable[[Caller, str], Awaitable[list[float]]]:
    async def embed(caller: Caller, text: str) -> list[float]:
        body = msgspec.json.encode({"model": model, "input": text, "encoding_format": "float"})
        try:
            answer = await ask(
                _behalf(caller), "embeddings", "/v1/embeddings", body, _EMBED_SECONDS
            )
            return _vectors(answer).data[0].embedding
        except (GatewayError, msgspec.DecodeError, IndexError) as error:
            raise OSError(type(error).__name__) from None

    return embed


def verifier(model: str, ask: AskItself) -> Callable[[Caller, str, str], Awaitable[bool]]:
    async def verify(caller: Caller, one: str, other: str) -> bool:
        body = verification(model, one, other)
        endpoint = "/v1/chat/completions"
        try:
            return verdict(await ask(_behalf(caller), "chat", endpoint, body, _VERIFY_SECONDS))
        except GatewayError as error:
            raise OSError(type(error).__name__) from None

    return verify


def _behalf(caller: Caller) -> Caller:
    """On the caller's account, but whatever models its key may use."""
    return Caller(tenant=caller.tenant, user=caller.user, key_id=caller.key_id, tags=caller.tags)
