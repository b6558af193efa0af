"""The rendered manifests, as data."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml
from scripts.generate_manifests import RENDERINGS, ROOT

CRDS = ROOT / "tests/deploy/crds"
VERSIONS = ("1.30", "1.37")
"""The oldest and the newest Kubernetes that are checked against."""
NAMES = [rendering.path.stem for rendering in RENDERINGS]


@cache
def resources(name: str) -> tuple[dict[str, Any], ...]:
    path = ROOT / f"tests/deploy/rendered/{name}.yaml"
    return tuple(r for r in yaml.safe_load_all(path.read_text("utf-8")) if r)


def named(name: str, kind: str, of: str = "ai-gateway") -> dict[str, Any]:
    found = [r for r in resources(name) if r["kind"] == kind and r["metadata"]["name"] == of]
    assert len(found) == 1, f"{name}: {len(found)} of {kind} {of}"
    return found[0]


def kinds(name: str) -> list[str]:
    return sorted(r["kind"] for r in resources(name))


def pods(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every pod's spec, with who makes it."""
    for resource in resources(name):
        of = f"{resource['kind']}/{resource['metadata']['name']}"
        if resource["kind"] == "Pod":
            yield of, resource["spec"]
        elif "template" in resource.get("spec", {}):
            yield of, resource["spec"]["template"]["spec"]


def variables(name: str) -> dict[str, str]:
    """What the ConfigMap puts into the gateway's environment."""
    found: dict[str, str] = {}
    for resource in resources(name):
        if resource["kind"] == "ConfigMap" and "HOST" in resource["data"]:
            found |= resource["data"]
    return found


def check(resource: dict[str, Any], version: str) -> None:
    """Raises jsonschema's ValidationError. Fields that are not in the schema are errors."""
    kind = str(resource["kind"]).lower()
    own = CRDS / f"{kind}_{str(resource['apiVersion']).rsplit('/', 1)[1]}.json" if "/" in str(
        resource["apiVersion"]
    ) else Path("none")  # fmt: skip
    if own.exists():
        jsonschema.validate(resource, json.loads(own.read_text()))
    else:
        kubernetes_validate.validate(resource, version, strict=True)
