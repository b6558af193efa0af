"""What a newcomer sees: no key, one command."""

import subprocess
from pathlib import Path

from openai import OpenAI

from .conftest import Process, start_gateway


def test_the_simulator_answers_and_says_so(directory: Path) -> None:
    gateway: Process = start_gateway(directory)
    try:
        client = OpenAI(base_url=f"{gateway.url}/v1", api_key="any")
        for model in ("gpt-4o", "claude-sonnet-4-5", "gemini-2.5-flash", "whatever"):
            raw = client.chat.completions.with_raw_response.create(
                model=model, messages=[{"role": "user", "content": "hi"}]
            )
            assert raw.headers["x-gateway-provider"] == "simulator"
            assert "simulator" in (raw.parse().choices[0].message.content or "")
    finally:
        gateway.stop()
    assert isinstance(gateway.process, subprocess.Popen)
    assert gateway.process.returncode == 0
