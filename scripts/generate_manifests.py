"""Writes what derives from elsewhere in Kubernetes manifests and the chart.

The alert rules go from deploy/prometheus/rules into a PrometheusRule and into the chart. Where kustomize
and helm are on the path (or in the folder TOOLS names), overlays and chart are rendered into
tests/deploy/rendered, which the tests check everywhere; each file carries a digest of what it was made of.

    .venv/bin/python scripts/generate_manifests.py
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
RENDERED = ROOT / "tests/deploy/rendered"
CHART = ROOT / "deploy/helm/ai-gateway"
OVERLAYS = ("small", "production", "production-keda")
VALUES = ("default", "small", "production", "keda")
KUBERNETES = "1.33"
"""The version the chart is rendered for."""


def rule_groups() -> list[Any]:
    """Every group of every rule file, in the files' order."""
    groups: list[Any] = []
    for path in sorted((ROOT / "deploy/prometheus/rules").glob("*.yml")):
        groups += yaml.safe_load(path.read_text("utf-8"))["groups"]
    return groups


def _dumped(value: object) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=1000)


def prometheus_rule() -> str:
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "ai-gateway", "labels": {"app": "ai-gateway"}},
        "spec": {"groups": rule_groups()},
    }
    return "# Made from deploy/prometheus/rules by `make manifests`: do not edit.\n" + _dumped(rule)


def chart_rules() -> str:
    return _dumped({"groups": rule_groups()})


DERIVED: Mapping[str, Callable[[], str]] = {
    "k8s/components/monitoring/prometheusrule.yaml": prometheus_rule,
    "deploy/helm/ai-gateway/files/rules.yaml": chart_rules,
}


def digest(*folders: Path) -> str:
    """Of the names and contents of all files in these folders."""
    hashed = hashlib.sha256()
    for path in sorted(p for folder in folders for p in folder.rglob("*") if p.is_file()):
        hashed.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes() + b"\0")
    return hashed.hexdigest()


class Rendering:
    """One rendering: the command that makes it, and what it is made of."""

    def __init__(self, name: str, command: Sequence[str], inputs: Path) -> None:
        self.path = RENDERED / f"{name}.yaml"
        self.command = command
        self.inputs = inputs

    def header(self) -> str:
        return f"# Rendered by `make manifests`: do not edit. Inputs: {digest(self.inputs)}\n"

    def render(self, tool: str) -> str:
        done = subprocess.run(
            [tool, *self.command[1:]], cwd=ROOT, capture_output=True, text=True, check=True
        )
        return self.header() + done.stdout


RENDERINGS = [
    *(
        Rendering(f"kustomize-{name}", ["kustomize", "build", f"k8s/overlays/{name}"], ROOT / "k8s")
        for name in OVERLAYS
    ),
    *(
        Rendering(
            f"helm-{name}",
            ["helm", "template", "ai-gateway", str(CHART.relative_to(ROOT)), "--namespace",
             "ai-gateway", "--kube-version", KUBERNETES,
             "--values", str((CHART / f"ci/{name}.yaml").relative_to(ROOT))],
            CHART,
        )
        for name in VALUES
    ),
]  # fmt: skip


def found_tool(name: str) -> str | None:
    return shutil.which(
        name, path=os.pathsep.join([os.environ.get("TOOLS", ""), os.environ["PATH"]])
    )


def main() -> None:
    for name, write in DERIVED.items():
        (ROOT / name).write_text(write(), "utf-8")
    missing: set[str] = set()
    for rendering in RENDERINGS:
        tool = found_tool(rendering.command[0])
        if tool is None:
            missing.add(rendering.command[0])
            continue
        rendering.path.write_text(rendering.render(tool), "utf-8")
    if missing:
        print(f"not rendered: {', '.join(sorted(missing))} not found", file=sys.stderr)


if __name__ == "__main__":
    main()
