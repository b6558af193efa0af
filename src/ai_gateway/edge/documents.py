"""`/openapi.json`, and `/docs`, a page made from it that needs nothing else."""

from collections.abc import Sequence
from functools import cached_property
from html import escape
from typing import Any

from msgspec.json import encode
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from ai_gateway import __version__

from .admin.describe import describe
from .admin.route import AdminRoute
from .calls import CALL_ROUTES
from .forwards import FORWARD_ROUTES
from .held import HELD_ROUTES

_ERRORS = {
    "400": "The request is wrong; the error names the field.",
    "401": "No key, or none that is valid.",
    "403": "The key may not do this.",
    "404": "There is no such model.",
    "413": "The body is too large.",
    "415": "The body is not JSON.",
    "429": "Too many requests.",
    "502": "The provider failed.",
    "504": "The provider did not answer in time.",
}
_FEEDBACK_ERRORS = {status: _ERRORS[status] for status in ("400", "401")} | {
    "404": "No ledger is kept, or no such hit of the cache is known.",
    "503": "The database cannot be reached.",
}
_GETS = {
    "/health": ("The process is alive", {"200": "Alive."}),
    "/ready": ("Whether calls can be served", {"200": "Ready.", "503": "Not ready; says why."}),
    "/metrics": ("Prometheus metrics", {"200": "The metrics."}),
    "/v1/models": ("List models", {"200": "The models of every configured provider."}),
    "/v1/models/{id}": ("One model", {"200": "The model.", "404": "There is no such model."}),
    "/v1/usage": (
        "What the caller used and spent: its key, user or tenant, by day and model",
        {"200": "Requests, tokens, cost.", "401": "No key, or none that is valid."},
    ),
    "/v1beta/models": ("List models, for Gemini's SDKs", {"200": "As /v1/models."}),
    "/v1beta/models/{id}": ("One model, for Gemini's SDKs", {"200": "As /v1/models/{id}."}),
    "/openapi.json": ("This description", {"200": "OpenAPI 3.1."}),
    "/docs": ("This description, as a page", {"200": "HTML."}),
}
_REQUEST_HEADERS = {
    "X-User-ID": "Names the user on whose behalf the call is made.",
    "X-Request-ID": "Taken as the call's id if it is 1 to 128 letters, digits or ._:-",
    "x-gateway-target-tags": "Tags, with commas between, that a route's target must all have.",
    "x-gateway-timeout-ms": "The longest the whole call may take; it only shortens the default.",
}
_ANSWER_HEADERS = {
    "x-request-id": "The call's id, as in the log.",
    "x-gateway-call-id": "The call's id in the ledger.",
    "x-gateway-provider": "The provider that answered.",
    "x-gateway-model": "The provider's name for the model.",
    "x-gateway-variant": "The variant of the route's experiment that answered.",
    "x-gateway-attempts": "How many times a provider was asked.",
    "x-gateway-cost-usd": "What the call cost, where it is known when the answer begins.",
    "x-gateway-overhead-ms": "The gateway's own part of the time.",
    "x-ratelimit-limit-requests": "How many calls the nearest limit holds.",
    "x-ratelimit-remaining-requests": "How many of them are left.",
    "x-ratelimit-reset-requests": "When all of them are there again, such as 6m0s.",
    "x-ratelimit-limit-tokens": "The same of tokens, where tokens are limited.",
    "x-ratelimit-remaining-tokens": "How many tokens are left.",
    "x-ratelimit-reset-tokens": "When all of them are there again.",
    "x-gateway-budget-warning": "A budget that only warns has been passed.",
    "x-gateway-degraded": "`limits`: they were counted by one process alone, Redis being lost.",
    "x-gateway-notes": "What could not be carried over to the provider's API, or back.",
}


def openapi(table: Sequence[AdminRoute]) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for path, (summary, answers) in _GETS.items():
        operation: dict[str, Any] = {"summary": summary, "responses": _responses(answers)}
        if "{id}" in path:
            operation["parameters"] = [
                {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
            ]
        paths[path] = {"get": operation}
    for route in CALL_ROUTES:
        answers = _responses({"200": "The answer."} | _ERRORS)
        answers["200"]["headers"] = {
            name: {"description": text, "schema": {"type": "string"}}
            for name, text in _ANSWER_HEADERS.items()
        }
        paths[route.path] = {
            "post": {
                "summary": route.summary,
                "parameters": [
                    *_path_parameters(route.path),
                    *_header_parameters(),
                ],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"type": "object"}}},
                },
                "responses": answers,
            }
        }
    passed = [
        (method.lower(), route.path, route.body, route.summary)
        for route in FORWARD_ROUTES
        for method in sorted(route.methods)
    ]
    for method, path, body, summary in (*passed, *HELD_ROUTES):
        paths.setdefault(path, {})[method] = _passed(path, body, summary)
    feedback = _passed("/v1/feedback", "json", "Say how good an answer was")
    feedback["responses"] = _responses({"204": "Noted."} | _FEEDBACK_ERRORS)
    paths["/v1/feedback"] = {"post": feedback}
    admin, schemas = describe(table)
    return {
        "openapi": "3.1.0",
        "info": {"title": "AI Gateway", "version": __version__, "license": {"name": "MIT"}},
        "paths": {**paths, **admin},
        "components": {
            "schemas": schemas,
            "securitySchemes": {"admin_key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _passed(path: str, body: str | None, summary: str) -> dict[str, Any]:
    """An operation whose bodies are the provider's."""
    operation: dict[str, Any] = {
        "summary": summary,
        "parameters": [*_path_parameters(path), *_header_parameters()],
        "responses": _responses({"200": "The answer."} | _ERRORS),
    }
    if body is not None:
        kind = "multipart/form-data" if body == "form" else "application/json"
        operation["requestBody"] = {
            "required": True, "content": {kind: {"schema": {"type": "object"}}},
        }  # fmt: skip
    return operation


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in ("model", "id")
        if f"{{{name}}}" in path
    ]


def _header_parameters() -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}
        for name, text in _REQUEST_HEADERS.items()
    ]


def _responses(answers: dict[str, str]) -> dict[str, Any]:
    return {status: {"description": text} for status, text in answers.items()}


class DocumentEndpoints:
    """Both are made once, when first asked for: they do not change while the process runs."""

    def __init__(self, table: Sequence[AdminRoute]) -> None:
        self._table = table

    @cached_property
    def _json(self) -> bytes:
        return encode(openapi(self._table))

    @cached_property
    def _html(self) -> str:
        return _page(openapi(self._table))

    async def openapi(self, request: Request) -> Response:
        return Response(self._json, media_type="application/json")

    async def page(self, request: Request) -> Response:
        return HTMLResponse(
            self._html,
            headers={"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"},
        )


def _page(described: dict[str, Any]) -> str:
    rows: list[str] = []
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            statuses = "".join(
                f"<li><b>{escape(s)}</b> {escape(a['description'])}</li>"
                for s, a in operation["responses"].items()
            )
            rows.append(
                f"<section><h2><code>{method.upper()} {escape(path)}</code></h2>"
                f"<p>{escape(operation['summary'])}</p><ul>{statuses}</ul></section>"
            )
    headers = "".join(
        f"<li><code>{escape(n)}</code> {escape(t)}</li>"
        for n, t in (_REQUEST_HEADERS | _ANSWER_HEADERS).items()
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>AI Gateway</title>"
        "<meta name=viewport content='width=device-width'>"
        "<style>body{font:16px/1.5 system-ui;max-width:50rem;margin:2rem auto;padding:0 1rem;"
        "color-scheme:light dark}code{font-size:1.05em}section{border-top:1px solid #8884}</style>"
        f"<h1>AI Gateway {escape(__version__)}</h1>"
        "<p>Point an OpenAI SDK at <code>/v1</code>, an Anthropic SDK at <code>/</code>.</p>"
        f"{''.join(rows)}<section><h2>Headers</h2><ul>{headers}</ul></section>"
    )
