"""The chart's values: what its schema takes and refuses."""

import copy
import json
from typing import Any

import jsonschema
import pytest
import yaml
from scripts.generate_manifests import CHART, VALUES

from ai_gateway import __version__

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())


def over(given: dict[str, Any]) -> dict[str, Any]:
    """The defaults with these laid over them, as Helm does."""

    def lay(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
        out = dict(base)
        for name, value in top.items():
            below = out.get(name)
            out[name] = (
                lay(below, value) if isinstance(value, dict) and isinstance(below, dict) else value
            )
        return out

    return lay(copy.deepcopy(DEFAULTS), given)


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", VALUES)
def test_the_values_of_the_examples_are_good(name: str) -> None:
    given = yaml.safe_load((CHART / f"ci/{name}.yaml").read_text()) or {}
    jsonschema.validate(over(given), SCHEMA)


@pytest.mark.parametrize(
    "given",
    [
        {"replcas": 3},
        {"replicas": "three"},
        {"replicas": -1},
        {"image": {"digest": "sha256:short"}},
        {"image": {"repository": ""}},
        {"existingSecret": ""},
        {"env": {"OPENAI_API_KEY": "sk-in-the-open"}},
        {"env": {"REDIS_PASSWORD": "in-the-open"}},
        {"env": {"DATABASE_URL": "postgresql://user:password@host/db"}},
        {"env": {"lower": "x"}},
        {"autoscaling": {"kind": "both"}},
        {"autoscaling": {"queueDepth": 0}},
        {"autoscaling": {"prometheusAddress": "prometheus:9090"}},
        {"resources": {"limits": {"memory": "lots"}}},
        {"resources": {"limit": {"memory": "1Gi"}}},
        {"shutdown": {"preStopSeconds": 0}},
        {"service": {"port": 0}},
        {"redis": {"maxmemory": "1Gi"}},
        {"networkPolicy": {"enabled": "yes"}},
    ],
    ids=json.dumps,
)
def test_what_is_wrong_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(over(given), SCHEMA)


def test_every_value_is_in_the_schema() -> None:
    """A value without a schema would be taken whatever it is."""
    assert set(DEFAULTS) == set(SCHEMA["properties"]) - {"global"}
    for name, value in DEFAULTS.items():
        said = SCHEMA["properties"][name].get("properties")
        if isinstance(value, dict) and said is not None:
            assert set(value) <= set(said), name


def test_chart_and_program_have_one_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == __version__
    for overlay in ("small", "production", "production-keda"):
        said = yaml.safe_load(
            (CHART.parents[2] / f"k8s/overlays/{overlay}/kustomization.yaml").read_text()
        )
        assert said["images"] == [{"name": "ai-gateway", "newTag": __version__}]
