"""Guards that ask elsewhere: a webhook of the operator's, a moderation model."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
from msgspec import Struct

from ai_gateway.model.guardrail import Moderation, Webhook

from .guard import Finding, Passage

Post = Callable[[str, bytes, Mapping[str, str], float], Awaitable[bytes]]
"""`post(url, body, headers, timeout)` -> the body of a 200. Raises OSError, TimeoutError."""
AskModel = Callable[[str, bytes, float], Awaitable[bytes]]
"""`ask(model, body, timeout)`: the gateway's own moderation endpoint. Raises GatewayError,
TimeoutError."""


class _WireFinding(Struct):
    start: int
    end: int
    label: str = "webhook"
    replacement: str | None = None


class _WireFindings(Struct):
    findings: list[_WireFinding] = []


class WebhookGuard:
    """POSTs `{"guardrail","role","text"}`; expects `{"findings":[{"start","end","label",
    "replacement"}]}`, offsets in characters. The body is signed: `x-gateway-signature: sha256=<hex>`
    (HMAC-SHA256 with the shared secret)."""

    def __init__(self, name: str, spec: Webhook, secret: str | None, post: Post) -> None:
        self._name = name
        self._spec = spec
        self._secret = secret
        self._post = post

    async def inspect(self, passage: Passage) -> Sequence[Finding]:
        body = msgspec.json.encode(
            {"guardrail": self._name, "role": passage.role, "text": passage.text}
        )
        headers = {"content-type": "application/json"}
        if self._secret is not None:
            digest = hmac.new(self._secret.encode(), body, hashlib.sha256).hexdigest()
            headers["x-gateway-signature"] = f"sha256={digest}"
        answer = await self._post(self._spec.url, body, headers, self._spec.timeout)
        found = msgspec.json.decode(answer, type=_WireFindings)
        length = len(passage.text)
        return [
            Finding(max(0, f.start), min(length, f.end), f.label[:64], f.replacement)
            for f in found.findings
        ]


class _Result(Struct):
    flagged: bool = False
    categories: dict[str, bool] = {}


class _Results(Struct):
    results: list[_Result]


class ModerationGuard:
    """Finds the whole text, labelled by the first category that counts."""

    def __init__(self, spec: Moderation, ask: AskModel) -> None:
        self._spec = spec
        self._ask = ask

    async def inspect(self, passage: Passage) -> Sequence[Finding]:
        if not passage.text:
            return ()
        spec = self._spec
        body = msgspec.json.encode({"model": spec.model, "input": passage.text})
        answer = await self._ask(spec.model, body, spec.timeout)
        for result in msgspec.json.decode(answer, type=_Results).results:
            hit = [name for name, holds in result.categories.items() if holds]
            counting = [name for name in hit if not spec.categories or name in spec.categories]
            if counting or (result.flagged and not spec.categories):
                label = counting[0] if counting else "flagged"
                return [Finding(0, len(passage.text), label, "[REMOVED]")]
        return ()
