"""The whole gateway on a real port, and providers to put behind it."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from msgspec import Struct
from pyreqwest.client import ClientBuilder
from pyreqwest.http import HeaderMap

from ai_gateway.app import Gateway, open_gateway
from ai_gateway.server import GatewayServer, listen
from ai_gateway.settings.load import load_settings
from ai_gateway.settings.tree import Settings


class Got(Struct):
    """What a provider was sent."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Script = Callable[[Got, asyncio.StreamWriter], Awaitable[None]]


class Provider:
    """A scripted provider: bare sockets, so that it can misbehave in any way."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.got: list[Got] = []
        self.closed = 0
        """Connections the gateway has closed or dropped."""
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                request, *lines = head.decode("latin-1").split("\r\n")
                headers = {
                    name.lower(): value.strip()
                    for name, colon, value in (line.partition(":") for line in lines)
                    if colon
                }
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                method, path, _ = request.split(" ")
                got = Got(method, path, headers, body)
                self.got.append(got)
                script = asyncio.ensure_future(self.script(got, writer))
                gone = asyncio.ensure_future(reader.read(1))
                await asyncio.wait([script, gone], return_when=asyncio.FIRST_COMPLETED)
                if not script.done():
                    script.cancel()
                    break
                gone.cancel()
                script.result()
                if writer.is_closing():
                    break
                break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.closed += 1
            writer.close()


def answers(
    body: bytes,
    status: int = 200,
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> Script:
    """A provider that answers the same to everything."""
    extra = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    head = (
        f"HTTP/1.1 {status} Status\r\ncontent-type: {content_type}\r\n{extra}"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        writer.write(head.encode("latin-1") + body)
        await writer.drain()

    return script


def streams(*pieces: bytes, pause: float = 0.0, content_type: str = "text/event-stream") -> Script:
    """A provider that streams the pieces, then closes."""
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\nconnection: close\r\n\r\n"

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        writer.write(head.encode())
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            if pause:
                await asyncio.sleep(pause)

    return script


@asynccontextmanager
async def providing(
    script: Script, tls: ssl.SSLContext | None = None
) -> AsyncGenerator[Provider, None]:
    provider = Provider(script)
    server = await asyncio.start_server(provider.handle, "127.0.0.1", 0, limit=2**24, ssl=tls)
    provider.port = server.sockets[0].getsockname()[1]
    try:
        yield provider
    finally:
        server.close()


class Running(Struct):
    gateway: Gateway
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def serving(
    environ: Mapping[str, str], config: Path | None = None
) -> AsyncGenerator[Running, None]:
    """The gateway, as `ai-gateway serve` builds it, on a free port. Without a cache unless one is
    asked for, so that a call that comes twice reaches its provider twice."""
    with TemporaryDirectory(prefix="ai-gateway-") as directory:
        given = {"LOG_LEVEL": "error", "CACHE_TTL": "0", "RATE_LIMIT_CAPACITY": "0"}
        given |= {"DATA_DIR": directory, **environ}
        async with _served(load_settings(given, config), config, given) as running:
            yield running


@asynccontextmanager
async def _served(
    settings: Settings, config: Path | None, environ: Mapping[str, str]
) -> AsyncGenerator[Running, None]:
    async with open_gateway(settings, config, environ) as gateway:
        server = GatewayServer(
            gateway.app,
            listener=listen("127.0.0.1", 0),
            endpoint_grace=0,
            drain_timeout=1,
            max_message_bytes=settings.max_body_bytes,
            on_drain=lambda: None,
        )
        task = asyncio.get_running_loop().create_task(server.run_until_stopped())
        while not server.started:
            await asyncio.sleep(0.001)
        try:
            yield Running(gateway, server.port)
        finally:
            server.should_exit = True
            server.force_exit = True
            await task


def in_front_of(provider: Provider) -> dict[str, str]:
    """Settings under which OpenAI, Anthropic and Gemini are all this provider."""
    return {
        "OPENAI_API_KEY": "sk-canary-openai",
        "OPENAI_BASE_URL": provider.url,
        "ANTHROPIC_API_KEY": "sk-canary-anthropic",
        "ANTHROPIC_BASE_URL": provider.url,
        "GEMINI_API_KEY": "canary-gemini",
        "GEMINI_BASE_URL": provider.url,
    }


class Answered(Struct):
    status: int
    headers: HeaderMap
    body: bytes


async def post(url: str, body: bytes, headers: Mapping[str, str] | None = None) -> Answered:
    """Posts bytes as JSON and reads the whole answer."""
    async with ClientBuilder().gzip(False).build() as client:
        given = {"content-type": "application/json", **(headers or {})}
        request = client.post(url).headers(given).body_bytes(body).build()
        response = await request.send()
        return Answered(response.status, response.headers, (await response.bytes()).to_bytes())


async def get(url: str, headers: Mapping[str, str] | None = None) -> Answered:
    async with ClientBuilder().build() as client:
        response = await client.get(url).headers(dict(headers or {})).build().send()
        return Answered(response.status, response.headers, (await response.bytes()).to_bytes())


async def ask(
    method: str, url: str, body: object = None, key: str | None = None, **headers: str
) -> Answered:
    """A request of any method, with JSON and a bearer key where given."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if key is not None:
        given["authorization"] = f"Bearer {key}"
    async with ClientBuilder().build() as client:
        request = client.request(method, url)
        if body is not None:
            given["content-type"] = "application/json"
            request = request.body_bytes(msgspec.json.encode(body))
        response = await request.headers(given).build().send()
        return Answered(response.status, response.headers, (await response.bytes()).to_bytes())


async def delete(url: str, key: str) -> Answered:
    async with ClientBuilder().build() as client:
        request = client.delete(url).headers({"authorization": f"Bearer {key}"})
        response = await request.build().send()
        return Answered(response.status, response.headers, (await response.bytes()).to_bytes())
