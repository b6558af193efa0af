"""Providers of one's own in gateway.yaml, in every dialect, asked by callers of every other."""

import json
from pathlib import Path
from typing import Any

import pytest

from ai_gateway.simulator.options import SimulatorOptions
from ai_gateway.simulator.server import start
from tests.serving import post, serving

ASKED: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "Hello Acme"}]},
    "/v1/responses": {"input": "Hello Acme"},
    "/v1/messages": {"max_tokens": 99, "messages": [{"role": "user", "content": "Hello Acme"}]},
    "/v1beta/models/acme/m-1:generateContent": {"contents": [{"parts": [{"text": "Hello Acme"}]}]},
}


@pytest.mark.parametrize("more", ["", "responses: true", "dialect: openai_responses", "dialect: anthropic_messages", "dialect: gemini"])  # fmt: skip
async def test_its_dialect_is_spoken_to_it_at_its_address(more: str, tmp_path: Path) -> None:
    simulator = await start(SimulatorOptions(require_key=True))
    config = tmp_path / "gateway.yaml"
    address = f"http://127.0.0.1:{simulator.port}"
    fields = "".join(
        f"    {line}\n" for line in (f"base_url: {address}", "key: env:ACME", more) if line
    )
    config.write_text(f"providers:\n  acme:\n{fields}")
    try:
        async with serving({"ACME": "sk-acme"}, config) as running:
            for path, request in ASKED.items():
                named = request if "v1beta" in path else {**request, "model": "acme/m-1"}
                got = await post(running.url + path, json.dumps(named).encode())
                assert got.status == 200, (path, got.body)
                assert b"Hello Acme" in got.body
                assert got.headers["x-gateway-provider"] == "acme"
                assert got.headers["x-gateway-model"] == "m-1"
    finally:
        await simulator.stop()
