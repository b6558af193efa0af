"""A call as the cache sees it, and how it is made of one."""

from hashlib import blake2b

from msgspec import Struct

from ai_gateway.dialects.exchange import ChatExchange, EmbeddingsExchange, Exchange, RelayedExchange
from ai_gateway.model.call import Caller, Outcome
from ai_gateway.model.route import Route, RouteTarget, is_wild

from .directives import Directives, parse_cache_control
from .embeddings import EmbeddingInputs, open_inputs
from .forms import Form, form_of
from .gemini_embeddings import open_gemini_inputs
from .keys import key_prefix
from .question import DIGEST_BYTES, Question, question_of, telling_headers, told_by_body
from .rules import RuleBook, Rules

MOST_KNOWN_BODIES = 4096
"""Bodies whose question is remembered, so that a call that came before is not read twice."""

Sources = tuple[tuple[RouteTarget, ...], tuple[str, ...], tuple[str, ...]]
_EVERY = ("*",)
_ANY: Sources = ((), _EVERY, _EVERY)


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


class Askings:
    """Makes them, and remembers what it worked out."""

    def __init__(self, book: RuleBook) -> None:
        self._book = book
        self._known: dict[tuple[Form, str, bytes, bytes], Question | None] = {}
        self._prefixes: dict[tuple[str | None, str | None, str, Sources], str] = {}

    def of(self, exchange: Exchange, outcome: Outcome, route: Route) -> Asking | None:
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
            gemini = outcome.request.dialect == "gemini"
            inputs = (open_gemini_inputs if gemini else open_inputs)(exchange.fields)
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
        question = question_of(
            form, exchange.model, headers, body, exchange.peek.fields, lambda: exchange.chat
        )
        if len(self._known) >= MOST_KNOWN_BODIES:
            del self._known[next(iter(self._known))]
        self._known[known] = question
        return question

    def _prefix(self, caller: Caller, model: str, route: Route, rules: Rules) -> str:
        """The part of a key that tells whose it is, and where it may have come from: a route that
        was changed, or a key that must keep to some providers, has answers of its own."""
        user = caller.user if rules.scope == "user" else None
        tenant = None if rules.scope == "shared" else caller.tenant
        # Where the targets are patterns, a caller's own models bound what they lead to.
        models = caller.policy.models if is_wild(route) else _EVERY
        sources = (route.targets, caller.policy.providers, models)
        prefix = self._prefixes.get((tenant, user, model, sources))
        if prefix is None:
            if len(self._prefixes) >= MOST_KNOWN_BODIES:
                self._prefixes.clear()
            prefix = key_prefix(tenant, user, model, "" if sources == _ANY else repr(sources))
            self._prefixes[tenant, user, model, sources] = prefix
        return prefix


def _temperature(exchange: ChatExchange) -> float:
    """As asked for; 1 where nothing was said, which is what most providers take it for."""
    raw = exchange.peek.fields.get("temperature")
    return 1.0 if raw is None or bytes(raw) == b"null" else float(bytes(raw))
