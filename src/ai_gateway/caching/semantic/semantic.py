"""The semantic cache: the nearest stored question answers, if it is near enough and nothing speaks
against it.

It stands behind the exact cache, within the one asking of identical calls. The question's embedding is
waited for no longer than `budget`; when it comes too late for this call, it still serves the next ones.
Off the path: a near miss may be put to a verifier, whose word moves that entry's own threshold.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from time import time

import numpy as np
from msgspec import Struct

from ai_gateway.caching.memory import Slot
from ai_gateway.caching.question import Meaning
from ai_gateway.caching.rules import Rules
from ai_gateway.model.call import Caller

from .guard import Verdict, judge
from .index import Item, Neighbour, Vector, VectorIndex, unit
from .messages import Added, Gone, Learnt, Message

Embed = Callable[[Caller, str], Awaitable[list[float]]]
"""A text's embedding. Raises OSError where none is to be had."""
Verify = Callable[[Caller, str, str], Awaitable[bool]]
"""Whether two questions want the same answer. Raises OSError where nobody can tell."""
FindAnswer = Callable[[str], Awaitable[Slot | None]]

_LOOKED_AT = 4
_STEP = 0.005
"""How far beyond a proven difference an entry's own threshold is set."""
_MOST_ASIDE = 64
"""Embeddings and verifications under way beside the calls; more are let go."""
_MOST_HITS_KNOWN = 10_000
_UNGUARDED = Verdict(None, "same")


class SemanticOptions(Struct, frozen=True, kw_only=True):
    embedder: str
    """The model or route that embeds; part of every group, since vectors of two do not compare."""
    budget: float = 0.15
    """Seconds that a call waits for its embedding."""
    verify_within: float = 0.0
    """A neighbour at most this far below the policy's threshold is still worth a verification."""


class Look(Struct):
    """One call's question on its way through the semantic cache."""

    meaning: Meaning
    group: bytes
    caller: Caller
    vector: "asyncio.Task[Vector | None]"


class Hit(Struct, frozen=True):
    slot: Slot
    key: str
    similarity: float


class Semantic:
    def __init__(
        self,
        options: SemanticOptions,
        index: VectorIndex,
        *,
        embed: Embed,
        find: FindAnswer,
        count: Callable[[str], None],
        verify: Verify | None = None,
        tell: Callable[[Message], None] = lambda message: None,
        replica: str = "",
    ) -> None:
        """`count` is told what came of each look, and of each verification."""
        self.options = options
        self.index = index
        self._embed = embed
        self._find = find
        self._count = count
        self._verify = verify
        self._tell = tell
        self._replica = replica
        self._aside: set[asyncio.Task[None]] = set()
        self._hits: OrderedDict[tuple[str, str], str] = OrderedDict()

    def look(self, meaning: Meaning, prefix: str, caller: Caller) -> Look:
        """Begins: the question is embedded from here on."""
        group = b"\0".join((prefix.encode(), self.options.embedder.encode(), meaning.fingerprint))
        task = asyncio.get_running_loop().create_task(self._vector_of(caller, meaning.text))
        return Look(meaning, group, caller, task)

    async def answer(self, look: Look, rules: Rules, max_age: float | None) -> Hit | None:
        if not look.vector.done():
            await asyncio.wait((look.vector,), timeout=self.options.budget)
        if not look.vector.done():
            self._count("late")
            return None
        vector = look.vector.result()
        if vector is None:
            self._count("unembedded")
            return None
        vetoed = False
        now = time()
        for neighbour in self.index.nearest(look.group, vector, _LOOKED_AT):
            item = neighbour.item
            if neighbour.similarity < rules.threshold - self.options.verify_within:
                break
            if item.expires <= now:
                self.index.remove(item.key)
                continue
            verdict = judge(look.meaning.text, item.text) if rules.guard else _UNGUARDED
            if verdict.veto is not None:
                vetoed = True
                continue
            if neighbour.similarity < needed(item, rules.threshold + verdict.margin):
                self._put_to_verifier(look, neighbour)
                continue
            slot = await self._find(item.key)
            if slot is None:
                self.index.remove(item.key)
                self._count("gone")
                continue
            if max_age is not None and slot.entry.age(now) > max_age:
                continue
            self.index.touch(item)
            self._count("hit")
            return Hit(slot, item.key, neighbour.similarity)
        self._count("vetoed" if vetoed else "far")
        return None

    def remember(self, look: Look, key: str, ttl: float) -> None:
        """The question's answer has been stored under `key`."""
        self._beside(self._remember(look, key, ttl))

    async def _remember(self, look: Look, key: str, ttl: float) -> None:
        vector = await look.vector
        if vector is None:
            return
        expires = time() + ttl
        self.index.add(Item(key, look.group, look.meaning.text, expires), vector)
        half = vector.astype("<f2").tobytes()
        self._tell(Added(self._replica, key, look.group, look.meaning.text, half, expires))

    def hear(self, message: Message) -> None:
        """Of another replica's."""
        if message.replica == self._replica:
            return
        match message:
            case Added():
                vector = np.frombuffer(message.vector, "<f2").astype(np.float32)
                if len(vector) and message.expires > time():
                    item = Item(message.key, message.group, message.text, message.expires)
                    self.index.add(item, unit(vector))
            case Gone():
                for key in message.keys:
                    self.index.remove(key)
            case Learnt():
                item = self.index.get(message.key)
                if item is not None:
                    learn(item, message.similarity, same=message.same)

    # What is learnt.

    def note_hit(self, tenant: str, call_id: str, key: str) -> None:
        """So that it can be reported as wrong."""
        self._hits[tenant, call_id] = key
        if len(self._hits) > _MOST_HITS_KNOWN:
            self._hits.popitem(last=False)

    def key_of_hit(self, tenant: str, call_id: str) -> str | None:
        """Of a hit that this process gave, not too long ago."""
        return self._hits.get((tenant, call_id))

    def evict(self, key: str) -> None:
        """It answered wrongly."""
        self._count("bad_hit")
        self.index.remove(key)
        self._tell(Gone(self._replica, [key]))

    def _put_to_verifier(self, look: Look, near: Neighbour) -> None:
        item = near.item
        known = item.different_from is not None and near.similarity <= item.different_from
        if self._verify is not None and not known:
            self._beside(self._verified(self._verify, look, near))

    async def _verified(self, verify: Verify, look: Look, near: Neighbour) -> None:
        try:
            same = await verify(look.caller, near.item.text, look.meaning.text)
        except OSError:
            self._count("unverified")
            return
        self._count("verified_same" if same else "verified_different")
        learn(near.item, near.similarity, same=same)
        self._tell(Learnt(self._replica, near.item.key, near.similarity, same))

    def _beside(self, work: "Awaitable[None]") -> None:
        if len(self._aside) >= _MOST_ASIDE:
            self._count("let_go")
            work.close()  # type: ignore[attr-defined]
            return
        task = asyncio.ensure_future(work)
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)

    async def _vector_of(self, caller: Caller, text: str) -> Vector | None:
        try:
            return unit(await self._embed(caller, text))
        except (OSError, ValueError):
            return None

    async def settle(self) -> None:
        """Waits for what is under way beside the calls."""
        while self._aside:
            await asyncio.wait(self._aside)

    def close(self) -> None:
        for task in self._aside:
            task.cancel()


def needed(item: Item, usual: float) -> float:
    """The similarity an entry asks for: the usual one, until it is known better."""
    if item.different_from is not None and item.different_from >= (item.same_from or usual):
        return max(usual, item.different_from + _STEP)
    if item.same_from is not None:
        return min(usual, max(item.same_from, (item.different_from or -1.0) + _STEP))
    return usual


def learn(item: Item, similarity: float, *, same: bool) -> None:
    if same:
        item.same_from = min(similarity, item.same_from if item.same_from is not None else 1.0)
    else:
        item.different_from = max(
            similarity, item.different_from if item.different_from is not None else -1.0
        )
