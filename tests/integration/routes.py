"""A route over scripted providers `a`, `b`, `c`, ..., and what it takes to call it."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.serving import Got, Provider, Running, Script, answers, providing, serving, streams

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"


def answer(text: str = "word", tokens: int = 3) -> bytes:
    return json.dumps(
        {
            "id": "c",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 10, "completion_tokens": tokens, "total_tokens": 10 + tokens},
        }
    ).encode()  # fmt: skip


CHUNK = b'data: {"id":"c","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"word"},"finish_reason":null}]}\n\n'
LAST = b'data: {"id":"c","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
GOOD = answers(answer())
GOOD_STREAM = streams(CHUNK, CHUNK, LAST)


def good(name: str) -> Script:
    """Answers whole or as a stream, as asked, with its name in it."""
    whole, flow = answers(answer(name)), streams(CHUNK.replace(b"word", name.encode()), LAST)

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        await (flow if b'"stream":true' in got.body.replace(b" ", b"") else whole)(got, writer)

    return script


def asked(model: str = "smart", *, stream: bool = False, **more: object) -> bytes:
    return json.dumps(
        {
            "model": model,
            "max_tokens": 9,
            "stream": stream,
            "messages": [{"role": "user", "content": "hello"}],
            **more,
        }
    ).encode()


def refusal(status: int, code: str = "x", **headers: str) -> Script:
    body = json.dumps({"error": {"message": "no", "type": "t", "code": code}}).encode()
    return answers(body, status, headers={k.replace("_", "-"): v for k, v in headers.items()})


class Routed:
    def __init__(self, running: Running, providers: dict[str, Provider]) -> None:
        self.running = running
        self.providers = providers

    @property
    def url(self) -> str:
        return self.running.url

    def counts(self) -> list[int]:
        return [len(p.got) for p in self.providers.values()]


@asynccontextmanager
async def routing(
    directory: Path,
    scripts: Sequence[Script],
    *,
    route: str = "",
    keys: Sequence[str] = ("only",),
    more: str = "",
    **environ: str,
) -> AsyncGenerator[Routed, None]:
    """A route `smart` over providers a, b, c, ... in this order; `route`: its other settings."""
    async with AsyncExitStack() as stack:
        providers = {
            "abcdef"[n]: await stack.enter_async_context(providing(script))
            for n, script in enumerate(scripts)
        }
        variables = {f"KEY_{n}": key for n, key in enumerate(keys)}
        lines = ["providers:"]
        for name, provider in providers.items():
            lines += [f"  {name}:", f"    base_url: {provider.url}", "    keys:"]
            lines += [f"      - env:{variable}" for variable in variables]
        lines += ["routes:", "  smart:", "    targets:"]
        lines += [f"      - model: {name}/m" for name in providers]
        lines += [f"    {line}" for line in route.splitlines() if line.strip()]
        config = directory / "gateway.yaml"
        config.write_text("\n".join(lines) + "\n" + more)
        running = await stack.enter_async_context(serving({**variables, **environ}, config))
        yield Routed(running, providers)
