"""Guessed keys by the thousand, names that want to run, addresses that are not the caller's to choose."""

import asyncio
import json
import os
import secrets
from collections import Counter
from pathlib import Path
from time import perf_counter

import pytest

from ai_gateway.access.keys import new_key
from ai_gateway.pipeline import Pipeline
from tests.clients.conftest import start_gateway
from tests.faults.load import percentile
from tests.faults.vitals import resident
from tests.figures import Figure
from tests.serving import Got, answers, ask, get, in_front_of, post, providing, serving

ADMIN = "admin-key-of-this-test-0123456789"
CHAT = "/v1/chat/completions"
ANSWER = b'{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"word"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'
BODY = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello."}]}).encode()


@pytest.mark.slow
async def test_guesses_by_the_thousand_cost_known_keys_nothing_and_do_not_flood_the_log(
    tmp_path: Path, figure: Figure
) -> None:
    """20,000 of them, well-formed and not, a million with FAULTS=long; a known key calls meanwhile."""
    guesses = 1_000_000 if os.environ.get("FAULTS") == "long" else 20_000
    async with providing(answers(ANSWER)) as provider:
        gateway = await asyncio.to_thread(
            lambda: start_gateway(
                tmp_path, ADMIN_KEY=ADMIN, DATA_DIR=str(tmp_path / "data"), CACHE_TTL="0",
                **in_front_of(provider),
            )
        )  # fmt: skip
        try:
            made = await ask("POST", gateway.url + "/admin/keys", {"name": "known"}, ADMIN)
            known = json.loads(made.body)["key"].encode()
            statuses: Counter[bytes] = Counter()
            bodies: set[bytes] = set()
            left = iter(range(guesses))
            over = False

            async def one(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: bytes
            ) -> bytes:
                writer.write(
                    b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer %b\r\n"
                    b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
                    % (key, len(BODY), BODY)
                )
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                body = await reader.readexactly(size)
                if head[9:12] == b"401":
                    bodies.add(body)
                return head[9:12]

            async def guess() -> None:
                reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
                for number in left:
                    key = new_key() if number % 2 else secrets.token_hex(12)
                    statuses[await one(reader, writer, key.encode())] += 1
                writer.close()

            seconds: list[float] = []

            async def known_caller() -> None:
                reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
                while not over:
                    started = perf_counter()
                    assert await one(reader, writer, known) == b"200"
                    seconds.append(perf_counter() - started)
                    await asyncio.sleep(0.01)
                writer.close()

            calling = asyncio.ensure_future(known_caller())
            await asyncio.sleep(0.5)
            before, size = resident(gateway), gateway.log.stat().st_size
            started = perf_counter()
            await asyncio.gather(*(guess() for _ in range(16)))
            took = perf_counter() - started
            over = True
            await calling
            await asyncio.sleep(0.3)
            grown = resident(gateway) - before
            written = gateway.log.stat().st_size - size
            page = (await get(gateway.url + "/metrics", {"authorization": f"Bearer {ADMIN}"})).body
        finally:
            await asyncio.to_thread(gateway.stop)
    refused = [line for line in gateway.lines() if line.get("status") == 401]
    figure("guesses", f"{guesses:,} in {took:.0f} s, all {dict(statuses)}")
    figure(
        "lines in the log of them", f"{len(refused)} ({written / 1e6:.1f} MB with the good calls')"
    )
    figure("memory grown", f"{grown / 1024:.0f} MiB")
    figure("a known key's p99 meanwhile", f"{percentile(sorted(seconds), 0.99) * 1000:.0f} ms")
    assert set(statuses) <= {b"401", b"503"}
    assert len(bodies) == 1, "one answer for all, that tells nothing"
    assert len(refused) <= 20 * (took + 3)
    assert b'status="401"' in page or b"auth" in page
    assert grown < 60 * 1024


NASTY = {
    "a script": "<script>alert(1)</script>",
    "an escape sequence": "\x1b[2J\x1b]0;owned\x07",
    "line breaks": 'x\n{"time":"2026-01-01T00:00:00Z","event":"forged"}\r\ny',
    "separators of lines": "x\u2028y\u2029z\x85",
    "a formula": "=cmd|' /C calc'!A0",
    "letters that run backwards": "\u202egnp.exe",
}


@pytest.mark.parametrize("kind", NASTY)
async def test_a_log_line_stays_one_line_of_printable_text(kind: str, tmp_path: Path) -> None:
    nasty = NASTY[kind]
    async with providing(answers(ANSWER)) as provider:
        gateway = await asyncio.to_thread(
            lambda: start_gateway(
                tmp_path, ADMIN_KEY=ADMIN, ACCESS="open", DATA_DIR=str(tmp_path / "data"),
                **in_front_of(provider),
            )
        )  # fmt: skip
        try:
            made = await ask(
                "POST", gateway.url + "/admin/keys", {"name": nasty, "user": nasty}, ADMIN
            )
            key = json.loads(made.body).get("key", "")
            for model in (nasty, "gpt-4o"):
                body = {
                    "model": model,
                    "user": nasty,
                    "messages": [{"role": "user", "content": nasty}],
                }
                await ask("POST", gateway.url + CHAT, body, key)
            await asyncio.sleep(0.3)
        finally:
            await asyncio.to_thread(gateway.stop)
    raw = gateway.log.read_bytes()
    lines = raw.split(b"\n")[:-1]
    events = [json.loads(line)["event"] for line in lines]
    assert "forged" not in events
    assert events.count("call") == 2
    for byte in raw:
        assert byte == 10 or byte >= 32
    assert b"\x7f" not in raw
    assert b"\xc2\x85" not in raw


async def test_no_caller_chooses_a_host_and_no_address_of_theirs_is_fetched(
    figure: Figure,
) -> None:
    touched = 0

    async def trap(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal touched
        touched += 1
        writer.close()

    server = await asyncio.start_server(trap, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}/latest/meta-data"
    image = {"type": "image_url", "image_url": {"url": url}}
    file = {"type": "file", "file": {"file_data": url, "filename": "a.pdf"}}
    source = {"type": "image", "source": {"type": "url", "url": url}}
    tried = 0
    async with providing(answers(ANSWER)) as provider, serving({**in_front_of(provider), "PASS_THROUGH": "openai"}) as running:  # fmt: skip
        for model in ("gpt-4o", "claude-sonnet-4-5", "gemini-2.5-flash"):
            for path, part in ((CHAT, image), (CHAT, file), ("/v1/messages", source)):
                asked = {
                    "model": model,
                    "max_tokens": 9,
                    "messages": [{"role": "user", "content": [part]}],
                }
                got = await ask("POST", running.url + path, asked)
                assert got.status in (200, 400, 502), got.body
                tried += 1
        given = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]}
        for name in (
            "base_url",
            "api_base",
            "api_url",
            "endpoint",
            "proxy",
            "azure_endpoint",
            "host",
        ):
            assert (await ask("POST", running.url + CHAT, {**given, name: url})).status in (
                200,
                400,
            )
            tried += 1
        for name in (
            "x-base-url",
            "x-target",
            "x-forwarded-host",
            "forwarded",
            "x-portkey-custom-host",
            "x-api-base",
        ):
            got = await post(running.url + CHAT, json.dumps(given).encode(), {name: url})
            assert got.status == 200
            tried += 1
        host = f"127.0.0.1:{port}"
        for target in (
            url,
            f"//{host}/v1/chat/completions",
            f"/openai/v1/..//{host}/x",
            f"/openai//{host}/x",
            f"/openai@{host}/x",
            f"/openai/v1/@{host}/x",
            f"/openai\\@{host}/x",
            f"/openai/v1/%2f%2f{host}/x",
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            for name in ("localhost", host):
                writer.write(f"GET {target} HTTP/1.1\r\nhost: {name}\r\n\r\n".encode())
            writer.write_eof()
            await asyncio.wait_for(reader.read(), 10)
            writer.close()
            tried += 2
        reached: list[Got] = provider.got
    server.close()
    figure("ways tried", tried)
    figure("connections to the caller's address", touched)
    assert touched == 0
    assert all(got.headers["host"] == f"127.0.0.1:{provider.port}" for got in reached)


async def test_a_fault_of_the_gateways_own_tells_callers_and_logs_nothing_of_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(self: Pipeline, request: object, outcome: object) -> None:
        raise RuntimeError(f"at {request!r}")

    monkeypatch.setattr(Pipeline, "_parse", broken)
    environ = {"OPENAI_API_KEY": "sk-canary-provider", "LOG_LEVEL": "debug"}
    async with serving(environ) as running:
        body = BODY.replace(b"Hello.", b"canary-prompt")
        got = await post(running.url + CHAT, body, {"authorization": "Bearer sk-canary-caller"})
        assert got.status == 500
        assert b"canary" not in got.body
        page = (await get(running.url + "/metrics")).body
        assert b"gateway_internal_errors_total 1" in page
        await asyncio.sleep(0.3)
    shown = capfd.readouterr()
    assert "internal_error" in shown.out
    assert "canary" not in shown.out + shown.err
