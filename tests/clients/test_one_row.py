"""A provider nobody has heard of: one row in the table, and everything else follows."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from anthropic import Anthropic
from google import genai
from openai import OpenAI

from .conftest import Process, start_gateway

ROOT = Path(__file__).parents[2]
ROW = """
[acme]
title = "Acme"
base_url = "https://api.acme.example/v1"
embeddings = true
model_prefixes = ["acme-"]
"""


@pytest.fixture(scope="module")
def gateway_with_the_row(
    tmp_path_factory: pytest.TempPathFactory, simulator: Process
) -> Iterator[Process]:
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(ROOT / "src/ai_gateway", source / "ai_gateway")
    with (source / "ai_gateway/catalogue/providers.toml").open("a", encoding="utf-8") as table:
        table.write(ROW)
    running = start_gateway(
        tmp_path_factory.mktemp("acme"),
        PYTHONPATH=str(source),
        ACME_API_KEY="sk-acme",
        ACME_BASE_URL=f"{simulator.url}/v1",
    )
    yield running
    running.stop()


def test_it_is_asked_by_its_models_names_in_every_dialect(gateway_with_the_row: Process) -> None:
    url = gateway_with_the_row.url
    openai = OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0)
    asked = openai.chat.completions.with_raw_response.create(
        model="acme-1", messages=[{"role": "user", "content": "Hello Acme"}]
    )
    assert "Hello Acme" in (asked.parse().choices[0].message.content or "")
    assert asked.headers["x-gateway-provider"] == "acme"
    assert "Hello Acme" in openai.responses.create(model="acme-1", input="Hello Acme").output_text
    vectors = openai.embeddings.create(model="acme/vectors", input=["a", "b"])
    assert len(vectors.data) == 2
    message = Anthropic(base_url=url, api_key="any", max_retries=0).messages.create(
        model="acme-1", max_tokens=100, messages=[{"role": "user", "content": "Hello Acme"}]
    )
    assert "Hello Acme" in message.content[0].text  # type: ignore[union-attr]
    client = genai.Client(api_key="any", http_options={"base_url": url})
    found = client.models.generate_content(model="acme-1", contents="Hello Acme")
    assert "Hello Acme" in (found.text or "")


def test_it_streams_and_its_errors_are_told(gateway_with_the_row: Process) -> None:
    client = OpenAI(base_url=f"{gateway_with_the_row.url}/v1", api_key="any", max_retries=0)
    chunks = client.chat.completions.create(
        model="acme-1", messages=[{"role": "user", "content": "Hello"}], stream=True
    )
    assert "Hello" in "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


def test_without_the_row_it_is_unknown(tmp_path: Path) -> None:
    environ = {"PYTHONPATH": str(ROOT / "src"), "ACME_API_KEY": "sk-acme"}
    told = subprocess.run(
        [sys.executable, "-m", "ai_gateway", "check"],
        capture_output=True, text=True, env=environ, cwd=tmp_path, timeout=30,
    )  # fmt: skip
    assert "acme" not in told.stdout.lower().replace("acme_api_key", "")
