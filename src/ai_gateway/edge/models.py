"""`GET /v1/models` and `/v1/models/{id}`, in OpenAI's shape, or Anthropic's for its SDKs; and
`/v1beta/models`, in Gemini's."""

from msgspec import Struct
from msgspec.json import encode
from starlette.requests import Request
from starlette.responses import Response

from ai_gateway.access.access import Access
from ai_gateway.catalogue.models import ModelFacts
from ai_gateway.dialects.registry import DIALECTS
from ai_gateway.model.errors import GatewayError
from ai_gateway.model.policy import Policy
from ai_gateway.routing.patterns import fits
from ai_gateway.routing.router import Router

from .calls import joined

_ANY = ("*",)


class OpenAIModel(Struct, kw_only=True):
    """platform.openai.com/docs/api-reference/models/object, and what the gateway knows beside it."""

    id: str
    object: str = "model"
    created: int = 0
    owned_by: str
    context_window: int | None = None
    max_output_tokens: int | None = None


class AnthropicModel(Struct, kw_only=True):
    """docs.anthropic.com/en/api/models-list"""

    type: str = "model"
    id: str
    display_name: str
    created_at: str = "1970-01-01T00:00:00Z"


class GeminiModel(Struct, kw_only=True, rename="camel"):
    """ai.google.dev/api/models"""

    name: str
    display_name: str
    input_token_limit: int | None = None
    output_token_limit: int | None = None
    supported_generation_methods: tuple[str, ...] = ("generateContent", "countTokens")


def dialect_of(request: Request) -> str:
    """The one that a request outside the calls is answered in, by its path and headers."""
    if request.url.path.startswith("/v1beta/") or "x-goog-api-key" in request.headers:
        return "gemini"
    return "anthropic_messages" if "anthropic-version" in request.headers else "openai_chat"


class ModelsEndpoint:
    """Routes by their names, then models as `provider/model`; found by these or any name calls may use."""

    def __init__(self, router: Router, access: Access) -> None:
        self._router = router
        self._access = access

    async def list(self, request: Request) -> Response:
        try:
            caller = await self._access.caller(joined(request.scope["headers"]))
        except GatewayError as error:
            return _refusal(request, error)
        policy = caller.policy
        listed: list[tuple[str, ModelFacts | None]] = [
            (name, None) for name in sorted(self._router.routes) if self._is_open(name, policy)
        ]
        listed += [(_name(m), m) for m in self._router.directory.models() if _allowed(m, policy)]
        match dialect_of(request):
            case "anthropic_messages":
                data = [_anthropic(name, facts) for name, facts in listed]
                return _json(
                    {
                        "data": data,
                        "has_more": False,
                        "first_id": data[0].id if data else None,
                        "last_id": data[-1].id if data else None,
                    }
                )
            case "gemini":
                return _json({"models": [_gemini(name, facts) for name, facts in listed]})
            case _:
                models = [_openai(name, facts) for name, facts in listed]
                return _json({"object": "list", "data": models})

    def _is_open(self, route: str, policy: Policy) -> bool:
        try:
            self._router.resolve("chat", route, policy)
        except GatewayError as error:
            # Embeddings and the like have routes too; what leads nowhere at all has no model to show.
            return error.code == "unsupported_operation" and fits(policy.models, route)
        return True

    async def get(self, request: Request) -> Response:
        asked = request.path_params["id"]
        try:
            caller = await self._access.caller(joined(request.scope["headers"]))
            facts = self._facts(asked, caller.policy)
        except GatewayError as error:
            return _refusal(request, error)
        name = asked if facts is None else _name(facts)
        match dialect_of(request):
            case "anthropic_messages":
                return _json(_anthropic(name, facts))
            case "gemini":
                return _json(_gemini(name, facts))
            case _:
                return _json(_openai(name, facts))

    def _facts(self, name: str, policy: Policy) -> ModelFacts | None:
        """None for a route, which has none of its own. Raises GatewayError(not_found | ...)."""
        try:
            resolved = self._router.resolve("chat", name)
        except GatewayError as error:
            if error.code != "unsupported_operation":
                raise
            resolved = self._router.resolve("embeddings", name)
        facts = None if resolved.is_route else resolved.candidates[0].destination.facts
        if not (self._is_open(name, policy) if facts is None else _allowed(facts, policy)):
            raise GatewayError(
                "not_found", f"There is no model {name[:100]!a}.", code="model_not_found"
            )
        return facts


def _allowed(facts: ModelFacts, policy: Policy) -> bool:
    """Whether a key may call it, by its own name or behind its provider's."""
    if policy.models == _ANY and policy.providers == _ANY:
        return True
    return fits(policy.providers, facts.provider) and fits(policy.models, facts.name, _name(facts))


def _refusal(request: Request, error: GatewayError) -> Response:
    dialect = DIALECTS[dialect_of(request)]
    return Response(
        dialect.render_error(error, request.scope["gateway.request_id"]),
        error.status,
        media_type="application/json",
        headers=dict(error.advice()),
    )


def _openai(name: str, facts: ModelFacts | None) -> OpenAIModel:
    if facts is None:
        return OpenAIModel(id=name, owned_by="gateway")
    return OpenAIModel(
        id=name,
        owned_by=facts.provider,
        context_window=facts.context_tokens,
        max_output_tokens=facts.max_output_tokens,
    )


def _anthropic(name: str, facts: ModelFacts | None) -> AnthropicModel:
    return AnthropicModel(id=name, display_name=name if facts is None else facts.name)


def _gemini(name: str, facts: ModelFacts | None) -> GeminiModel:
    if facts is None:
        return GeminiModel(name=f"models/{name}", display_name=name)
    return GeminiModel(
        name=f"models/{name}",
        display_name=facts.name,
        input_token_limit=facts.context_tokens,
        output_token_limit=facts.max_output_tokens,
    )


def _name(facts: ModelFacts) -> str:
    return f"{facts.provider}/{facts.name}"


def _json(value: object) -> Response:
    return Response(encode(value), media_type="application/json")
