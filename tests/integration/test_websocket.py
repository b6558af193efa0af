"""Calls over a WebSocket: what comes back, many at once, and every way to misbehave."""

import asyncio
import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.serving import get, in_front_of, providing, serving, streams

CHAT = "/v1/chat/completions"


def asked(text: str = "Hello", **more: object) -> dict[str, Any]:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": text}], **more}


def socket_url(url: str) -> str:
    return url.replace("http", "ws") + CHAT


async def read_until(socket: ClientConnection, last: str) -> list[str]:
    got: list[str] = []
    while not got or got[-1] != last:
        got.append(str(await asyncio.wait_for(socket.recv(), 10)))
    return got


async def test_a_plain_message_is_answered_by_one() -> None:
    async with serving({}) as running, connect(socket_url(running.url)) as socket:
        await socket.send(json.dumps(asked()))
        answer = json.loads(await socket.recv())
        assert answer["object"] == "chat.completion"
        await socket.send(json.dumps(asked("again")))
        assert "again" in json.loads(await socket.recv())["choices"][0]["message"]["content"]


async def test_a_stream_is_a_message_for_each_event_and_ends_with_done() -> None:
    async with serving({}) as running, connect(socket_url(running.url)) as socket:
        await socket.send(json.dumps(asked(stream=True)))
        got = await read_until(socket, "[DONE]")
    chunks = [json.loads(text) for text in got[:-1]]
    assert {c["object"] for c in chunks} == {"chat.completion.chunk"}
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


async def test_a_bad_request_is_answered_in_the_callers_dialect_and_the_socket_lives_on() -> None:
    async with serving({}) as running, connect(socket_url(running.url)) as socket:
        for bad in ("{", "[]", '{"model": 1}', "null", "[" * 100_000):
            await socket.send(bad)
            assert json.loads(await socket.recv())["error"]["type"] == "invalid_request_error"
        await socket.send(json.dumps(asked()))
        assert json.loads(await socket.recv())["object"] == "chat.completion"


async def test_many_calls_share_a_socket_by_their_ids() -> None:
    async with serving({}) as running, connect(socket_url(running.url)) as socket:
        for at in range(40):
            body = asked(f"number {at}", stream=at % 2 == 0)
            await socket.send(json.dumps({"type": "call", "id": f"c{at}", "body": body}))
        texts: dict[str, str] = {}
        ended: set[str] = set()
        while len(ended) < 40:
            message = json.loads(await asyncio.wait_for(socket.recv(), 20))
            call, kind = message["id"], message["type"]
            if kind == "answer":
                assert message["status"] == 200
                assert message["headers"]["x-gateway-provider"] == "simulator"
                texts[call] = message["data"]["choices"][0]["message"]["content"]
                ended.add(call)
            elif kind == "chunk":
                for choice in message["data"]["choices"]:
                    texts[call] = texts.get(call, "") + (choice["delta"].get("content") or "")
            elif kind == "done":
                ended.add(call)
        assert all(f"number {at}" in texts[f"c{at}"] for at in range(40))


async def test_a_cancelled_call_stops_its_provider_and_the_others_go_on() -> None:
    chunk = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}]}\n\n'
    async with (
        providing(streams(*[chunk] * 1000, pause=0.05)) as provider,
        serving(in_front_of(provider)) as running,
        connect(socket_url(running.url)) as socket,
    ):
        for call in ("a", "b"):
            body = asked(stream=True)
            await socket.send(json.dumps({"type": "call", "id": call, "body": body}))
        await asyncio.sleep(0.3)
        await socket.send(json.dumps({"type": "cancel", "id": "a"}))
        await asyncio.sleep(0.3)
        assert provider.closed == 1
        seen: set[str] = set()
        while True:
            try:
                seen.add(json.loads(await asyncio.wait_for(socket.recv(), 0.2))["id"])
            except TimeoutError:
                break
            if len(seen) == 2:
                seen = {json.loads(await socket.recv())["id"] for _ in range(3)}
                break
        assert "b" in seen


async def test_a_caller_who_leaves_stops_every_provider() -> None:
    chunk = b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
    async with (
        providing(streams(*[chunk] * 1000, pause=0.05)) as provider,
        serving(in_front_of(provider)) as running,
    ):
        socket = await connect(socket_url(running.url))
        for call in range(5):
            body = asked(stream=True)
            await socket.send(json.dumps({"type": "call", "id": call, "body": body}))
        await asyncio.sleep(0.3)
        socket.transport.abort()
        await asyncio.sleep(0.5)
        assert provider.closed == 5
        assert running.gateway.log is not None
        metrics = (await get(running.url + "/metrics")).body.decode()
        assert "\ngateway_in_flight 0.0\n" in metrics


async def test_a_slow_reader_holds_its_provider_back() -> None:
    chunk = b"data: " + json.dumps(
        {"choices": [{"index": 0, "delta": {"content": "x" * 20_000}}]}
    ).encode() + b"\n\n"  # fmt: skip
    sent = 0

    async def endless(got: Any, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        for _ in range(5000):
            writer.write(chunk)
            await writer.drain()
            sent += len(chunk)

    async with (
        providing(endless) as provider,
        serving(in_front_of(provider)) as running,
        connect(socket_url(running.url), max_queue=1) as socket,
    ):
        await socket.send(json.dumps(asked(stream=True)))
        await asyncio.sleep(1.0)
        assert sent < 30_000_000, "100 MB were promised, and nobody read them"


async def test_binary_messages_are_refused() -> None:
    async with serving({}) as running, connect(socket_url(running.url)) as socket:
        await socket.send(b"\x00\x01")
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1003


async def test_a_message_over_the_limit_closes_the_socket_even_in_fragments() -> None:
    async with serving({"MAX_BODY_BYTES": "2000"}) as running:
        for message in ("x" * 3000, ["x" * 900] * 4):
            async with connect(socket_url(running.url)) as socket:
                await socket.send(message)
                with pytest.raises(ConnectionClosed) as closed:
                    await socket.recv()
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 1009


async def test_fragments_make_one_message() -> None:
    async with serving({}) as running, connect(socket_url(running.url)) as socket:
        text = json.dumps(asked())
        await socket.send([text[i : i + 7] for i in range(0, len(text), 7)])
        assert json.loads(await socket.recv())["object"] == "chat.completion"


@pytest.mark.parametrize(
    "frame",
    [
        b"\x81\x05hello",  # not masked
        b"\xf1\x85\x00\x00\x00\x00hello",  # reserved bits
        b"\x83\x80\x00\x00\x00\x00",  # an unknown opcode
        b"\x89\xfe\x00\x80" + b"\x00" * 132,  # a ping longer than 125 bytes
        b"\x80\x80\x00\x00\x00\x00",  # a continuation of nothing
        b"\x81\x82\x00\x00\x00\x00\xff\xff",  # text that is not UTF-8
        b"\x88\x81\x00\x00\x00\x00\x03",  # a close of one byte
        b"\x81\xff" + struct.pack("!Q", 2**62) + b"\x00" * 4,  # a length of 4 exabytes
    ],
)
async def test_a_frame_that_breaks_the_protocol_closes_the_socket_and_nothing_else(
    frame: bytes,
) -> None:
    async with serving({}) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(
            b"GET /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\n"
            b"upgrade: websocket\r\nsec-websocket-version: 13\r\n"
            b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        writer.write(frame)
        await asyncio.wait_for(reader.read(-1), 5)
        writer.close()
        assert (await get(running.url + "/health")).status == 200


async def test_a_stranger_is_given_no_socket(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text("keys:\n  mine: {key: 'env:MY_KEY', tenant: acme}\n")
    key = "sk-gw-socket-0123456789"
    async with serving({"MY_KEY": key}, config) as running:
        for path in (CHAT, "/v1/responses"):
            url = running.url.replace("http", "ws") + path
            for headers in ({}, {"Authorization": "Bearer sk-gw-wrong-0123456789"}):
                with pytest.raises(InvalidStatus) as denied:
                    await connect(url, additional_headers=headers)
                assert denied.value.response.status_code == 401
                assert b"authentication_error" in (denied.value.response.body or b"")
            headers = {"Authorization": f"Bearer {key}"}
            async with connect(url, additional_headers=headers) as socket:
                await socket.send("{}")
                assert "error" in json.loads(await socket.recv())
    assert [r for r in caplog.records if r.name.startswith("uvicorn")] == []


async def test_an_unknown_path_takes_no_socket() -> None:
    async with serving({}) as running:
        with pytest.raises(InvalidStatus):
            await connect(running.url.replace("http", "ws") + "/v1/embeddings")


async def test_a_second_plain_call_must_wait_for_the_first() -> None:
    settings = {"FIRST_BYTE_TIMEOUT": "5"}
    async with serving(settings) as running:
        headers = {"x-simulator-first-token-ms": "400"}
        async with connect(socket_url(running.url), additional_headers=headers) as socket:
            await socket.send(json.dumps(asked()))
            await socket.send(json.dumps(asked()))
            first, second = json.loads(await socket.recv()), json.loads(await socket.recv())
            assert "under way" in first["error"]["message"]
            assert second["object"] == "chat.completion"


async def test_a_thousand_sockets_are_served_at_once() -> None:
    async with serving({}) as running:
        gate = asyncio.Semaphore(100)
        count = 1000 if os.environ.get("CI") else 300

        async def one(at: int) -> None:
            async with gate:
                socket = await connect(socket_url(running.url), open_timeout=30)
            open_sockets.append(socket)
            await socket.send(json.dumps(asked(f"socket {at}", stream=True)))
            got = await read_until(socket, "[DONE]")
            assert len(got) > 2

        open_sockets: list[ClientConnection] = []
        await asyncio.gather(*(one(at) for at in range(count)))
        assert len(open_sockets) == count
        await asyncio.gather(*(socket.close() for socket in open_sockets))
