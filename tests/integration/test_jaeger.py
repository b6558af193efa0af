"""A real Jaeger takes the traces and shows them. Slow: it is built from its Go module, where Go is."""

import asyncio
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.integration.test_account import ANSWER, ASKED, CHAT
from tests.integration.test_traces import PARENT, TRACE_ID
from tests.serving import answers, get, in_front_of, post, providing, serving

_VERSION = "v1.76.0"
pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module")
def jaeger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """JAEGER names a binary that is there already (all-in-one, version 1)."""
    given = os.environ.get("JAEGER")
    if given:
        return Path(given)
    if shutil.which("go") is None:
        pytest.skip("Go is not on this machine, and JAEGER names no binary")
    folder = tmp_path_factory.mktemp("jaeger")
    binary = folder / "jaeger-all-in-one"
    module = "github.com/jaegertracing/jaeger"

    def go(*arguments: str) -> str:
        done = subprocess.run(
            ["nice", "-n", "19", "go", *arguments], cwd=folder, capture_output=True, text=True,
            env={**os.environ, "GOFLAGS": "-p=1 -mod=mod"},
        )  # fmt: skip
        if done.returncode != 0:
            pytest.skip(f"Jaeger could not be built: {done.stderr.strip()[-200:]}")
        return done.stdout

    # Its go.mod replaces a module, which `go install` refuses; and its own go.sum has the hashes.
    source = Path(json.loads(go("mod", "download", "-json", f"{module}@{_VERSION}"))["Dir"])
    text = (source / "go.mod").read_text().replace(f"module {module}", "module own", 1)
    (folder / "go.mod").write_text(text)
    shutil.copyfile(source / "go.sum", folder / "go.sum")
    (folder / "go.sum").chmod(0o644)
    (folder / "main.go").write_text("package main\n\nfunc main() {}\n")
    go("get", f"{module}@{_VERSION}")
    go("build", "-o", str(binary), f"{module}/cmd/all-in-one")
    return binary


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc", "as of old"])
async def test_a_call_can_be_looked_up_in_jaeger(jaeger: Path, protocol: str) -> None:
    process = subprocess.Popen(
        [jaeger, "--collector.otlp.http.host-port=127.0.0.1:4318",
         "--collector.otlp.grpc.host-port=127.0.0.1:4317", "--query.http-server.host-port=127.0.0.1:16686",
         "--admin.http.host-port=127.0.0.1:14269"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    environ = {
        "http/protobuf": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"},
        "grpc": {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        },
        "as of old": {"JAEGER_ENDPOINT": "http://127.0.0.1:14268/api/traces"},
    }[protocol]
    try:
        await _answer_of("http://127.0.0.1:14269/")
        async with (
            providing(answers(ANSWER)) as provider,
            serving(in_front_of(provider) | environ) as running,
        ):
            await post(running.url + CHAT, ASKED, {**PARENT, "x-request-id": "story-1"})
        found = await _answer_of(f"http://127.0.0.1:16686/api/traces/{TRACE_ID}")
    finally:
        process.terminate()
        process.wait(20)
    spans = {span["operationName"]: span for span in json.loads(found)["data"][0]["spans"]}
    assert {f"POST {CHAT}", "chat gpt-4o"} <= set(spans)
    tags = {tag["key"]: tag["value"] for tag in spans[f"POST {CHAT}"]["tags"]}
    assert tags["gateway.request_id"] == "story-1"
    assert tags["span.kind"] == "server"
    tags = {tag["key"]: tag["value"] for tag in spans["chat gpt-4o"]["tags"]}
    assert tags["gen_ai.usage.input_tokens"] == 1000


async def _answer_of(url: str) -> bytes:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            got = await get(url)
            if got.status == 200:
                return got.body
        except Exception:  # not there yet
            pass
        await asyncio.sleep(0.2)
    raise AssertionError(f"{url} does not answer")
