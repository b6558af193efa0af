"""Whatever a caller sends: a clear error in the caller's dialect, naming the field, and nothing breaks."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator

import pytest

from ai_gateway.edge import protocol
from tests.figures import Figure
from tests.serving import Running, answers, in_front_of, post, providing, serving

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
GOOD = b'{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}'
_PART = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    b"content-length: 9\r\n\r\n{"
)


@pytest.fixture
async def running() -> AsyncGenerator[Running, None]:
    async with (
        providing(answers(b"{}")) as provider,
        serving({**in_front_of(provider), "MAX_BODY_BYTES": "4000000"}) as running,
    ):
        yield running


def chat(**fields: object) -> bytes:
    given = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], **fields}
    return json.dumps({k: v for k, v in given.items() if v is not ...}).encode()


BAD = {
    "empty": (b"", None, "invalid_json"),
    "not JSON": (b"{model: 1}", None, "invalid_json"),
    "an array": (b"[]", None, "invalid_json"),
    "a string": (b'"hi"', None, "invalid_json"),
    "byte order mark": (b"\xef\xbb\xbf" + GOOD, None, "invalid_json"),
    "invalid UTF-8": (GOOD.replace(b"hi", b"\xff\xfe"), None, "invalid_json"),
    "invalid UTF-8 in a field nobody reads": (
        GOOD[:-1] + b',"x":"\xff"}',
        None,
        "invalid_json",
    ),
    "NaN": (GOOD[:-1] + b',"temperature":NaN}', None, "invalid_json"),
    "Infinity": (GOOD[:-1] + b',"x":-Infinity}', None, "invalid_json"),
    "10^400": (GOOD[:-1] + b',"temperature":1e400}', "temperature", "invalid_value"),
    "nested 10^5 deep": (
        GOOD[:-1] + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        None,
        "invalid_json",
    ),
    "a lone surrogate": (GOOD.replace(b"hi", b"\\ud800"), None, "invalid_json"),
    "a field twice": (GOOD[:-1] + b',"model":"gpt-5"}', "model", "duplicate_field"),
    "a field twice, spaced": (
        b'{ "model":"a","model" : "b","messages":[{"role":"user","content":""}]}',
        "model",
        "duplicate_field",
    ),
    "trailing bytes": (GOOD + b"x", None, "invalid_json"),
    "cut short": (GOOD[:-3], None, "invalid_json"),
    "no model": (chat(model=...), "model", "missing_required_parameter"),
    "an empty model": (chat(model=""), "model", "invalid_model"),
    "a model of NUL": (chat(model="gpt-4o\0"), "model", "invalid_model"),
    "a model with a line break": (chat(model="gpt-4o\r\nx: y"), "model", "invalid_model"),
    "a model of 10 kB": (chat(model="x" * 10_000), "model", "invalid_model"),
    "a number for a model": (chat(model=7), "model", "invalid_value"),
    "no messages": (chat(messages=...), "messages", "missing_required_parameter"),
    "empty messages": (chat(messages=[]), "messages", "empty_array"),
    "text for messages": (chat(messages="hi"), "messages", "invalid_value"),
    "a message without a role": (
        chat(messages=[{"content": "x"}]),
        "messages[0].role",
        "missing_required_parameter",
    ),
    "a number for a content": (
        chat(messages=[{"role": "user", "content": 5}]),
        "messages[0].content",
        "invalid_value",
    ),
    "a temperature of 3": (chat(temperature=3), "temperature", None),
    "negative max_tokens": (chat(max_tokens=-1), "max_tokens", None),
    "text for stream": (chat(stream="yes"), "stream", "invalid_value"),
}


@pytest.mark.parametrize("case", BAD)
async def test_bad_chat_bodies_are_refused_naming_the_field(running: Running, case: str) -> None:
    body, field, code = BAD[case]
    got = await post(running.url + CHAT, body)
    error = json.loads(got.body)["error"]
    assert got.status == 400
    assert error["type"] == "invalid_request_error"
    assert error["param"] == field
    assert error["code"] == code
    assert len(error["message"]) > 15
    assert "Traceback" not in error["message"]


@pytest.mark.parametrize("case", ["not JSON", "nested 10^5 deep", "a lone surrogate", "empty"])
async def test_messages_callers_are_refused_in_their_own_words(running: Running, case: str) -> None:
    got = await post(running.url + MESSAGES, BAD[case][0])
    body = json.loads(got.body)
    assert got.status == 400
    assert body["type"] == "error"
    assert body["error"]["type"] == "invalid_request_error"
    assert body["request_id"] == got.headers["request-id"]


async def test_a_messages_caller_must_say_max_tokens(running: Running) -> None:
    got = await post(running.url + MESSAGES, GOOD)
    assert got.status == 400
    assert "max_tokens" in json.loads(got.body)["error"]["message"]


@pytest.mark.parametrize(
    "model", ["../../etc/passwd", "no such model", "../v1/models", "gpt4o", "%2e%2e"]
)
@pytest.mark.parametrize("path", [CHAT, MESSAGES])
async def test_odd_model_names_are_not_found_and_never_become_a_path(
    running: Running, path: str, model: str
) -> None:
    got = await post(running.url + path, chat(model=model, max_tokens=5))
    assert got.status == 404
    assert "model" in json.loads(got.body)["error"]["message"]


async def test_a_near_name_is_offered(running: Running) -> None:
    got = await post(running.url + CHAT, chat(model="gpt4o"))
    assert "gpt-4o" in json.loads(got.body)["error"]["message"]


async def test_an_unconfigured_provider_names_the_missing_variable(running: Running) -> None:
    got = await post(running.url + CHAT, chat(model="xai/grok-4"))
    error = json.loads(got.body)["error"]
    assert got.status == 404
    assert error["code"] == "provider_not_configured"
    assert "XAI_API_KEY" in error["message"]


async def test_a_hundred_thousand_messages_are_read_in_good_time(
    running: Running, figure: Figure
) -> None:
    body = chat(messages=[{"role": "user", "content": "x"}] * 100_000)
    started = time.monotonic()
    got = await post(running.url + CHAT, body)
    assert got.status == 502  # the scripted provider answers nonsense: it was asked
    figure("answered after", f"{time.monotonic() - started:.2f} s")
    assert time.monotonic() - started < 2


async def test_other_content_types_are_refused(running: Running) -> None:
    got = await post(running.url + CHAT, GOOD, {"content-type": "text/plain"})
    assert got.status == 415
    got = await post(running.url + CHAT, GOOD, {"content-encoding": "gzip"})
    assert got.status == 415
    assert json.loads(got.body)["error"]["param"] == "content-encoding"


@pytest.mark.parametrize("value", ["0", "-1", "abc", "1e3", "99999999999", "٣"])
async def test_a_senseless_time_limit_is_refused(running: Running, value: str) -> None:
    got = await _raw(
        running,
        _head(CHAT, len(GOOD), f"x-gateway-timeout-ms: {value}\r\n".encode()) + GOOD,
    )
    assert b" 400 " in got.split(b"\r\n")[0]
    assert b"x-gateway-timeout-ms" in got


async def test_a_senseless_user_is_refused(running: Running) -> None:
    got = await post(running.url + CHAT, GOOD, {"x-user-id": "u" * 300})
    assert got.status == 400
    assert json.loads(got.body)["error"]["param"] == "X-User-ID"


@pytest.mark.parametrize("declared", [True, False])
async def test_a_huge_body_is_refused_without_being_read(running: Running, declared: bool) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    if declared:
        writer.write(_head(CHAT, 100_000_000))
        writer.write(b"x" * 1000)
        await writer.drain()
    else:
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        for _ in range(80):
            writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            await writer.drain()
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 2)
    assert b" 413 " in head.split(b"\r\n")[0]
    assert b"connection: close" in head
    assert b"request_too_large" in await asyncio.wait_for(reader.read(1000), 2)
    writer.close()


async def test_a_header_bomb_is_refused(running: Running) -> None:
    many = b"".join(b"x-%d: y\r\n" % i for i in range(5000))
    assert b" 431 " in await _raw(running, _head(CHAT, 0, many))
    assert b" 431 " in await _raw(running, _head(CHAT, 0, b"x: " + b"y" * 200_000 + b"\r\n"))
    endless = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * 300_000
    assert b" 431 " in await _raw(running, endless)
    unended = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n" + b"a:\r\n" * 300
    assert b" 431 " in await _raw(running, unended)


@pytest.mark.parametrize(
    "lines",
    [
        b"content-length: 4\r\ntransfer-encoding: chunked\r\n",
        b"content-length: 4\r\ncontent-length: 5\r\n",
        b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
        b"content-length: -1\r\n",
        b"x-user-id: a\rb\r\n",
        b"x-user-id: a\nb\r\n",
        b"bad name: x\r\n",
    ],
)
async def test_smuggling_and_split_headers_are_refused(running: Running, lines: bytes) -> None:
    got = await _raw(
        running,
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        + lines
        + b"\r\n0\r\n\r\nGET /health HTTP/1.1\r\nhost: localhost\r\n\r\n",
    )
    assert b" 400 " in got.split(b"\r\n")[0]
    assert b"healthy" not in got


async def test_trailers_never_become_headers(running: Running) -> None:
    body = b"%x\r\n%s\r\n0\r\nx-user-id: \x01evil\r\n\r\n" % (len(GOOD), GOOD)
    got = await _raw(
        running,
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"transfer-encoding: chunked\r\n\r\n" + body,
    )
    assert b"X-User-ID" not in got


async def test_wrong_methods_and_unknown_paths_are_told(running: Running) -> None:
    got = await _raw(running, b"GET /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n\r\n")
    assert b" 405 " in got
    assert b"allow: POST" in got
    got = await _raw(
        running, b"POST /v1/nothing HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n"
    )
    assert b" 404 " in got
    assert b"unknown_path" in got


async def test_a_large_body_in_one_piece_with_the_end_of_its_head_is_no_large_head() -> None:
    body = chat(messages=[{"role": "user", "content": "x" * 200_000}])
    head = _head(CHAT, len(body))
    async with serving({}) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(head[:40])
        await asyncio.sleep(0.05)
        writer.write(head[40:] + body)
        got = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        writer.close()
    assert b" 200 " in got.split(b"\r\n")[0]


OFFERS = {
    "h2c, as Java's HttpClient makes it": (
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n"
    ),
    "of something else": b"upgrade: tls/1.2\r\nconnection: keep-alive, upgrade\r\n",
}


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("pause", [0, 0.05])
async def test_an_offer_to_upgrade_is_passed_over_and_the_body_read(
    offer: str, pause: float
) -> None:
    head = _head(CHAT, len(GOOD), OFFERS[offer])
    async with serving({}) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        for _ in range(2):
            # The connection stays fit for the next request.
            writer.write(head)
            await asyncio.sleep(pause)
            writer.write(GOOD)
            got = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
            assert b" 200 " in got.split(b"\r\n")[0]
            size = int(got.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            assert b"simulator" in await reader.readexactly(size)
        writer.close()


async def test_an_upgrade_cannot_smuggle_a_request(running: Running) -> None:
    hidden = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"
    head = _head(CHAT, len(hidden), b"connection: upgrade\r\nupgrade: h2c\r\n")
    got = await _raw(running, head + hidden)
    assert b" 400 " in got.split(b"\r\n")[0]
    assert b"healthy" not in got


@pytest.mark.parametrize("line", [b"CONNECT /v1/models HTTP/1.1", b"CONNECT a.b:443 HTTP/1.1"])
async def test_no_tunnel_is_opened(running: Running, line: bytes) -> None:
    got = await _raw(running, line + b"\r\nhost: localhost\r\n\r\n")
    assert got.split(b" ")[1] in (b"400", b"405")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", b""),
        (b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nx-slow: ", b"408"),
        (b"POST /v1/nothing HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{", b"404"),
        (_PART, b"408"),
    ],
    ids=["nothing at all", "half a head", "half a body nobody reads", "half a body"],
)
async def test_a_request_that_stops_coming_is_ended(
    running: Running, monkeypatch: pytest.MonkeyPatch, sent: bytes, status: bytes
) -> None:
    monkeypatch.setattr(protocol, "PATIENCE", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(sent)
    got = await asyncio.wait_for(reader.read(), 2)
    assert got.split(b" ", 2)[1:2] == ([status] if status else [])
    writer.close()


async def test_a_body_that_keeps_coming_is_waited_for(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "PATIENCE", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(_head(CHAT, len(GOOD)))
    for byte in GOOD[:10]:
        await asyncio.sleep(0.05)
        writer.write(bytes([byte]))
    writer.write(GOOD[10:])
    got = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 2)
    assert b" 502 " in got  # the scripted provider answers nonsense: it was asked
    writer.close()


async def test_a_half_request_behind_another_does_not_spoil_its_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(protocol, "PATIENCE", 0.2)
    async with serving({}) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        slow = b"x-simulator-first-token-ms: 600\r\n"
        writer.write(_head(CHAT, len(GOOD), slow) + GOOD + b"POST /v1/messages HTTP/1.1\r\nx: ")
        got = await asyncio.wait_for(reader.read(), 3)
        writer.close()
    assert got == b""


def _head(path: str, length: int, more: bytes = b"") -> bytes:
    return (
        b"POST %s HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n%s\r\n" % (path.encode(), length, more)
    )


async def _raw(running: Running, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(data)
    got = b""
    try:
        async with asyncio.timeout(3):
            while piece := await reader.read(65536):
                got += piece
                if b"\r\n\r\n" in got and got.rstrip().endswith(b"}"):
                    break
    except (TimeoutError, ConnectionError):
        pass
    writer.close()
    return got


ELSEWHERE = [
    {"host": "evil.example"},
    {"host": "evil.example:8080"},
    {"host": "127.0.0.1.evil.example"},
    {"origin": "https://evil.example"},
    {"host": "[::1"},
]


@pytest.mark.parametrize("headers", ELSEWHERE)
async def test_a_web_page_that_makes_its_name_mean_this_machine_is_turned_away(
    headers: dict[str, str],
) -> None:
    async with serving({}) as running:
        got = await raw(running.port, headers)
        assert b" 403 " in got.split(b"\r\n")[0]
        assert b"not_this_machine" in got
    async with serving({"ACCESS": "open"}) as running:
        assert b" 200 " in (await raw(running.port, headers)).split(b"\r\n")[0]
    async with serving({"ACCESS": "until-keys"}) as running:
        status = b" 403 " if "origin" in headers else b" 200 "
        assert status in (await raw(running.port, headers)).split(b"\r\n")[0]


@pytest.mark.parametrize(
    "headers",
    [{"host": "localhost"}, {"host": "127.0.0.1:1"}, {"host": "[::1]:8080"},
     {"origin": "http://localhost:3000"}],
)  # fmt: skip
async def test_programs_on_this_machine_are_let_in(headers: dict[str, str]) -> None:
    async with serving({}) as running:
        assert b" 200 " in (await raw(running.port, headers)).split(b"\r\n")[0]


async def raw(port: int, headers: dict[str, str]) -> bytes:
    lines = "".join(f"{n}: {v}\r\n" for n, v in {"host": "localhost", **headers}.items())
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /health HTTP/1.1\r\n{lines}connection: close\r\n\r\n".encode())
    got = await asyncio.wait_for(reader.read(-1), 5)
    writer.close()
    return got
