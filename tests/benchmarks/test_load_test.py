"""The load test: k6's script and the runner that stands in for k6 read one plan and say the same."""

import json
import math
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from benchmarks.load_test import PLAN, Asking, Report, Zipf, callers_at, judged, trend

from benchmarks import load_test
from tests.clients.conftest import start_gateway

ROOT = Path(__file__).parents[2]


def test_a_zipf_draw_is_as_likely_as_its_rank_says() -> None:
    zipf = Zipf(1000, 1.1)
    drawn = Counter(zipf.draw((i + 0.5) / 100_000) for i in range(100_000))
    whole = sum(1 / k**1.1 for k in range(1, 1001))
    for rank in (1, 2, 10, 100):
        assert math.isclose(drawn[rank - 1] / 100_000, 1 / rank**1.1 / whole, rel_tol=0.05)
    assert max(drawn) <= 999


def test_callers_ramp_in_straight_lines() -> None:
    stages = [
        {"seconds": 10, "target": 11},
        {"seconds": 10, "target": 11},
        {"seconds": 10, "target": 0},
    ]
    found = [callers_at(moment, stages, 1) for moment in (0, 5, 10, 15, 20, 25, 30, 31)]
    assert found == [1, 6, 11, 11, 11, 6, 0, 0]
    assert callers_at(1, stages, 0.1) == 11


def test_every_request_is_good_json_of_the_kind_it_counts_as() -> None:
    asking = Asking("http://h:1", "key")
    counted: Counter[str] = Counter()
    for kind in ("chat", "stream", "cached", *["mixed"] * 300):
        found, request = asking.next(kind)
        head, body = request.split(b"\r\n\r\n", 1)
        assert int(re.search(rb"content-length: (\d+)", head)[1]) == len(body)  # type: ignore[index]
        assert b"authorization: Bearer key\r\n" in head
        assert json.loads(body).get("stream", False) == (found == "stream")
        counted[found] += 1
    assert 120 < counted["mixed"] < 240
    assert set(counted) == {"chat", "stream", "cached", "mixed"}


def test_thresholds_are_judged_as_k6_judges_them() -> None:
    report = Report()
    report.durations["chat"] = [0.1] * 90 + [0.6] * 10
    report.waiting["chat"] = report.durations["chat"]
    report.failed["chat"] = 2
    report.seconds, report.answers = {"chat": 0.01}, {"chat": 100}
    verdicts = {name: held for name, _, held in judged(report.metrics())}
    assert verdicts == {
        "http_reqs": True,
        "http_req_failed": False,
        "checks": False,
        "http_req_duration{kind:chat}": False,
    }
    assert trend([1.0, 2.0, 3.0])["med"] == 2000


def test_the_runner_asks_a_running_gateway_and_tells(tmp_path: Path) -> None:
    gateway = start_gateway(tmp_path, RATE_LIMIT_CAPACITY="1000000")
    kept = tmp_path / "kept.json"
    try:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.load_test", "--url", gateway.url, "--scale", "0.02",
             "--json", str(kept)],
            cwd=ROOT, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    finally:
        gateway.stop()
    assert done.returncode in (0, 99), done.stderr  # How fast it is says nothing here.
    metrics = json.loads(kept.read_text())["metrics"]
    assert metrics["http_req_failed"]["rate"] == 0
    assert metrics["http_reqs"]["count"] > 20
    for kind in PLAN["kinds"]:
        assert metrics[f"http_req_duration{{kind:{kind}}}"]["p(95)"] > 0
        assert f"http_reqs{{scenario:{kind}}}" in done.stdout


def test_a_gateway_that_is_not_there_fails_the_thresholds(tmp_path: Path) -> None:
    gateway = start_gateway(tmp_path)
    gateway.stop()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load_test", "--url", gateway.url, "--scale", "0.01"],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 99
    assert "FAIL http_req_failed" in done.stdout


STAND_IN = {
    # k6's modules, as far as the script uses them: one real request at a time, by curl.
    "k6/http.mjs": """
import { spawnSync } from 'node:child_process';
export default {
  post(url, body, { headers, tags }) {
    const given = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]);
    const done = spawnSync('curl', ['-sS', '-i', '-X', 'POST', ...given, '--data-binary', body, url]);
    const [head, ...rest] = done.stdout.toString().split('\\r\\n\\r\\n');
    const [first, ...lines] = head.split('\\r\\n');
    const canonical = (n) => n.split('-').map((w) => w[0].toUpperCase() + w.slice(1)).join('-');
    const found = Object.fromEntries(lines.map((l) => [canonical(l.split(':')[0]), l.split(': ')[1]]));
    return { status: Number(first.split(' ')[1]), headers: found, body: rest.join('\\r\\n\\r\\n') };
  },
};
""",
    "k6/index.mjs": """
export const checks = [];
export function check(value, tests, tags) {
  for (const [name, test] of Object.entries(tests)) checks.push([tags.kind, name, test(value)]);
}
""",
    "k6/metrics.mjs": "export class Rate { constructor(n) { this.n = n; } add() {} }",
    "k6/package.json": json.dumps(
        {
            "name": "k6",
            "exports": {".": "./index.mjs", "./http": "./http.mjs", "./metrics": "./metrics.mjs"},
        }
    ),
}
DRIVER = """
import { readFileSync } from 'node:fs';
globalThis.__ENV = { URL: process.argv[2] };
globalThis.open = (path) => readFileSync(new URL(path, import.meta.url), 'utf8');
const script = await import('./load_test.mjs');
const { checks } = await import('k6');
for (const [name, scenario] of Object.entries(script.options.scenarios))
  for (let turn = 0; turn < 4; turn += 1) script[scenario.exec]();
const ranks = [0, 0.3, 0.9, 1].map(script.zipf);
console.log(JSON.stringify({ checks, options: script.options, ranks }));
"""


@pytest.mark.skipif(
    shutil.which("node") is None or shutil.which("curl") is None, reason="needs Node and curl"
)
def test_k6s_script_runs_against_a_gateway(tmp_path: Path) -> None:
    """In Node, with stand-ins for k6's three modules: every scenario asks and checks its answers."""
    for name, text in STAND_IN.items():
        path = tmp_path / "node_modules" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "load_test.mjs").write_text((ROOT / "benchmarks/load_test.js").read_text())
    shutil.copy(ROOT / "benchmarks/load_test.json", tmp_path)
    (tmp_path / "driver.mjs").write_text(DRIVER)
    gateway = start_gateway(tmp_path)
    try:
        done = subprocess.run(
            ["node", "driver.mjs", gateway.url],
            cwd=tmp_path, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    finally:
        gateway.stop()
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert len(told["checks"]) == 2 * 4 * 4
    assert [c for c in told["checks"] if not c[2]] == []
    assert set(told["options"]["scenarios"]) == set(PLAN["kinds"])
    assert told["options"]["thresholds"] == PLAN["thresholds"]
    starts = [s["startTime"] for s in told["options"]["scenarios"].values()]
    length = sum(s["seconds"] for s in PLAN["stages"])
    assert starts == [f"{length * turn}s" for turn in range(4)]
    zipf = Zipf(PLAN["zipf"]["prompts"], PLAN["zipf"]["exponent"])
    assert told["ranks"] == [zipf.draw(chance) for chance in (0, 0.3, 0.9, 1)]


def test_the_plan_names_what_the_runner_can_do() -> None:
    assert set(PLAN["kinds"]) == {"chat", "stream", "cached", "mixed"}
    assert math.isclose(sum(PLAN["mixed"].values()), 1)
    assert load_test.PLAN["thresholds"]["http_reqs"] == ["rate>3000"]
