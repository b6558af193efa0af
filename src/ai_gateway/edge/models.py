"""`GET /v1/models` and `/v1/models/{id}`, in OpenAI's shape, or Anthropic's for its SDKs."""

from fnmatch import fnmatchcase

from msgspec import Struct
from msgspec.json import encode
from starlette.requests import Request
from starlette.responses import Response

from ai_gateway.access.access import Access
from ai_gateway.catalogue.models import ModelFacts
from ai_gateway.dialects.registry import DIALECTS
from ai_gateway.model.errors import GatewayError
from ai_gateway.model.policy import Policy
from ai_gateway.routing.destinations import Directory

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


class ModelsEndpoint:
    """Models are listed as `provider/model`, and are found by that or by any name calls may use."""

    def __init__(self, directory: Directory, access: Access) -> None:
        self._directory = directory
        self._access = access

    async def list(self, request: Request) -> Response:
        try:
            caller = await self._access.caller(joined(request.scope["headers"]))
        except GatewayError as error:
            return _refusal(request, error)
        models = [m for m in self._directory.models() if _allowed(m, caller.policy)]
        if "anthropic-version" in request.headers:
            data = [_anthropic(m) for m in models]
            return _json(
                {
                    "data": data,
                    "has_more": False,
                    "first_id": data[0].id if data else None,
                    "last_id": data[-1].id if data else None,
                }
            )
        return _json({"object": "list", "data": [_openai(m) for m in models]})

    async def get(self, request: Request) -> Response:
        anthropic = "anthropic-version" in request.headers
        name = request.path_params["id"]
        try:
            caller = await self._access.caller(joined(request.scope["headers"]))
            facts = self._facts(name)
            if not _allowed(facts, caller.policy):
                raise GatewayError(
                    "not_found", f"There is no model {name[:100]!a}.", code="model_not_found"
                )
        except GatewayError as error:
            return _refusal(request, error)
        return _json(_anthropic(facts) if anthropic else _openai(facts))

    def _facts(self, name: str) -> ModelFacts:
        """Raises GatewayError(not_found | invalid_request)."""
        try:
            return self._directory.plan("chat", name)[0].facts
        except GatewayError as error:
            if error.code != "unsupported_operation":
                raise
            return self._directory.plan("embeddings", name)[0].facts


def _allowed(facts: ModelFacts, policy: Policy) -> bool:
    """Whether a key may call it, by its own name or behind its provider's."""
    if policy.models == _ANY and policy.providers == _ANY:
        return True
    names = (facts.name, _name(facts))
    return any(fnmatchcase(facts.provider, pattern) for pattern in policy.providers) and any(
        fnmatchcase(name, pattern) for pattern in policy.models for name in names
    )


def _refusal(request: Request, error: GatewayError) -> Response:
    anthropic = "anthropic-version" in request.headers
    dialect = DIALECTS["anthropic_messages" if anthropic else "openai_chat"]
    return Response(
        dialect.render_error(error, request.scope["gateway.request_id"]),
        error.status,
        media_type="application/json",
    )


def _openai(facts: ModelFacts) -> OpenAIModel:
    return OpenAIModel(
        id=_name(facts),
        owned_by=facts.provider,
        context_window=facts.context_tokens,
        max_output_tokens=facts.max_output_tokens,
    )


def _anthropic(facts: ModelFacts) -> AnthropicModel:
    return AnthropicModel(id=_name(facts), display_name=facts.name)


def _name(facts: ModelFacts) -> str:
    return f"{facts.provider}/{facts.name}"


def _json(value: object) -> Response:
    return Response(encode(value), media_type="application/json")
