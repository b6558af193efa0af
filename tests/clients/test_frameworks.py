"""Frameworks people build with, unmodified, each in a script of its own (`python/`), from a venv of
their own. Slow, because they are many and large: `make test-clients` installs them first.

The gateway is asked in each client's dialect, for a model of OpenAI's and one of Anthropic's, so every
script goes once by relay and once by translation.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .conftest import Process

HERE = Path(__file__).parent / "python"
VENV = Path(__file__).parents[2] / ".venv-clients/bin"
MODELS = ["gpt-4o", "claude-sonnet-4-5"]
CITY = {"name": "example", "people": 1}
"""What the simulator answers to the scripts' schema."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not (VENV / "llm").exists(), reason="no .venv-clients here (`make test-clients` makes it)"
    ),
]


def environ(home: Path, **more: str) -> dict[str, str]:
    """Nothing of this machine's own keys, settings or caches."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "NO_COLOR": "1", **more}


def said(script: str, url: str, model: str, home: Path, **more: str) -> dict[str, Any]:
    done = subprocess.run(
        [VENV / "python", HERE / script, url, model],
        capture_output=True,
        text=True,
        timeout=120,
        env=environ(home, **more),
        cwd=home,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def assert_answered(got: dict[str, Any], text: str) -> None:
    assert text in got["whole"]
    assert got["streamed"] == got["whole"]
    assert got["usage"][0] == got["usage"][1] > 0
    assert got["tool"] == "get_weather"
    assert got["structured"] == CITY


@pytest.mark.parametrize("model", MODELS)
def test_langchain_openai(gateway: Process, tmp_path: Path, model: str) -> None:
    got = said("with_langchain_openai.py", gateway.url, model, tmp_path)
    assert_answered(got, "Hello from LangChain")
    assert "sunny in example" in got["after"]
    assert got["by_tool"] == CITY
    assert got["responses"] == got["whole"]
    assert got["error"] == "404"
    assert got["dimensions"] == 1536


@pytest.mark.parametrize("model", MODELS)
def test_langchain_anthropic(gateway: Process, tmp_path: Path, model: str) -> None:
    got = said("with_langchain_anthropic.py", gateway.url, model, tmp_path)
    assert_answered(got, "Hello from LangChain")
    assert "sunny in example" in got["after"]
    assert got["by_tool"] == CITY
    assert got["tokens"] > 0
    assert got["error"] == "404"


@pytest.mark.parametrize("model", MODELS)
def test_litellms_sdk(gateway: Process, tmp_path: Path, model: str) -> None:
    # It would fetch its price list from the network at its start.
    got = said("with_litellm.py", gateway.url, model, tmp_path, LITELLM_LOCAL_MODEL_COST_MAP="True")
    assert_answered(got, "Hello from LiteLLM")
    assert got["in_messages"] == got["whole"]
    assert got["responses"] == got["whole"]
    assert got["error"] == "404"
    assert got["dimensions"] == 1536


@pytest.mark.parametrize("model", MODELS)
def test_pydantic_ai(gateway: Process, tmp_path: Path, model: str) -> None:
    got = said("with_pydantic_ai.py", gateway.url, model, tmp_path)
    assert got["error"] == "404"
    assert list(got["dialects"]) == ["chat", "responses", "messages", "gemini"]
    for dialect in got["dialects"].values():
        assert_answered(dialect, "Hello from Pydantic AI")
        assert "sunny in example" in dialect["after"]
        assert dialect["by_tool"] == CITY


@pytest.mark.parametrize("model", MODELS)
def test_instructor(gateway: Process, tmp_path: Path, model: str) -> None:
    got = said("with_instructor.py", gateway.url, model, tmp_path)
    assert got.pop("list") == [CITY]
    assert len(got) == 4
    assert all(city == CITY for city in got.values()), got


@pytest.mark.parametrize("model", MODELS)
def test_the_llm_command_with_a_base_url_of_its_own(
    gateway: Process, tmp_path: Path, model: str
) -> None:
    (tmp_path / "extra-openai-models.yaml").write_text(
        f"- model_id: gateway\n  model_name: {model}\n  api_base: {gateway.url}/v1\n"
        "  supports_schema: true\n  supports_tools: true\n  vision: true\n"
    )

    def llm(*arguments: str) -> str:
        done = subprocess.run(
            [VENV / "llm", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            env=environ(tmp_path, LLM_USER_PATH=str(tmp_path), OPENAI_API_KEY="any"),
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    streamed = llm("-m", "gateway", "Hello from the command line")
    assert "Hello from the command line" in streamed
    assert llm("-m", "gateway", "--no-stream", "Hello from the command line") == streamed
    assert json.loads(llm("-m", "gateway", "--schema", "name, people int", "A city")) == CITY
    function = "def get_weather(city: str) -> str:\n    return 'sunny in ' + city"
    told = llm("-m", "gateway", "--functions", function, "What is the weather in Oslo?")
    assert "sunny in example" in told
