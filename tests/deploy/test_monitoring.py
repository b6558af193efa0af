"""Rules and dashboards ask for metrics that exist; promtool and a real Prometheus agree."""

import asyncio
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml
from scripts.dashboards import DASHBOARDS

from ai_gateway.telemetry.declared import METRICS
from tests.integration.test_account import ANSWER, ASKED, CHAT
from tests.serving import answers, get, in_front_of, post, providing, serving

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus/rules/ai-gateway.yml"
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not on this machine"
)
_NAMES = {
    name
    for metric in METRICS
    for name in (
        [metric.name]
        if metric.kind != "histogram"
        else [f"{metric.name}_{end}" for end in ("bucket", "sum", "count")]
    )
}
_LANGUAGE = {
    "sum", "rate", "increase", "by", "and", "or", "max", "topk", "histogram_quantile", "le",
}  # fmt: skip


def rules() -> list[dict[str, str]]:
    return [
        rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
    ]


def queries() -> Iterator[tuple[str, str]]:
    for rule in rules():
        yield rule.get("alert") or rule["record"], rule["expr"]
    for path in sorted((ROOT / "deploy/grafana/dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                yield f"{path.stem}: {panel['title']}", target["expr"]


def series_of(query: str) -> tuple[set[str], set[str]]:
    """The metrics that a query names, and the labels."""
    bare = re.sub(r'"[^"]*"', '""', query)
    labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", bare))
    for group in re.findall(r"\bby \(([^)]*)\)", bare):
        labels |= {name.strip() for name in group.split(",")}
    bare = re.sub(r"\bby \([^)]*\)", "", re.sub(r"\{[^}]*\}", "", bare))
    bare = re.sub(r"\[[^\]]*\]", "", bare)
    words = set(re.findall(r"[a-zA-Z_:][\w:]*", bare)) - _LANGUAGE
    return words, labels


@pytest.mark.parametrize(("where", "query"), list(queries()))
def test_every_query_asks_for_what_exists(where: str, query: str) -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    names, labels = series_of(query)
    assert names
    assert names <= _NAMES | recorded | {"up"}, where
    of = {name.removesuffix("_bucket"): name for name in names}
    known = {label for metric in METRICS if metric.name in of for label in metric.labels}
    assert labels <= known | {"le", "instance", "job"}, where


def test_there_is_a_dashboard_for_each_purpose() -> None:
    assert set(DASHBOARDS) == {"overview", "cost", "providers", "cache", "limits", "slo"}
    found = {path.stem for path in (ROOT / "deploy/grafana/dashboards").glob("*.json")}
    assert found == set(DASHBOARDS)


@needs_promtool
def test_promtool_passes_the_rules_and_their_tests() -> None:
    for arguments in (["check", "rules", str(RULES)], ["test", "rules", "ai-gateway.yml"]):
        done = subprocess.run(
            ["promtool", *arguments],
            cwd=ROOT / "deploy/prometheus/tests",
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
@pytest.mark.slow
async def test_a_real_prometheus_scrapes_the_gateway_and_answers_every_dashboard(
    tmp_path: Path,
) -> None:
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not on this machine")
    async with (
        providing(answers(ANSWER)) as provider,
        serving(in_front_of(provider)) as running,
    ):
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [
                {
                    "job_name": "ai-gateway",
                    "static_configs": [{"targets": [f"127.0.0.1:{running.port}"]}],
                }
            ],
        }
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
        port = 19_790
        process = subprocess.Popen(
            ["prometheus", f"--config.file={tmp_path}/prometheus.yml",
             f"--storage.tsdb.path={tmp_path}/data", f"--web.listen-address=127.0.0.1:{port}",
             "--enable-feature=exemplar-storage"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            url = f"http://127.0.0.1:{port}/api/v1"

            async def ask(query: str) -> dict[str, object]:
                got = await get(f"{url}/query?query={quote(query)}")
                assert got.status == 200, (query, got.body)
                return json.loads(got.body)["data"]

            deadline = time.monotonic() + 30
            count: object = None
            while time.monotonic() < deadline:
                await post(running.url + CHAT, ASKED)
                await asyncio.sleep(0.5)
                try:
                    found = await ask('llm_requests_total{status="success"}')
                except Exception:
                    continue
                results = found["result"]
                assert isinstance(results, list)
                if results and float(results[0]["value"][1]) >= 3:
                    count = results[0]["metric"]["model"]
                    break
            assert count == "gpt-4o"
            for where, query in queries():
                assert await ask(query.replace("$__rate_interval", "1m")), where
        finally:
            process.terminate()
            process.wait(20)
