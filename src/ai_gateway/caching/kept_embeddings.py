"""Answers to calls for embeddings, put together of texts that are known and texts that are asked for."""

from time import time

from ai_gateway.dialects.exchange import EmbeddingsExchange
from ai_gateway.model.call import Outcome
from ai_gateway.model.errors import GatewayError

from .account import NOTHING, account_many, part_of
from .asking import Ask, Asking
from .embeddings import EmbeddingInputs
from .entry import Entry, entry_of
from .flight import Flight
from .store import Store, fresh
from .telling import WholeReply


class KeptEmbeddings:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def recall(
        self, asking: Asking, inputs: EmbeddingInputs, outcome: Outcome
    ) -> bytes | None:
        """The whole answer, where every text is known."""
        entries: list[Entry] = []
        for slot in await self._store.find_many(inputs.keys(asking.prefix)):
            if slot is None or not fresh(slot.entry, asking.directives):
                return None
            entries.append(slot.entry)
        account_many(outcome, entries, time())
        return inputs.shape.answer(entries)

    async def ask(
        self, flight: Flight, asking: Asking, inputs: EmbeddingInputs, outcome: Outcome, ask: Ask
    ) -> None:
        """Asks for the texts that are not known, and puts all of them into one answer."""
        keys = inputs.keys(asking.prefix)
        known: dict[int, Entry] = {}
        if asking.directives.read:
            for at, slot in enumerate(await self._store.find_many(keys)):
                if slot is not None and fresh(slot.entry, asking.directives):
                    known[at] = slot.entry
        missing = [at for at in range(len(keys)) if at not in known]
        if known and not missing:
            # All have come to be known since they were looked for first.
            entries = [known[at] for at in range(len(keys))]
            account_many(outcome, entries, time())
            await flight.whole(outcome, inputs.shape.answer(entries))
            return
        exchange = asking.exchange
        assert isinstance(exchange, EmbeddingsExchange)
        if known:
            exchange = exchange.with_fields(
                {inputs.shape.texts: [inputs.texts[at] for at in missing]}
            )
        kept = WholeReply()
        await ask(exchange, kept)
        if outcome.status != 200 or kept.body is None:
            await flight.whole(outcome, kept.body or b"", kept.headers)
            return
        vectors = inputs.shape.read(kept.body, len(missing))
        new: dict[int, Entry] = {}
        if vectors is not None:
            share = part_of(outcome, len(missing))
            new = {
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
            outcome.saved = sum((e.cost for e in known.values() if e.cost), NOTHING)
            body = inputs.shape.answer([known.get(at) or new[at] for at in range(len(keys))])
        else:
            body = kept.body
        await flight.whole(outcome, body, kept.headers)
        if asking.directives.write:
            for at, entry in new.items():
                self._store.keep(keys[at], entry, asking.rules.ttl)
