"""A fault of the gateway's own, wherever a call comes in: counted, in the log, and the caller is told."""

import json
from typing import Any, NoReturn

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from ai_gateway.pipeline import Pipeline
from tests.serving import Running, get, post, serving

SECRET = "a caller's words"
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": SECRET}]}


async def _broken(*_: object, **__: object) -> NoReturn:
    raise ZeroDivisionError(SECRET)


async def by_post(running: Running, path: str) -> dict[str, Any]:
    answer = await post(running.url + path, json.dumps(CHAT).encode())
    assert answer.status == 500
    return json.loads(answer.body)


async def by_socket(running: Running, path: str) -> dict[str, Any]:
    async with connect(running.url.replace("http", "ws") + path) as socket:
        await socket.send(json.dumps(CHAT))
        return json.loads(await socket.recv())


async def by_realtime(running: Running, path: str) -> dict[str, Any]:
    with pytest.raises(InvalidStatus) as denied:
        async with connect(running.url.replace("http", "ws") + path):
            pass
    assert denied.value.response.status_code == 500
    return json.loads(denied.value.response.body)


@pytest.mark.parametrize(
    ("asked", "path", "step"),
    [
        (by_post, "/v1/chat/completions", "run"),
        (by_post, "/v1/completions", "forward"),
        (by_socket, "/v1/chat/completions", "run"),
        (by_realtime, "/v1/realtime?model=gpt-realtime", "realtime"),
    ],
)
async def test_a_fault_of_its_own_is_counted_logged_and_told(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    asked: Any,
    path: str,
    step: str,
) -> None:
    monkeypatch.setattr(Pipeline, step, _broken)
    async with serving({}) as running:
        body = await asked(running, path)
        metrics = (await get(running.url + "/metrics")).body.decode()
    assert body["error"]["code"] == "internal_error"
    assert "its log names this request" in body["error"]["message"]
    assert "gateway_internal_errors_total 1" in metrics
    said = capfd.readouterr().out
    lines = [json.loads(line) for line in said.splitlines() if '"internal_error"' in line]
    assert [(line["endpoint"], line["error"]) for line in lines] == [
        (path.partition("?")[0], "ZeroDivisionError")
    ]
    assert lines[0]["where"].startswith("test_last_resort.py:")
    assert lines[0]["request_id"]
    assert SECRET not in said
