"""Recall and remember: the steps of a call's path between being admitted and asking a provider.

A call becomes an `Asking`, or None where the cache has no part in it. It is answered from what is
stored; else by joining an identical call in flight; else by asking, and what came is stored if it is
complete and good. What a caller is sent and what is stored is the same bytes.
"""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from hashlib import blake2b
from time import perf_counter, time

from ai_gateway.dialects.bridge import TranslatingBridge
from ai_gateway.dialects.exchange import ChatExchange, EmbeddingsExchange, Exchange, RelayedExchange
from ai_gateway.model.call import Caller, Outcome
from ai_gateway.model.errors import GatewayError
from ai_gateway.model.route import Route, RouteTarget
from ai_gateway.reply import Reply

from .account import account, account_joined, account_many, part_of
from .asking import Asking
from .directives import Directives, parse_cache_control
from .embeddings import EmbeddingInputs, embeddings_answer, open_inputs, read_vectors
from .entry import Entry, entry_of, is_good
from .flight import Flight, Reader, copy_of, says_of_the_question
from .forms import Form, Told, form_of, live
from .keys import key_prefix
from .memory import MemoryStore, Slot
from .question import DIGEST_BYTES, Question, question_of, telling_headers, told_by_body
from .rules import RuleBook, Rules
from .telling import WholeReply, chat_of, refusal_of, retell, send

MOST_KNOWN_BODIES = 16384
"""Bodies whose question is remembered, so that a call that came before is not read twice."""
MOST_KEPT_BYTES = 2 * 1024 * 1024
"""The longest answer that is stored."""
MOST_FLIGHTS_FOLLOWED = 2
"""How many failed askings a caller waits for before their failure is its own."""
_NOTHING_SPENT = Decimal(0)
_GIVEN_UP = GatewayError("unavailable", "The call was given up.", code="given_up")

Sources = tuple[tuple[RouteTarget, ...], tuple[str, ...]]
_ANY: Sources = ((), ("*",))

Ask = Callable[[Exchange, Reply], Awaitable[None]]
"""Asks a provider, on the account of the call that is given with it."""


class NoCache:
    """Every call is asked."""

    async def answer(
        self, exchange: Exchange, outcome: Outcome, route: Route, reply: Reply, ask: Ask
    ) -> None:
        await ask(exchange, reply)

    def purge(self, tenant: str | None = None, model: str | None = None) -> int:
        return 0


class Cache:
    def __init__(self, book: RuleBook, memory: MemoryStore) -> None:
        self._book = book
        self._memory = memory
        self._flights: dict[str, Flight] = {}
        self._known: dict[tuple[Form, str, bytes, bytes], Question | None] = {}
        self._prefixes: dict[tuple[str | None, str | None, str, Sources], str] = {}

    @property
    def in_flight(self) -> int:
        return len(self._flights)

    # What is asked.

    def asking(self, exchange: Exchange, outcome: Outcome, route: Route) -> Asking | None:
        """None where the cache has no part in the call; `outcome.cache` then says so.

        Raises GatewayError for a `Cache-Control` that cannot be read.
        """
        caller = outcome.caller
        if caller is None or outcome.request.operation in ("count_tokens", "images"):
            return None
        rules = self._book.rules(caller.policy.cache, route.cache)
        if rules.mode == "off" or rules.ttl <= 0:
            return None
        headers = outcome.request.headers
        directives = parse_cache_control(headers.get(b"cache-control"))
        outcome.cache = "bypass"
        if not directives.write and not directives.read:
            return None
        if isinstance(exchange, ChatExchange):
            return self._chat_asking(exchange, outcome, caller, rules, directives, route)
        form = form_of(outcome.request.operation, outcome.request.dialect, False, False)
        inputs: EmbeddingInputs | None = None
        if isinstance(exchange, EmbeddingsExchange):
            # Gemini's have another shape; they are asked for as they come.
            openai = outcome.request.dialect == "openai_chat"
            inputs = open_inputs(exchange.fields) if openai else None
            if inputs is None:
                return None
            digest, portable = inputs.digest, True
        elif isinstance(exchange, RelayedExchange):
            digest, portable = told_by_body(form, exchange.fields), False
        else:
            return None
        prefix = self._prefix(caller, exchange.model, route, rules)
        return Asking(
            key=prefix + digest.hex(),
            prefix=prefix,
            form=form,
            exchange=exchange,
            rules=rules,
            directives=directives,
            portable=portable,
            inputs=inputs,
        )

    def _chat_asking(
        self,
        exchange: ChatExchange,
        outcome: Outcome,
        caller: Caller,
        rules: Rules,
        directives: Directives,
        route: Route,
    ) -> Asking | None:
        if rules.max_temperature is not None and _temperature(exchange) > rules.max_temperature:
            return None
        request = outcome.request
        stream = exchange.stream
        usage_shown = stream and exchange.peek.include_usage
        form = form_of("chat", request.dialect, stream, usage_shown)
        question = self._question(exchange, form, telling_headers(request.headers))
        if question is None:
            return None
        prefix = self._prefix(caller, exchange.model, route, rules)
        return Asking(
            key=prefix + question.digest.hex(),
            prefix=prefix,
            form=form,
            exchange=exchange,
            rules=rules,
            directives=directives,
            portable=question.portable,
        )

    def _question(self, exchange: ChatExchange, form: Form, headers: bytes) -> Question | None:
        body = exchange.body
        digest = blake2b(body, digest_size=DIGEST_BYTES).digest()
        known = (form, exchange.model, headers, digest)
        try:
            return self._known[known]
        except KeyError:
            pass
        question = question_of(form, exchange.model, headers, body, lambda: exchange.chat)
        if len(self._known) >= MOST_KNOWN_BODIES:
            del self._known[next(iter(self._known))]
        self._known[known] = question
        return question

    def _prefix(self, caller: Caller, model: str, route: Route, rules: Rules) -> str:
        """The part of a key that tells whose it is, and where it may have come from: a route that
        was changed, or a key that must keep to some providers, has answers of its own."""
        user = caller.user if rules.scope == "user" else None
        tenant = None if rules.scope == "shared" else caller.tenant
        sources = (route.targets, caller.policy.providers)
        prefix = self._prefixes.get((tenant, user, model, sources))
        if prefix is None:
            if len(self._prefixes) >= MOST_KNOWN_BODIES:
                self._prefixes.clear()
            prefix = key_prefix(tenant, user, model, "" if sources == _ANY else repr(sources))
            self._prefixes[tenant, user, model, sources] = prefix
        return prefix

    # How it is answered.

    async def answer(
        self, exchange: Exchange, outcome: Outcome, route: Route, reply: Reply, ask: Ask
    ) -> None:
        """Answers the caller, one way or another. Raises what asking raises."""
        asking = self.asking(exchange, outcome, route)
        if asking is None:
            await ask(exchange, reply)
            return
        directives = asking.directives
        if not directives.read:
            await self._lead(asking, outcome, reply, ask)
            return
        outcome.cache = "miss"
        if asking.inputs is not None:
            body = self._embedded(asking, asking.inputs, outcome)
            if body is not None:
                await reply.whole(outcome, body)
                return
        else:
            slot = self._memory.get(asking.key)
            if slot is not None and _fresh(slot.entry, directives):
                account(outcome, slot.entry, "hit", time())
                told = slot.told.get(asking.form) or self._tell_anew(asking, slot)
                await send(told, asking.form, outcome, reply)
                return
        await self._ask_or_join(asking, outcome, reply, ask)

    async def _ask_or_join(self, asking: Asking, outcome: Outcome, reply: Reply, ask: Ask) -> None:
        failure: BaseException | None = None
        for _ in range(MOST_FLIGHTS_FOLLOWED):
            flight = self._flights.get(asking.key) if asking.rules.join else None
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
        self._memory.keep_told(asking.key, slot, asking.form, told)
        return told

    async def _lead(self, asking: Asking, outcome: Outcome, reply: Reply, ask: Ask) -> None:
        flight = Flight(asking.form, outcome, MOST_KEPT_BYTES)
        if asking.rules.join and asking.directives.read:
            self._flights[asking.key] = flight
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
            if asking.inputs is not None:
                await self._ask_embeddings(flight, asking, asking.inputs, outcome, ask)
                return
            await ask(asking.exchange, flight)
            body = flight.recorded()
            if body is not None and self._may_keep(asking, outcome, body):
                entry = entry_of(outcome, asking.form, body, time())
                self._memory.put(asking.key, entry, asking.rules.ttl)
        finally:
            flight.joinable = False
            if self._flights.get(asking.key) is flight:
                del self._flights[asking.key]

    def _may_keep(self, asking: Asking, outcome: Outcome, body: bytes) -> bool:
        truncated = asking.rules.keep_truncated
        return asking.directives.write and is_good(outcome, asking.form, body, truncated=truncated)

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

    # Embeddings, text by text.

    def _embedded(self, asking: Asking, inputs: EmbeddingInputs, outcome: Outcome) -> bytes | None:
        """The whole answer, where every text is known."""
        slots: list[Slot] = []
        for digest in inputs.digests:
            slot = self._memory.get(asking.prefix + digest.hex())
            if slot is None or not _fresh(slot.entry, asking.directives):
                return None
            slots.append(slot)
        entries = [slot.entry for slot in slots]
        account_many(outcome, entries, time())
        return embeddings_answer(entries)

    async def _ask_embeddings(
        self, flight: Flight, asking: Asking, inputs: EmbeddingInputs, outcome: Outcome, ask: Ask
    ) -> None:
        """Asks for the texts that are not known, and puts all of them into one answer."""
        keys = [asking.prefix + digest.hex() for digest in inputs.digests]
        known: dict[int, Entry] = {}
        if asking.directives.read:
            for at, key in enumerate(keys):
                slot = self._memory.get(key)
                if slot is not None and _fresh(slot.entry, asking.directives):
                    known[at] = slot.entry
        missing = [at for at in range(len(keys)) if at not in known]
        exchange = asking.exchange
        assert isinstance(exchange, EmbeddingsExchange)
        if known:
            exchange = exchange.with_inputs([inputs.texts[at] for at in missing])
        kept = WholeReply()
        await ask(exchange, kept)
        if outcome.status != 200 or kept.body is None:
            await flight.whole(outcome, kept.body or b"", kept.headers)
            return
        vectors = read_vectors(kept.body, len(missing))
        fresh: dict[int, Entry] = {}
        if vectors is not None:
            share = part_of(outcome, len(missing))
            fresh = {
                at: entry_of(share, asking.form, bytes(vector), time())
                for at, vector in zip(missing, vectors, strict=True)
            }
        if known and vectors is None:
            raise GatewayError(
                "upstream",
                "The provider sent embeddings that cannot be read.",
                code="bad_upstream_answer",
            )
        if known:
            outcome.notes += (f"{len(known)} of {len(keys)} inputs came from the cache",)
            outcome.saved = sum((e.cost for e in known.values() if e.cost), _NOTHING_SPENT)
            body = embeddings_answer([known.get(at) or fresh[at] for at in range(len(keys))])
        else:
            body = kept.body
        await flight.whole(outcome, body, kept.headers)
        if asking.directives.write:
            for at, entry in fresh.items():
                self._memory.put(keys[at], entry, asking.rules.ttl)

    # What the admin API may do.

    def purge(self, tenant: str | None = None, model: str | None = None) -> int:
        return self._memory.purge(tenant, model)

    def forget(self, key: str) -> bool:
        return self._memory.delete(key)


def _fresh(entry: Entry, directives: Directives) -> bool:
    return directives.max_age is None or entry.age(time()) <= directives.max_age


def _temperature(exchange: ChatExchange) -> float:
    """As asked for; 1 where nothing was said, which is what most providers take it for."""
    raw = exchange.peek.fields.get("temperature")
    return 1.0 if raw is None or bytes(raw) == b"null" else float(bytes(raw))
