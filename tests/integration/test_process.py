"""Starting and ending, as a process."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ai_gateway import __version__
from tests.clients.conftest import start_gateway
from tests.serving import Got, get, in_front_of, post, providing, streams

ROOT = Path(__file__).parents[2]
CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"word"},"finish_reason":null}]}\n\n'
END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


def run(*arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "ai_gateway", *arguments],
        capture_output=True,
        text=True,
        timeout=20,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"), **environ},
        cwd=environ.get("HOME", "/"),
    )


async def test_sigterm_lets_streams_finish_and_exits_with_0(tmp_path: Path) -> None:
    async with providing(streams(*[CHUNK] * 30, END, pause=0.05)) as provider:
        gateway = start_gateway(tmp_path, **{**in_front_of(provider), "ENDPOINT_GRACE": "0.7"})
        opened = [await asyncio.open_connection("127.0.0.1", gateway.port) for _ in range(20)]
        body = b'{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"x"}]}'
        for _, writer in opened:
            writer.write(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
                b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
                % (len(body), body)
            )
        for reader, _ in opened:
            await reader.readuntil(b"word")
        gateway.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.2)
        ready = await get(gateway.url + "/ready")
        assert ready.status == 503
        assert (await get(gateway.url + "/health")).status == 200
        for reader, _ in opened:
            assert b"[DONE]" in await asyncio.wait_for(reader.read(), 10)
        assert await asyncio.to_thread(gateway.process.wait, 10) == 0
    done = [line for line in gateway.lines() if line["event"] == "call"]
    assert [line["status"] for line in done] == [200] * 20
    assert [line["event"] for line in gateway.lines()][-1] == "stopped"


async def test_a_second_signal_hurries(tmp_path: Path) -> None:
    async def hang(got: Got, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async with providing(hang) as provider:
        gateway = start_gateway(tmp_path, **{**in_front_of(provider), "ENDPOINT_GRACE": "30"})
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        body = b'{"model":"gpt-4o","messages":[{"role":"user","content":"x"}]}'
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n%s" % (len(body), body)
        )
        await asyncio.sleep(0.3)
        started = time.monotonic()
        for _ in range(3):
            gateway.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.3)
        await asyncio.to_thread(gateway.process.wait, 5)
        assert time.monotonic() - started < 4
        writer.close()


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/completions"])
async def test_a_call_that_outlasts_the_drain_is_told_so(tmp_path: Path, path: str) -> None:
    async def hang(got: Got, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async with providing(hang) as provider:
        environ = {**in_front_of(provider), "ENDPOINT_GRACE": "0", "DRAIN_TIMEOUT": "1"}
        gateway = start_gateway(tmp_path, **environ)
        body = b'{"model":"gpt-4o","max_tokens":9,"messages":[{"role":"user","content":"x"}]}'
        _, leaver = await asyncio.open_connection("127.0.0.1", gateway.port)
        other = body.replace(b'"x"', b'"y"')
        leaver.write(
            b"POST %s HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n%s" % (path.encode(), len(other), other)
        )
        while not provider.got:
            await asyncio.sleep(0.01)
        leaver.close()
        while not provider.closed:
            await asyncio.sleep(0.01)
        asked = asyncio.create_task(post(gateway.url + path, body))
        while len(provider.got) < 2:
            await asyncio.sleep(0.01)
        gateway.process.send_signal(signal.SIGTERM)
        got = await asyncio.wait_for(asked, 15)
        assert await asyncio.to_thread(gateway.process.wait, 15) == 0
    assert got.status == 503
    assert got.headers["retry-after"] == "1"
    assert "shutting down" in json.loads(got.body)["error"]["message"]
    # The log tells the call that was cut from the one whose caller had left.
    calls = [line for line in gateway.lines() if line["event"] == "call"]
    told = [(line["status"], line["error"]) for line in calls]
    assert told == [(499, "cancelled"), (503, "unavailable")]


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_an_address_others_can_reach_is_refused_unless_it_is_said(host: str) -> None:
    done = run("serve", HOST=host, PORT="0")
    assert done.returncode == 2
    assert "ACCESS=open" in done.stderr


@pytest.mark.parametrize(
    ("environ", "warned"),
    [
        ({"ACCESS": "open"}, "ACCESS=open"),
        ({"ACCESS": "until-keys"}, "ACCESS=until-keys"),
        ({"ACCESS": "until-keys", "ADMIN_KEY": "a-good-and-long-admin-key-of-32-characters"}, ""),
    ],
)
def test_what_others_reach_without_a_key_is_said_at_the_start(
    environ: dict[str, str], warned: str
) -> None:
    serving = subprocess.Popen(
        [sys.executable, "-m", "ai_gateway"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"), "HOST": "0.0.0.0",
             "PORT": "0", "DATA_DIR": "/nonexistent", "LEDGER": "off", **environ},
    )  # fmt: skip
    assert serving.stderr is not None
    said = serving.stderr.readline().decode()
    time.sleep(0.2)
    serving.kill()
    said += serving.communicate()[1].decode()
    assert " serving on " in said
    assert ("calls at your cost" in said) == bool(warned)
    assert warned in said


def test_bad_settings_end_the_start_naming_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text("\nprot: 1\n")
    for command in ("serve", "check"):
        done = run(command, HOME=str(tmp_path))
        assert done.returncode in (1, 2)
        assert "gateway.yaml:2: prot" in done.stderr + done.stdout


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    gateway = start_gateway(tmp_path)
    try:
        done = run("serve", PORT=str(gateway.port))
    finally:
        gateway.stop()
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{gateway.port}" in done.stderr


def test_version_and_check_speak_plainly() -> None:
    assert run("--version").stdout.strip() == f"ai-gateway {__version__}"
    done = run("check", OPENAI_API_KEY="canary")
    assert done.returncode == 0
    assert "provider openai" in done.stdout
    assert "canary" not in done.stdout + done.stderr


def test_senseless_simulator_options_are_refused() -> None:
    done = run("simulate", "--option", "no_such=1")
    assert done.returncode == 2
    assert "no_such" in done.stderr
