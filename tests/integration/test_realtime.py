"""Realtime sessions: OpenAI's SDK through the gateway to a scripted provider."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Request as Handshake
from websockets.http11 import Response

from tests.serving import get, serving

USAGE = {
    "total_tokens": 150, "input_tokens": 100, "output_tokens": 50,
    "input_token_details": {"cached_tokens": 20, "text_tokens": 40, "audio_tokens": 60},
    "output_token_details": {"text_tokens": 20, "audio_tokens": 30},
}  # fmt: skip


class Provider:
    def __init__(self) -> None:
        self.handshakes: list[Handshake] = []
        self.got: list[dict[str, Any]] = []
        self.open = 0
        self.port = 0

    async def handle(self, socket: ServerConnection) -> None:
        self.open += 1
        assert socket.request is not None
        self.handshakes.append(socket.request)
        try:
            await socket.send(json.dumps({"type": "session.created", "event_id": "e1"}))
            async for text in socket:
                event = json.loads(text)
                self.got.append(event)
                if event["type"] == "response.create":
                    await self.respond(socket)
                if event["type"] == "close":
                    await socket.close(4000, "as asked")
        except ConnectionClosed:
            pass
        finally:
            self.open -= 1

    async def respond(self, socket: ServerConnection) -> None:
        id = f"resp_{len(self.got)}"
        events: list[dict[str, Any]] = [
            {"type": "response.created", "event_id": "e2", "response": {"id": id, "status": "in_progress"}},
            {"type": "response.output_text.delta", "event_id": "e3", "response_id": id, "item_id": "i",
             "output_index": 0, "content_index": 0, "delta": "hello"},
            {"type": "response.done", "event_id": "e4",
             "response": {"id": id, "status": "completed", "usage": USAGE}},
        ]  # fmt: skip
        for event in events:
            await socket.send(json.dumps(event))


@asynccontextmanager
async def provider() -> AsyncGenerator[Provider, None]:
    one = Provider()
    async with serve(one.handle, "127.0.0.1", 0) as server:
        one.port = server.sockets[0].getsockname()[1]
        yield one


def behind(one: Provider, **more: str) -> dict[str, str]:
    return {
        "OPENAI_API_KEY": "sk-canary-openai",
        "OPENAI_BASE_URL": f"http://127.0.0.1:{one.port}/v1",
        **more,
    }


async def test_openais_sdk_holds_a_session_and_its_responses_are_accounted_for() -> None:
    async with provider() as one, serving(behind(one)) as running:
        client = AsyncOpenAI(base_url=f"{running.url}/v1", api_key="callers-own")
        async with client.realtime.connect(model="gpt-realtime") as session:
            assert (await session.recv()).type == "session.created"
            await session.response.create()
            kinds = [(await session.recv()).type for _ in range(3)]
        assert kinds == ["response.created", "response.output_text.delta", "response.done"]
        handshake = one.handshakes[0]
        assert handshake.path == "/v1/realtime?model=gpt-realtime"
        assert handshake.headers["authorization"] == "Bearer sk-canary-openai"
        assert "callers-own" not in str(handshake.headers)
        metrics = (await get(running.url + "/metrics")).body.decode()
    line = 'llm_tokens_used_total{model="gpt-realtime",provider="openai",type="input"} 100'
    assert line in metrics


async def test_usage_is_taken_wherever_its_event_tells_its_type_and_details_may_be_missing() -> (
    None
):
    class Odd(Provider):
        async def respond(self, socket: ServerConnection) -> None:
            made = {"id": "r1", "status": "in_progress"}
            await socket.send(json.dumps({"type": "response.created", "response": made}))
            usage = {"input_tokens": 7, "output_tokens": 5, "input_token_details": None}
            done = {"id": "r1", "status": "completed", "x": "y" * 500, "usage": usage}
            await socket.send(json.dumps({"response": done, "type": "response.done"}))

    one = Odd()
    async with serve(one.handle, "127.0.0.1", 0) as server:
        one.port = server.sockets[0].getsockname()[1]
        async with serving(behind(one)) as running:
            url = running.url.replace("http", "ws") + "/v1/realtime?model=gpt-realtime"
            async with connect(url) as socket:
                await socket.send(json.dumps({"type": "response.create"}))
                for _ in range(3):
                    await socket.recv()
            metrics = (await get(running.url + "/metrics")).body.decode()
    assert 'llm_tokens_used_total{model="gpt-realtime",provider="openai",type="input"} 7' in metrics


async def test_either_end_that_closes_closes_the_other() -> None:
    async with provider() as one, serving(behind(one)) as running:
        url = running.url.replace("http", "ws") + "/v1/realtime?model=gpt-realtime"
        async with connect(url) as socket:
            await socket.recv()
            await socket.send(json.dumps({"type": "close"}))
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4000, "as asked")
        socket = await connect(url)
        await socket.recv()
        assert one.open == 1
        await socket.close()
        await _until(lambda: one.open == 0)


async def test_a_browsers_key_comes_as_a_subprotocol(tmp_path: Path) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text("keys:\n  mine: {key: 'env:MY_KEY', tenant: acme}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MY_KEY", "sk-gw-browser-0123456789")
        async with provider() as one:
            settings = behind(one, MY_KEY="sk-gw-browser-0123456789")
            async with serving(settings, config) as running:
                url = running.url.replace("http", "ws") + "/v1/realtime?model=gpt-realtime"
                with pytest.raises(InvalidStatus) as denied:
                    await connect(url)
                assert denied.value.response.status_code == 401
                key = "openai-insecure-api-key.sk-gw-browser-0123456789"
                async with connect(url, subprotocols=["realtime", key]) as socket:  # type: ignore[list-item]
                    assert socket.subprotocol == "realtime"
                    assert json.loads(await socket.recv())["type"] == "session.created"


async def test_a_response_over_the_limit_is_cancelled_and_ends_the_session() -> None:
    limits = {"RATE_LIMIT_CAPACITY": "2", "RATE_LIMIT_REFILL_RATE": "0"}
    async with provider() as one, serving(behind(one, **limits)) as running:
        url = running.url.replace("http", "ws") + "/v1/realtime?model=gpt-realtime"
        async with connect(url) as socket:
            await socket.recv()
            for _ in range(3):
                await socket.send(json.dumps({"type": "response.create"}))
            told: list[dict[str, Any]] = []
            with pytest.raises(ConnectionClosed) as closed:
                await _read_into(told, socket)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
        assert sum(event["type"] == "response.done" for event in told) == 2
        assert told[-1]["type"] == "error"
        await _until(lambda: any(event["type"] == "response.cancel" for event in one.got))


async def test_what_cannot_be_opened_is_denied_with_the_reason() -> None:
    def refuses(socket: ServerConnection, request: Handshake) -> Response:
        return Response(403, "Forbidden", Headers(), b"key sk-canary-openai is bad")

    async with serve(lambda s: s.close(), "127.0.0.1", 0, process_request=refuses) as server:
        one = Provider()
        one.port = server.sockets[0].getsockname()[1]
        async with serving(behind(one)) as running:
            for query, status in (
                ("?model=gpt-realtime", 502),
                ("", 400),
                ("?model=nobody%2Fx", 404),
            ):
                with pytest.raises(InvalidStatus) as denied:
                    await connect(running.url.replace("http", "ws") + "/v1/realtime" + query)
                assert denied.value.response.status_code == status
                assert denied.value.response.body is not None
                assert b"canary" not in denied.value.response.body


async def test_a_redirect_does_not_carry_the_credential_elsewhere() -> None:
    async with provider() as elsewhere:

        def redirects(socket: ServerConnection, request: Handshake) -> Response:
            location = f"ws://127.0.0.1:{elsewhere.port}/v1/realtime"
            return Response(302, "Found", Headers({"Location": location}))

        async with serve(lambda s: s.close(), "127.0.0.1", 0, process_request=redirects) as server:
            one = Provider()
            one.port = server.sockets[0].getsockname()[1]
            async with serving(behind(one)) as running:
                url = running.url.replace("http", "ws") + "/v1/realtime?model=gpt-realtime"
                with pytest.raises(InvalidStatus):
                    await connect(url)
        assert elsewhere.handshakes == []


async def test_responses_over_a_websocket_are_openais_own_mode() -> None:
    async with serving({}) as running:
        url = running.url.replace("http", "ws") + "/v1/responses"
        async with connect(url) as socket:
            await socket.send(
                json.dumps({"type": "response.create", "model": "gpt-4o", "input": "Hello"})
            )
            kinds: list[str] = []
            while not kinds or kinds[-1] != "response.completed":
                kinds.append(json.loads(await asyncio.wait_for(socket.recv(), 5))["type"])
    assert kinds[0] == "response.created"
    assert "response.output_text.delta" in kinds


async def _until(holds: Any) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.01)


async def _read_into(told: list[dict[str, Any]], socket: Any) -> None:
    while True:
        told.append(json.loads(await socket.recv()))
