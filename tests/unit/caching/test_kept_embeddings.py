"""Embeddings put together of what is known and what is asked for."""

import json
import time
from typing import Any

import pytest

from ai_gateway.caching.asking import Asking
from ai_gateway.caching.directives import NONE
from ai_gateway.caching.embeddings import open_inputs
from ai_gateway.caching.entry import Entry
from ai_gateway.caching.flight import Flight
from ai_gateway.caching.forms import Form
from ai_gateway.caching.gemini_embeddings import open_gemini_inputs
from ai_gateway.caching.kept_embeddings import KeptEmbeddings
from ai_gateway.caching.memory import MemoryStore
from ai_gateway.caching.rules import Rules
from ai_gateway.caching.store import Store
from ai_gateway.dialects.exchange import EmbeddingsExchange
from ai_gateway.dialects.registry import EMBEDDING_DIALECTS
from ai_gateway.model.call import Outcome, Request
from ai_gateway.model.usage import NO_USAGE


@pytest.mark.parametrize(
    ("dialect", "body", "field"),
    [
        ("openai_chat", {"model": "m", "input": "a"}, "data"),
        ("gemini", {"content": {"parts": [{"text": "a"}]}}, "embedding"),
    ],
)
async def test_what_has_come_to_be_known_meanwhile_is_not_asked_for(
    dialect: str, body: dict[str, object], field: str
) -> None:
    """Another replica, or a batch that held it, was answered between the two looks at what is stored."""
    exchange = EmbeddingsExchange(
        EMBEDDING_DIALECTS[dialect], json.dumps({"model": "m", **body}).encode()
    )
    inputs = (open_inputs if dialect == "openai_chat" else open_gemini_inputs)(exchange.fields)
    assert inputs is not None
    form = Form("embeddings", dialect)
    store = Store(MemoryStore(1 << 20, time.monotonic), None)
    kept = KeptEmbeddings(store)
    request = Request(
        id="r", operation="embeddings", dialect=dialect, endpoint="/", body=b"", headers={}, received=0.0
    )  # fmt: skip
    outcome = Outcome(request=request)
    asking = Asking(
        key="k", prefix="p:", form=form, exchange=exchange, rules=Rules(), directives=NONE,
        portable=True, inputs=inputs,
    )  # fmt: skip
    assert await kept.recall(asking, inputs, outcome) is None
    entry = Entry(
        form=form, body=b"[1.0]", provider="openai", model="m", answered_model=None, usage=NO_USAGE,
        stop=None, cost=None, notes=(), stored=0.0, tenant="t", requested_model="m",
    )  # fmt: skip
    store.keep(inputs.keys("p:")[0], entry, 60)

    async def ask(*_: Any) -> None:
        raise AssertionError("nobody is asked for nothing")

    flight = Flight(form, outcome, 1000)
    await kept.ask(flight, asking, inputs, outcome, ask)
    assert flight.whole_answer is not None
    assert flight.whole_answer.status == 200
    assert field in json.loads(flight.whole_answer.body)
    assert outcome.cache == "hit"
