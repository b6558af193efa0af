"""A call as the cache sees it, and how it is made of one."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from hashlib import sha256

from msgspec import Struct

from ai_gateway.dialects.exchange import ChatExchange, EmbeddingsExchange, Exchange, RelayedExchange
from ai_gateway.model.call import Caller, Outcome
from ai_gateway.model.policy import Policy
from ai_gateway.model.route import Route, RouteTarget, is_wild
from ai_gateway.reply import Reply

from .directives import NONE, Directives, parse_cache_control
from .embeddings import EmbeddingInputs, open_inputs
from .forms import Form, form_of
from .gemini_embeddings import open_gemini_inputs
from .keys import key_prefix
from .question import Question, question_of, telling_headers, told_by_body
from .rules import RuleBook, Rules

MOST_KNOWN = 4096
"""Bodies whose question is remembered, so that a call that came before is not read twice; likewise
what hangs on key, model and route."""
LONGEST_KNOWN_BODY = 1024
"""Bytes up to which a body is remembered as it is, which is quicker; a longer one by its SHA-256."""

Ask = Callable[[Exchange, Reply], Awaitable[None]]
"""Asks a provider, on the account of the call that is given with it."""

Sources = tuple[tuple[RouteTarget, ...], tuple[str, ...], tuple[str, ...]]
_Known = tuple[str, bool, str, bytes, bytes]
_NEVER = frozenset({"count_tokens", "images"})
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


class _Place(Struct, frozen=True):
    """What the cache does for a key's calls for one model, as long as policy and route are these."""

    policy: Policy
    route: Route
    rules: Rules
    kept: bool
    """The cache has a part in them."""
    prefix: str | None
    """None where each user has its own."""


class Askings:
    """Makes them, and remembers what it worked out."""

    def __init__(self, book: RuleBook) -> None:
        self._book = book
        self._questions: OrderedDict[_Known, Question | None] = OrderedDict()
        self._places: dict[tuple[str, str | None, str], _Place] = {}
        self._prefixes: dict[tuple[str | None, str | None, str, Sources], str] = {}

    def of(self, exchange: Exchange, outcome: Outcome, route: Route) -> Asking | None:
        """None where the cache has no part in the call; `outcome.cache` then says so.

        Raises GatewayError for a `Cache-Control` that cannot be read.
        """
        caller, request = outcome.caller, outcome.request
        if caller is None or request.operation in _NEVER:
            return None
        place = self._place(caller, exchange.model, route)
        if not place.kept:
            return None
        rules = place.rules
        said = request.headers.get(b"cache-control")
        directives = NONE if said is None else parse_cache_control(said)
        outcome.cache = "bypass"
        if not (directives.write or directives.read):
            return None
        inputs: EmbeddingInputs | None = None
        if isinstance(exchange, ChatExchange):
            if rules.max_temperature is not None and _temperature(exchange) > rules.max_temperature:
                return None
            stream = exchange.stream
            shown = stream and exchange.peek.include_usage
            form = form_of("chat", request.dialect, stream, shown)
            question = self._question(exchange, form, telling_headers(request.headers))
            if question is None:
                return None
            digest, portable = question.digest, question.portable
        elif isinstance(exchange, EmbeddingsExchange):
            form = form_of(request.operation, request.dialect, False, False)
            gemini = request.dialect == "gemini"
            inputs = (open_gemini_inputs if gemini else open_inputs)(exchange.fields)
            if inputs is None:
                return None
            digest, portable = inputs.digest, True
        elif isinstance(exchange, RelayedExchange):
            form = form_of(request.operation, request.dialect, False, False)
            digest, portable = told_by_body(form, exchange.fields), False
        else:
            return None
        prefix = place.prefix
        if prefix is None:
            prefix = self._prefix(caller, exchange.model, route, rules)
        key = prefix + digest.hex()
        if inputs is None:
            outcome.cache_key = key
        return Asking(
            key=key,
            prefix=prefix,
            form=form,
            exchange=exchange,
            rules=rules,
            directives=directives,
            portable=portable,
            inputs=inputs,
        )

    def _place(self, caller: Caller, model: str, route: Route) -> _Place:
        at = (caller.tenant, caller.key_id, model)
        place = self._places.get(at)
        if place is None or place.policy is not caller.policy or place.route is not route:
            rules = self._book.rules(caller.policy.cache, route.cache)
            kept = rules.mode != "off" and rules.ttl > 0
            by_user = rules.scope == "user"
            prefix = None if by_user else self._prefix(caller, model, route, rules)
            place = _Place(caller.policy, route, rules, kept, prefix)
            if len(self._places) >= MOST_KNOWN:
                self._places.clear()
            self._places[at] = place
        return place

    def _question(self, exchange: ChatExchange, form: Form, headers: bytes) -> Question | None:
        body, model, questions = exchange.body, exchange.model, self._questions
        told = body if len(body) <= LONGEST_KNOWN_BODY else sha256(body).digest()
        known = (form.dialect, form.stream, model, headers, told)
        try:
            return questions[known]
        except KeyError:
            pass
        question = question_of(form, model, headers, body, lambda: exchange.chat)
        if len(questions) >= MOST_KNOWN:
            questions.popitem(last=False)
        questions[known] = question
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
            if len(self._prefixes) >= MOST_KNOWN:
                self._prefixes.clear()
            prefix = key_prefix(tenant, user, model, "" if sources == _ANY else repr(sources))
            self._prefixes[tenant, user, model, sources] = prefix
        return prefix


def _temperature(exchange: ChatExchange) -> float:
    """As asked for; 1 where nothing was said, which is what most providers take it for."""
    raw = exchange.peek.fields.get("temperature")
    return 1.0 if raw is None or bytes(raw) == b"null" else float(bytes(raw))
