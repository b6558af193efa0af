"""Calls that pass through in pieces: forms, files, sounds, and a provider's own paths."""

import asyncio
import contextlib
import errno
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from openai import AsyncOpenAI, NotFoundError

from ai_gateway.upstream.pool import Pool
from tests.serving import Got, answers, get, in_front_of, post, providing, serving

MIB = 1024 * 1024


def client(url: str) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0)


async def test_openais_sdk_speaks_transcribes_edits_and_completes() -> None:
    async with serving({}) as running, client(running.url) as openai:
        sound = await openai.audio.speech.create(model="tts-1", voice="alloy", input="hello")
        assert sound.content.startswith(b"RIFF")
        assert len(sound.content) == 44 + 2 * 800 * 5
        heard = await openai.audio.transcriptions.create(
            model="whisper-1", file=("a.wav", sound.content)
        )
        assert "simulated" in heard.text
        translated = await openai.audio.translations.create(
            model="whisper-1", file=("a.wav", sound.content)
        )
        assert "simulated" in translated.text
        edited = await openai.images.edit(
            model="gpt-image-1", image=("a.png", b"PNG", "image/png"), prompt="more cats"
        )
        assert edited.data
        said = await openai.completions.create(model="gpt-3.5-turbo-instruct", prompt="Once")
        assert "Once" in said.choices[0].text
        assert said.usage is not None


async def test_a_stream_is_handed_on_as_it_comes_and_stops_with_its_caller() -> None:
    async def drips(got: Got, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\n\r\n")
        for at in range(200):
            writer.write(b"piece%d " % at)
            await writer.drain()
            await asyncio.sleep(0.02)

    body = {"model": "tts-1", "voice": "alloy", "input": "x"}
    async with (
        providing(drips) as provider,
        serving(in_front_of(provider)) as running,
        httpx.AsyncClient() as http,
    ):
        async with http.stream("POST", f"{running.url}/v1/audio/speech", json=body) as answer:
            assert answer.headers["content-type"] == "audio/mpeg"
            async for piece in answer.aiter_bytes():
                assert piece.startswith(b"piece0 ")
                break
        await asyncio.sleep(0.5)
        assert provider.closed == 1


async def test_a_large_form_passes_through_without_being_held(tmp_path: Path) -> None:
    seen = 0

    async def counts(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        await reader.readuntil(b"\r\n\r\n")
        while True:
            data = await reader.read(256 * 1024)
            seen += len(data)
            if data.endswith(b"0\r\n\r\n") or not data:
                break
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 13\r\n\r\n"
        )
        writer.write(b'{"text":"ok"}')
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(counts, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    def form() -> AsyncIterator[bytes]:
        async def pieces() -> AsyncIterator[bytes]:
            yield b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'
            yield b'--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'
            for _ in range(100):
                yield b"x" * MIB
            yield b"\r\n--b--\r\n"

        return pieces()

    settings = {"OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1"}
    async with server, serving(settings) as running, httpx.AsyncClient(timeout=60) as http:
        before = _resident()
        answer = await http.post(
            f"{running.url}/v1/audio/transcriptions",
            content=form(),
            headers={"content-type": "multipart/form-data; boundary=b"},
        )
        assert (answer.status_code, answer.json()) == (200, {"text": "ok"})
        assert seen > 100 * MIB
        assert _resident() - before < 40 * MIB


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def test_a_model_named_with_its_provider_is_renamed_in_the_form() -> None:
    async with (
        providing(answers(b'{"text":"ok"}')) as provider,
        serving(in_front_of(provider)) as running,
        client(running.url) as openai,
    ):
        await openai.audio.transcriptions.create(
            model="openai/whisper-1", file=("a.wav", b"RIFF" * 100)
        )
    sent = provider.got[0]
    assert b"\r\n\r\nwhisper-1\r\n" in sent.body
    assert b"openai/whisper-1" not in sent.body
    assert int(sent.headers["content-length"]) == len(sent.body)
    assert sent.headers["authorization"] == "Bearer sk-canary-openai"


async def test_a_file_over_the_limit_is_refused() -> None:
    settings = {"MAX_UPLOAD_BYTES": "20000"}
    async with serving(settings) as running, client(running.url) as openai:
        with pytest.raises(Exception, match="larger than 20000 bytes"):
            await openai.audio.transcriptions.create(model="whisper-1", file=("a", b"x" * 30_000))


BAD: list[tuple[str, bytes, dict[str, str], int]] = [
    ("/v1/audio/speech", b"{}", {}, 400),
    ("/v1/audio/speech", b"[]", {}, 400),
    ("/v1/audio/speech", b'{"model":1}', {}, 400),
    ("/v1/audio/transcriptions", b"{}", {}, 415),
    (
        "/v1/completions",
        b'{"model":"nobody/x","prompt":"a"}',
        {"x-gateway-provider": "nobody"},
        404,
    ),
]


@pytest.mark.parametrize(("path", "body", "headers", "status"), BAD)
async def test_what_is_wrong_is_said(
    path: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    async with serving({}) as running:
        got = await post(running.url + path, body, headers)
    assert got.status == status
    assert json.loads(got.body)["error"]["message"]


async def test_a_provider_that_refuses_the_gateways_key_is_not_the_callers_fault() -> None:
    script = answers(b'{"error":{"message":"bad key sk-canary-openai"}}', status=401)
    async with providing(script) as provider, serving(in_front_of(provider)) as running:
        got = await post(
            f"{running.url}/v1/completions", b'{"model":"gpt-3.5-turbo-instruct","prompt":"a"}'
        )
    assert got.status == 502
    assert b"canary" not in got.body


async def test_a_redirect_is_not_followed() -> None:
    script = answers(b"", status=302, headers={"location": "http://127.0.0.1:1/"})
    async with providing(script) as provider, serving(in_front_of(provider)) as running:
        got = await post(
            f"{running.url}/v1/completions", b'{"model":"gpt-3.5-turbo-instruct","prompt":"a"}'
        )
    assert got.status == 502


async def test_usage_is_read_off_what_passes() -> None:
    usage = b'{"id":"x","choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":50}}'
    settings = {"LOG_LEVEL": "error"}
    async with (
        providing(answers(usage)) as provider,
        serving({**in_front_of(provider), **settings}) as running,
    ):
        await post(f"{running.url}/v1/completions", b'{"model":"gpt-4o-mini","prompt":"a"}')
        wanted = 'llm_tokens_used_total{model="gpt-4o-mini",provider="openai",type="input"} 1000'
        async with asyncio.timeout(5):
            # The call is settled right behind its last byte.
            while wanted not in (await get(running.url + "/metrics")).body.decode():
                await asyncio.sleep(0.01)


async def test_a_providers_own_paths_are_closed_unless_it_is_named() -> None:
    async with providing(answers(b'{"ok":true}')) as provider:
        async with serving(in_front_of(provider)) as running:
            assert (await get(running.url + "/openai/v1/fine_tuning/jobs")).status == 404
        settings = {**in_front_of(provider), "PASS_THROUGH": "openai"}
        async with serving(settings) as running:
            for path in ("/openai/v1/fine_tuning/jobs?limit=2", "/openai/fine_tuning/jobs?limit=2"):
                got = await get(running.url + path, {"openai-beta": "x", "cookie": "c=canary"})
                assert (got.status, got.body) == (200, b'{"ok":true}')
            assert (await get(running.url + "/anthropic/v1/models")).status == 404
            climbing = await _raw(
                running.port, b"GET /openai/../secret HTTP/1.1\r\nhost: localhost\r\n\r\n"
            )
            assert b"404" in climbing.split(b"\r\n")[0] or b"400" in climbing.split(b"\r\n")[0]
            encoded = await _raw(
                running.port,
                b"GET /openai/%2e%2e/%2e%2e/secret HTTP/1.1\r\nhost: localhost\r\n\r\n",
            )
            assert b" 400 " in encoded.split(b"\r\n")[0]
    assert [g.path for g in provider.got] == ["/v1/fine_tuning/jobs?limit=2"] * 2
    assert provider.got[0].headers["openai-beta"] == "x"
    assert "canary" not in str(provider.got[0].headers["authorization"]).replace(
        "sk-canary-openai", ""
    )
    assert "cookie" not in provider.got[0].headers


async def _raw(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    got = await asyncio.wait_for(reader.read(4096), 5)
    writer.close()
    return got


async def test_an_answer_that_breaks_off_does_not_look_whole() -> None:
    async def breaks(got: Got, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ncontent-length: 100\r\n\r\nhalf"
        )
        await writer.drain()

    body: dict[str, Any] = {"model": "tts-1", "voice": "alloy", "input": "x"}
    async with (
        providing(breaks) as provider,
        serving(in_front_of(provider)) as running,
        httpx.AsyncClient() as http,
    ):
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await http.post(f"{running.url}/v1/audio/speech", json=body)


async def test_an_unknown_provider_is_not_found() -> None:
    async with serving({}) as running, client(running.url) as openai:
        with pytest.raises(NotFoundError):
            await openai.audio.speech.create(
                model="x", voice="v", input="x", extra_headers={"x-gateway-provider": "nope"}
            )


@pytest.mark.parametrize("where", ["in the beginning", "behind a file"])
async def test_a_form_names_one_model(where: str) -> None:
    first = b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'
    file = b'--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n' + b"x" * MIB
    second = b'\r\n--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nother\r\n--b--\r\n'
    body = first + second[2:] if where == "in the beginning" else first + file + second
    async with (
        providing(answers(b'{"text":"ok"}')) as provider,
        serving(in_front_of(provider)) as run,
    ):
        got = await post(
            f"{run.url}/v1/audio/transcriptions",
            body,
            {"content-type": "multipart/form-data; boundary=b"},
        )
    assert got.status == 400
    assert json.loads(got.body)["error"]["param"] == "model"


@pytest.mark.parametrize(
    "path", ["files", "v1/files/file-1", "v1%2ffiles", "batches", "Responses/r"]
)
async def test_what_tenants_share_at_a_provider_is_not_passed_through(path: str) -> None:
    async with providing(answers(b"{}")) as provider:
        settings = {**in_front_of(provider), "PASS_THROUGH": "openai"}
        async with serving(settings) as running:
            assert (await get(f"{running.url}/openai/{path}")).status == 403
    assert provider.got == []


async def test_a_provider_that_fails_what_passes_is_left_alone_and_found_well_again() -> None:
    failing, well = answers(b'{"error":{"message":"down"}}', status=500), answers(b'{"ok":true}')
    body = b'{"model":"gpt-3.5-turbo-instruct","prompt":"a"}'
    async with providing(failing) as provider, serving(in_front_of(provider)) as running:
        path = f"{running.url}/v1/completions"
        statuses = [(await post(path, body)).status for _ in range(25)]
        assert statuses == [500] * 20 + [503] * 5
        assert len(provider.got) == 20
        refused = await post(path, body)
        assert b"targets_unavailable" in refused.body
        assert 1 <= int(refused.headers["retry-after"]) <= 5
        vitals = running.gateway.router.directory.vitals.of("openai", "pass-through")
        assert vitals.in_flight == 0
        provider.script = well
        vitals.breaker.retry_at = 0.0
        for _ in range(5):
            assert (await post(path, body)).status == 200
        assert vitals.breaker.state == "closed"


async def test_what_is_the_callers_or_a_keys_fault_opens_no_breaker_for_what_passes() -> None:
    for status in (400, 404, 422, 429):
        script = answers(b'{"error":{"message":"no"}}', status=status)
        async with providing(script) as provider, serving(in_front_of(provider)) as running:
            body = b'{"model":"gpt-3.5-turbo-instruct","prompt":"a"}'
            for _ in range(30):
                assert (await post(f"{running.url}/v1/completions", body)).status == status


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_provider_that_answers_before_it_has_read_all_gets_no_other_call_on_that_connection(
    chunked: bool,
) -> None:
    """What was not sent of the body would be awaited, and the next call taken for it."""
    seen: list[list[bytes]] = []

    async def hasty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads = [await reader.readuntil(b"\r\n\r\n")]
        seen.append(heads)
        body = b'{"text":"too large"}'
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n%b" % (len(body), body)
        )
        with contextlib.suppress(OSError):
            while piece := await reader.read(65536):
                heads.append(piece)
        writer.close()

    form = b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--x\r\n'
    server = await asyncio.start_server(hasty, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    environ = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1"}
    async with serving(environ) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        length = b"transfer-encoding: chunked" if chunked else b"content-length: 100000"
        first = b"%x\r\n%b\r\n" % (len(form), form) if chunked else form
        writer.write(
            b"POST /v1/audio/transcriptions HTTP/1.1\r\nhost: localhost\r\n%b\r\n"
            b"content-type: multipart/form-data; boundary=x\r\n\r\n%b" % (length, first)
        )
        for _ in range(200):
            if seen and seen[0]:
                break
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        writer.write(b"5\r\n12345\r\n" if chunked else b"12345")
        async with asyncio.timeout(5):
            assert b"too large" in await reader.readuntil(b'"}')
        asked = {"model": "gpt-4o", "messages": [{"role": "user", "content": "secret"}]}
        await post(f"{running.url}/v1/chat/completions", json.dumps(asked).encode(),
                   {"x-gateway-timeout-ms": "3000"})  # fmt: skip
        writer.close()
    server.close()
    calls = [b"/chat/completions" in b"".join(heads) for heads in seen]
    assert calls == [False, True]


MODEL = b'content-disposition: form-data; name="model"\r\n\r\nwhisper-1'
HIDDEN = [
    b'content-disposition: form-data; name="model"\r\n\r\ngpt-4o-transcribe',
    b'content-disposition: form-data; padding="%b"; name="model"\r\n\r\nx' % (b"p" * 200),
    b"content-disposition: form-data; name=model\r\n\r\nx",
    b'Content-Disposition : form-data; name="model"\r\n\r\nx',
    b'content-disposition: form-data;\r\n name="model"\r\n\r\nx',
    b'content-disposition: form-data; name="mod\\el"\r\n\r\nx',
    b"content-disposition: form-data; name*=utf-8''model\r\n\r\nx",
    b'x-padding: %b\r\ncontent-disposition: form-data; name="model"\r\n\r\nx' % (b"p" * 500),
    b'content-disposition: form-data; name="other"; name="model"\r\n\r\nx',
    b'content-disposition: form-data; name="model"; filename="x"\r\n\r\nx',
]


@pytest.mark.parametrize("cut", [1, 7, 1000])
@pytest.mark.parametrize("part", HIDDEN)
async def test_a_form_cannot_name_a_second_model_that_no_rule_has_seen(
    part: bytes, cut: int
) -> None:
    body = b"--x\r\n" + MODEL + b"\r\n--x\r\n" + part + b"\r\n--x--\r\n"

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), cut):
            yield body[at : at + cut]

    whole: list[bytes] = []

    async def patient(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        with contextlib.suppress(asyncio.IncompleteReadError):
            whole.append(await reader.readuntil(b"\r\n0\r\n\r\n"))
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
        writer.close()

    server = await asyncio.start_server(patient, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    environ = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1"}
    async with serving(environ) as running, httpx.AsyncClient() as http:
        got = await http.post(
            f"{running.url}/v1/audio/transcriptions", content=pieces(),
            headers={"content-type": "multipart/form-data; boundary=x"},
        )  # fmt: skip
        assert got.status_code == 400, got.text
        error = got.json()["error"]
        assert error["param"] == "model" or error["code"] == "invalid_form"
    server.close()
    assert whole == []


async def test_at_the_limit_of_open_files_no_provider_is_held_to_be_ill(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a plain call is answered: 503, and not by a breaker that opens for what is not its provider's."""

    async def full(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    body = b'{"model": "tts-1", "voice": "alloy", "input": "x"}'
    async with (
        providing(answers(b"sound")) as provider,
        serving(in_front_of(provider)) as running,
    ):
        with monkeypatch.context() as limit:
            limit.setattr(Pool, "_reach", full)
            for _ in range(30):
                got = await post(running.url + "/v1/audio/speech", body)
                assert got.status == 503
                assert json.loads(got.body)["error"]["code"] == "gateway_exhausted"
                assert "retry-after" in got.headers
        assert (await post(running.url + "/v1/audio/speech", body)).status == 200
