"""Providers: a row each in `providers.toml`."""

import tomllib
from importlib.resources import files
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

Auth = Literal["bearer", "x-api-key", "api-key", "x-goog-api-key", "none"]
"""`bearer`, the name of the header that holds the bare key, or `none`."""


Cloud = Literal["aws", "google"]


class Endpoint(Struct, frozen=True):
    """Where a provider serves an operation, and the dialect it speaks there."""

    dialect: str
    path: str
    """Behind the base URL, with its leading slash. `{model}` stands for the model's name."""
    stream_path: str = ""
    """Where a stream is asked for; empty: at the same path."""


class Provider(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    title: str
    base_url: str
    """Without a trailing slash. Empty where only the operator can know it."""
    auth: Auth = "bearer"
    operations: dict[str, Endpoint]
    chat_in: dict[str, Endpoint] = {}
    """Further dialects that it takes chats in, for callers who speak them."""
    variables: dict[str, str] = {}
    """What stands in braces in the base URL, and the environment variable that says it."""
    cloud: Cloud | None = None
    """Whose credentials are asked for where no key is set: each request is signed anew."""
    base_path: str = ""
    """The path of an address that is given without one."""
    body_version: str = ""
    """Anthropic's on other clouds: sent as `anthropic_version` in the body, in place of the model."""
    key_env: str
    base_url_env: str
    key_required: bool = True
    """False for servers of one's own: they count as configured once their base URL is set."""
    headers: dict[str, str] = {}
    forwarded_headers: tuple[str, ...] = ()
    """Headers of the caller's that are handed on, by lower-case name."""
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    developer_role: bool = False
    stream_usage: bool = True
    tells_cost: bool = False
    """Its `usage.cost` is what it charges, in US dollars."""
    refused_fields: frozenset[str] = frozenset()
    renamed_fields: dict[str, str] = {}
    model_prefixes: tuple[str, ...] = ()
    """Model names that can only mean this provider."""
    prices: str = ""
    """The provider's name in the price data; empty: its own name."""
    label: str = ""
    """The name shown to callers, where several rows are one provider."""
    docs: str = ""

    @property
    def switch(self) -> str:
        """The variable that switches it on."""
        if self.variables:
            return " and ".join(self.variables.values())
        return self.key_env if self.key_required else self.base_url_env


class _Row(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As written in `providers.toml`: what can be derived is left out."""

    title: str
    base_url: str = ""
    auth: Auth = "bearer"
    operations: dict[str, Endpoint] | None = None
    embeddings: bool = False
    chat: bool = True
    responses: bool = False
    """It serves OpenAI's Responses beside chat."""
    also: dict[str, str] = {}
    """Further operations, in OpenAI's dialect, by their paths."""
    key_env: str | None = None
    key_required: bool = True
    headers: dict[str, str] = {}
    forwarded_headers: tuple[str, ...] = ()
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    developer_role: bool = False
    stream_usage: bool = True
    tells_cost: bool = False
    refused_fields: frozenset[str] = frozenset()
    renamed_fields: dict[str, str] = {}
    model_prefixes: tuple[str, ...] = ()
    prices: str = ""
    label: str = ""
    docs: str = ""
    variables: dict[str, str] = {}
    cloud: Cloud | None = None
    base_path: str = ""
    body_version: str = ""


CHAT = Endpoint("openai_chat", "/chat/completions")
EMBEDDINGS = Endpoint("openai_chat", "/embeddings")
RESPONSES = Endpoint("openai_responses", "/responses")


def load_providers() -> dict[str, Provider]:
    text = (files("ai_gateway.catalogue") / "providers.toml").read_text("utf-8")
    rows = msgspec.convert(tomllib.loads(text), dict[str, _Row])
    return {name: _provider(name, row) for name, row in rows.items()}


LIKE: dict[str, str] = {
    "anthropic_messages": "anthropic",
    "gemini": "gemini",
    "cohere": "cohere",
}
"""Of the dialects that are not OpenAI's, the row that shows how one is spoken."""

CUSTOM_DIALECTS = (CHAT.dialect, RESPONSES.dialect, *LIKE)


def custom_provider(
    name: str,
    base_url: str,
    *,
    auth: Auth | None = None,
    dialect: str = CHAT.dialect,
    embeddings: bool = False,
    responses: bool = False,
) -> Provider:
    """A provider of the operator's own. `dialect`: one of `CUSTOM_DIALECTS`; without `auth` the key is
    sent as the dialect's own provider wants it. `responses`: it takes Responses too."""
    row = _Row(
        title=name,
        base_url=base_url,
        auth=auth or "bearer",
        operations=None if dialect == CHAT.dialect else {"chat": RESPONSES},
        embeddings=embeddings,
        responses=responses,
        key_required=False,
    )
    provider = _provider(name, row)
    if dialect not in LIKE:
        return provider
    like = load_providers()[LIKE[dialect]]
    operations = {
        operation: endpoint
        for operation, endpoint in like.operations.items()
        if endpoint.dialect == dialect and (embeddings or operation != "embeddings")
    }
    return replace(
        provider,
        auth=auth or like.auth,
        operations=operations,
        headers=like.headers,
        forwarded_headers=like.forwarded_headers,
    )


def _provider(name: str, row: _Row) -> Provider:
    operations = dict(row.operations or {})
    if row.operations is None:
        if row.chat:
            operations["chat"] = CHAT
        if row.embeddings:
            operations["embeddings"] = EMBEDDINGS
    operations |= {name: Endpoint(CHAT.dialect, path) for name, path in row.also.items()}
    variable = name.upper().replace("-", "_")
    return Provider(
        name=name,
        title=row.title,
        base_url=row.base_url,
        auth=row.auth,
        operations=operations,
        chat_in={RESPONSES.dialect: RESPONSES} if row.responses else {},
        variables=row.variables,
        cloud=row.cloud,
        base_path=row.base_path,
        body_version=row.body_version,
        key_env=row.key_env or f"{variable}_API_KEY",
        base_url_env=f"{variable}_BASE_URL",
        key_required=row.key_required,
        headers=row.headers,
        forwarded_headers=row.forwarded_headers,
        max_tokens_field=row.max_tokens_field,
        developer_role=row.developer_role,
        stream_usage=row.stream_usage,
        tells_cost=row.tells_cost,
        refused_fields=row.refused_fields,
        renamed_fields=row.renamed_fields,
        model_prefixes=row.model_prefixes,
        prices=row.prices or name,
        label=row.label or name,
        docs=row.docs,
    )
