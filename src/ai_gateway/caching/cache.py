"""Recall and remember: the steps of a call's path between being admitted and asking a provider.

A call becomes an `Asking`, or None where the cache has no part in it. It is answered from what is
stored; else by joining an identical call in flight; else by asking, and what came is stored if it is
complete and good. What a caller is sent and what is stored is the same bytes.
"""

import asyncio
from collections.abc import Callable, Coroutine
from decimal import Decimal
from functools import partial
from time import perf_counter, time
from typing import TYPE_CHECKING, Any

from ai_gateway.dialects.bridge import TranslatingBridge
from ai_gateway.dialects.exchange import Exchange
from ai_gateway.model.call import Outcome
from ai_gateway.model.errors import GatewayError
from ai_gateway.model.route import Route
from ai_gateway.reply import Reply

from .account import account, account_joined
from .asking import Ask, Asking, Askings
from .entry import entry_of, is_good
from .flight import Flight, Reader, copy_of, says_of_the_question
from .forms import Told, live
from .handing_on import follows, hand_on
from .kept_embeddings import KeptEmbeddings
from .memory import MemoryStore, Slot
from .question import meaning_of
from .rules import RuleBook
from .shared import SharedStore, read
from .store import Store, fresh
from .telling import chat_of, refusal_of, retell, send

if TYPE_CHECKING:
    from .semantic.following import Following
    from .semantic.semantic import FindAnswer, Look, Semantic

MOST_KEPT_BYTES = 2 * 1024 * 1024
"""The longest answer that is stored."""
MOST_FLIGHTS_FOLLOWED = 2
"""How many failed askings a caller waits for before their failure is its own."""
_NOTHING_SPENT = Decimal(0)
_GIVEN_UP = GatewayError("unavailable", "The call was given up.", code="given_up")


class Cache:
    def __init__(
        self, book: RuleBook, memory: MemoryStore, shared: SharedStore | None = None
    ) -> None:
        self._askings = Askings(book)
        self._store = Store(memory, shared)
        self._embeddings = KeptEmbeddings(self._store)
        self._semantic: Semantic | None = None
        self._following: Following | None = None
        self._flights: dict[str, Flight] = {}

    def with_semantic(
        self, build: "Callable[[FindAnswer], tuple[Semantic, Following | None]]"
    ) -> None:
        """Semantic caching as well, over the same stored answers."""
        self._semantic, self._following = build(self._store.find)

    @property
    def semantic(self) -> "Semantic | None":
        return self._semantic

    @property
    def memory(self) -> MemoryStore:
        return self._store.memory

    @property
    def in_flight(self) -> int:
        return len(self._flights)

    # How it is answered.

    def asking(self, exchange: Exchange, outcome: Outcome, route: Route) -> Asking | None:
        """None where the cache has no part in the call; `outcome.cache` then says so.

        Raises GatewayError for a `Cache-Control` that cannot be read.
        """
        return self._askings.of(exchange, outcome, route)

    def look_up(self, asking: Asking | None) -> str | None:
        """The key whose value is wanted along with the admission, in one round trip."""
        if asking is None or self._store.shared is None or not asking.directives.read:
            return None
        # What all tenants share may lie in another slot than what the admission takes.
        if asking.inputs is not None or asking.rules.scope == "shared":
            return None
        return asking.key

    async def answer(
        self,
        asking: Asking | None,
        exchange: Exchange,
        outcome: Outcome,
        reply: Reply,
        ask: Ask,
        looked_up: bytes | None = None,
    ) -> None:
        """Answers the caller, one way or another. `looked_up`: the value of `look_up`'s key. Raises
        what asking raises."""
        if asking is None:
            await ask(exchange, reply)
            return
        if asking.directives.read:
            if asking.rules.limited:
                if self._store.shared is None or self.look_up(asking) is None:
                    if await self.recall(asking, outcome, reply):
                        return
                elif (told := self._found(read(looked_up), asking, outcome)) is not None:
                    await send(told, asking.form, outcome, reply)
                    return
            if asking.key in self._flights and asking.rules.join:
                await self._join_or_lead(asking, outcome, reply, ask)
                return
        await self._lead(asking, outcome, reply, ask)

    async def recall(self, asking: Asking, outcome: Outcome, reply: Reply) -> bool:
        """Answers by what is stored, if it will do."""
        if not asking.directives.read:
            return False
        if asking.inputs is not None:
            outcome.cache = "miss"
            body = await self._embeddings.recall(asking, asking.inputs, outcome)
            if body is None:
                return False
            await reply.whole(outcome, body)
            return True
        shared, memory = self._store.shared, self._store.memory
        slot = memory.get(asking.key) if shared is None else await shared.get(asking.key)
        told = self._found(slot, asking, outcome)
        if told is None:
            return False
        await send(told, asking.form, outcome, reply)
        return True

    def _found(self, slot: Slot | None, asking: Asking, outcome: Outcome) -> Told | None:
        """What is stored, as it is asked for and accounted for; None where it will not do."""
        if slot is None or not fresh(slot.entry, asking.directives):
            outcome.cache = "miss"
            return None
        account(outcome, slot.entry, "hit", time())
        return slot.told(asking.form) or self._tell_anew(asking, slot)

    async def _join_or_lead(self, asking: Asking, outcome: Outcome, reply: Reply, ask: Ask) -> None:
        failure: BaseException | None = None
        for _ in range(MOST_FLIGHTS_FOLLOWED):
            flight = self._flights.get(asking.key)
            if flight is None or not flight.joinable:
                outcome.cache = "miss"
                await self._lead(asking, outcome, reply, ask)
                return
            failure = await self._join(flight, asking, outcome, reply)
            if failure is None:
                return
            if says_of_the_question(failure):
                break
            # Of all who waited, the first to come here asks again; the others wait for that.
        assert failure is not None
        raise copy_of(failure)

    def _tell_anew(self, asking: Asking, slot: Slot) -> Told:
        told = retell(slot.entry, asking)
        self._store.keep_told(asking.key, slot, asking.form, told)
        return told

    async def _lead(self, asking: Asking, outcome: Outcome, reply: Reply, ask: Ask) -> None:
        flight = Flight(asking.form, outcome, MOST_KEPT_BYTES)
        if asking.rules.join and asking.directives.read:
            self._flights[asking.key] = flight
        carrier = outcome.request.carrier
        if asking.form.stream or carrier is None:
            await self._lead_apart(flight, asking, outcome, reply, ask)
            return
        try:
            await flight.led_by(carrier, self._asks(flight, asking, outcome, ask))
        finally:
            self._land(flight, asking)
        whole = flight.whole_answer
        assert whole is not None
        await reply.whole(outcome, whole.body, whole.headers)

    async def _lead_apart(
        self, flight: Flight, asking: Asking, outcome: Outcome, reply: Reply, ask: Ask
    ) -> None:
        """The asking in a task of its own, from which its caller reads like all others."""
        reader = flight.enter()
        task = asyncio.get_running_loop().create_task(self._carry(flight, asking, outcome, ask))
        flight.task = task
        task.add_done_callback(flight.land)
        try:
            await flight.settled()
            whole = flight.whole_answer
            if whole is None and flight.begun:
                await flight.stream_to(reader, reply, outcome, None)
        finally:
            flight.leave(reader)
            # Whoever set the asking off pays for it: its account is closed when the asking is over,
            # even where this caller has left and others still read.
            if not task.done():
                await asyncio.wait((task,))
        task.result()
        # The account is whole before the last byte leaves.
        if whole is not None:
            await reply.whole(outcome, whole.body, whole.headers)
        else:
            await reply.end()

    async def _carry(self, flight: Flight, asking: Asking, outcome: Outcome, ask: Ask) -> None:
        """The asking itself, in a task of its own."""
        try:
            await self._asks(flight, asking, outcome, ask)
        finally:
            self._land(flight, asking)

    def _land(self, flight: Flight, asking: Asking) -> None:
        flight.joinable = False
        if self._flights.get(asking.key) is flight:
            del self._flights[asking.key]

    def _asks(
        self, flight: Flight, asking: Asking, outcome: Outcome, ask: Ask
    ) -> Coroutine[Any, Any, None]:
        """How it is asked for."""
        if asking.inputs is not None:
            return self._embeddings.ask(flight, asking, asking.inputs, outcome, ask)
        shared = self._store.shared
        if shared is None or not (asking.rules.join and asking.directives.read):
            return self._obtain(flight, asking, outcome, ask)
        return self._obtain_in_turn(shared, flight, asking, outcome, ask)

    async def _obtain_in_turn(
        self, shared: SharedStore, flight: Flight, asking: Asking, outcome: Outcome, ask: Ask
    ) -> None:
        """Of all replicas one asks at a time; this one, or another whose answer is had then."""
        waited = perf_counter()
        may_follow = partial(follows, asking) if asking.form.stream else None
        async with shared.turn(asking.key, outcome.request.timeout, may_follow) as turn:
            if turn is None:
                with shared.live.leading(asking.key, flight):
                    await self._obtain(flight, asking, outcome, ask)
            else:
                outcome.upstream_seconds += perf_counter() - waited
                await hand_on(turn, flight, asking, outcome)

    async def _obtain(self, flight: Flight, asking: Asking, outcome: Outcome, ask: Ask) -> None:
        semantic = self._semantic
        look = None if semantic is None else self._look(semantic, asking, outcome)
        if semantic is None or look is None:
            await ask(asking.exchange, flight)
            self._keep(flight, asking, outcome)
            return
        if asking.directives.read:
            hit = await semantic.answer(look, asking.rules, asking.directives.max_age)
            if hit is not None:
                self._note_hit(semantic, outcome, hit.key)
                outcome.cache_key, outcome.similarity = hit.key, hit.similarity
                account(outcome, hit.slot.entry, "semantic", time())
                await send(retell(hit.slot.entry, asking), asking.form, outcome, flight)
                return
        await ask(asking.exchange, flight)
        if self._keep(flight, asking, outcome):
            semantic.remember(look, asking.key, asking.rules.ttl)

    def _keep(self, flight: Flight, asking: Asking, outcome: Outcome) -> bool:
        """Stores what came, where it is complete and good and may be stored; whether it was."""
        rules = asking.rules
        body = flight.recorded() if asking.directives.write else None
        if body is None:
            return False
        if not is_good(outcome, asking.form, body, truncated=rules.keep_truncated):
            return False
        self._store.keep(asking.key, entry_of(outcome, asking.form, body, time()), rules.ttl)
        return True

    def _look(self, semantic: "Semantic", asking: Asking, outcome: Outcome) -> "Look | None":
        """What the call means, on its way to be embedded; None where that is not wanted."""
        if asking.rules.mode != "semantic" or not asking.portable:
            return None
        if outcome.caller is None or asking.form.operation != "chat":
            return None
        model, allowed = asking.exchange.model, asking.rules.semantic_for
        meaning = meaning_of(chat_of(asking), asking.form, model, allowed)
        return meaning and semantic.look(meaning, asking.prefix, outcome.caller)

    async def _join(
        self, flight: Flight, asking: Asking, outcome: Outcome, reply: Reply
    ) -> BaseException | None:
        """Answers from another's asking; gives its failure where that came before any answer did."""
        outcome.cache = "joined"
        reader = flight.enter()
        try:
            async with asyncio.timeout(outcome.request.timeout):
                return await self._follow(flight, reader, asking, outcome, reply)
        except TimeoutError:
            raise GatewayError("timeout", "No answer came in the time that was set.") from None
        finally:
            flight.leave(reader)

    async def _follow(
        self, flight: Flight, reader: Reader, asking: Asking, outcome: Outcome, reply: Reply
    ) -> BaseException | None:
        waited = perf_counter()
        bridge: TranslatingBridge | None = None
        translated = flight.form != asking.form
        if translated:
            chat = chat_of(asking)
            bridge = live(flight.form, asking.form, chat, int(time()))
        await (flight.settled() if bridge is not None or not translated else flight.over())
        outcome.upstream_seconds += perf_counter() - waited
        if not flight.begun:
            return flight.failure or _GIVEN_UP
        account_joined(outcome, flight.outcome)
        if flight.whole_answer is not None and flight.whole_answer.status != 200:
            return refusal_of(flight.form, flight.whole_answer)
        if translated and bridge is None:
            body = flight.recorded()
            if body is None:
                return flight.failure or _GIVEN_UP
            told = retell(entry_of(flight.outcome, flight.form, body, time()), asking)
            await send(told, asking.form, outcome, reply)
        elif flight.whole_answer is not None:
            await reply.whole(outcome, flight.whole_answer.body)
        else:
            failure = await flight.stream_to(reader, reply, outcome, bridge)
            if failure is not None:
                raise copy_of(failure)
            account_joined(outcome, flight.outcome)
            outcome.error = flight.outcome.error
            await reply.end()
        return None

    # What the admin API may do.

    def _note_hit(self, semantic: "Semantic", outcome: Outcome, key: str) -> None:
        assert outcome.caller is not None
        tenant = outcome.caller.tenant
        semantic.note_hit(tenant, outcome.call_id, key)
        if self._store.shared is not None:
            self._store.shared.note_hit(tenant, outcome.call_id, key)

    async def report_bad_hit(self, tenant: str, call_id: str) -> bool:
        """A caller of the tenant says that a semantic hit answered another question: it is evicted.
        False where no such hit is known (any more)."""
        if self._semantic is None:
            return False
        key = self._semantic.key_of_hit(tenant, call_id)
        if key is None and self._store.shared is not None:
            key = await self._store.shared.key_of_hit(tenant, call_id)
        if key is None:
            return False
        self._semantic.evict(key)
        self._store.delete(key)
        return True

    async def forget(self, key: str) -> bool:
        """Forgets one answer by its key; false where there was none."""
        found = await self._store.find(key) is not None
        self._store.delete(key)
        return found

    def start(self) -> None:
        self._store.start()
        if self._following is not None:
            self._following.start()

    async def close(self) -> None:
        await self._store.close()
        if self._following is not None:
            await self._following.close()
        if self._semantic is not None:
            self._semantic.close()

    async def purge(self, tenant: str | None = None, model: str | None = None) -> int:
        """Forgets what matches; everything where neither is named. Gives how many answers."""
        return await self._store.purge(tenant, model)
