"""A canary in every key, prompt and answer shows nowhere: log, metrics, traces, errors, audit without
bodies, the process's title, what `check` and `audit verify` print."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.conftest import start_gateway
from tests.integration.test_account import ANSWER, ASKED, CHAT
from tests.integration.test_traces import PIECES
from tests.otlp import receiving_http
from tests.serving import Answered, Script, answers, get, in_front_of, post, providing, streams

ADMIN = {"authorization": "Bearer admin-canary"}
ROOT = Path(__file__).parents[2]


def scripts() -> list[tuple[str, Script]]:
    failing = b'{"error":{"message":"canary-error with sk-canary-openai","type":"x"}}'
    return [
        ("good", answers(ANSWER)),
        ("stream", streams(*PIECES)),
        ("cut stream", streams(PIECES[0])),
        ("failing", answers(failing, 500)),
        ("refusing the key", answers(failing, 401)),
        ("limiting", answers(failing, 429)),
        ("no JSON", answers(b"<html>canary-page")),
        ("half an answer", answers(ANSWER[:80])),
    ]


@pytest.mark.parametrize("log_format", ["json", "text"])
async def test_no_canary_shows_at_any_level(tmp_path: Path, log_format: str) -> None:
    with receiving_http() as receiver:
        environ = {
            "LOG_LEVEL": "debug",
            "LOG_FORMAT": log_format,
            # Every script is to be met.
            "CACHE_TTL": "0",
            "GATEWAY_MODE": "debug",
            "ADMIN_KEY": "admin-canary",
            "AUDIT_KEY": "audit-canary",
            "ACCESS": "open",
            "AUDIT": "metadata",
            "DATA_DIR": str(tmp_path / "data"),
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "OTEL_EXPORTER_OTLP_HEADERS": "authorization=otlp-canary",
        }
        got: list[Answered] = []
        async with providing(answers(ANSWER)) as provider:
            environ |= in_front_of(provider)
            gateway = start_gateway(tmp_path, **environ)
            try:
                for _, script in scripts():
                    provider.script = script
                    for more in (b"", b',"stream":true', b',"tools":"canary-field"'):
                        body = ASKED[:-1] + more + b"}"
                        headers = {"authorization": "Bearer sk-canary-caller"}
                        answer = await post(gateway.url + CHAT, body, headers)
                        if answer.status != 200:
                            got.append(answer)
                got.append(await post(gateway.url + CHAT, b'{"canary-prompt'))
                got.append(await get(gateway.url + "/admin/keys", {"x-api-key": "canary-guess"}))
                await asyncio.sleep(0.5)
                title = b"".join(
                    Path(f"/proc/{gateway.process.pid}/{name}").read_bytes()
                    for name in ("cmdline", "comm")
                )
                shown = {
                    "metrics": (await get(gateway.url + "/metrics", ADMIN)).body,
                    "audit": (await get(gateway.url + "/admin/audit", ADMIN)).body,
                    "ready": (await get(gateway.url + "/ready")).body,
                    "title": title,
                    # A provider's own words to its caller may hold the caller's; never our keys.
                    "errors": b"".join(a.body for a in got).replace(b"canary-error with", b""),
                }
            finally:
                gateway.stop()
    shown["log"] = gateway.log.read_bytes()
    attempts = b'"event":"attempt"' if log_format == "json" else b" attempt "
    assert shown["log"].count(attempts) > 20
    shown["traces"] = b"".join(receiver.raw)
    for arguments in (["check"], ["audit", "verify"]):
        done = subprocess.run(
            [sys.executable, "-m", "ai_gateway", *arguments],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"), **environ},
            cwd=tmp_path, capture_output=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        shown[" ".join(arguments)] = done.stdout + done.stderr
    assert json.loads(shown["audit"])["data"]
    assert len(receiver.spans) > 20
    assert [name for name, text in shown.items() if b"canary" in text] == []
