"""k8s/ and the chart: valid by the API's schemas, current, and what an operator relies on."""

import copy
import re
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from scripts.generate_manifests import DERIVED, RENDERINGS, ROOT, Rendering

from ai_gateway.catalogue.provider import load_providers
from ai_gateway.settings.declared import SETTINGS

from .manifests import NAMES, VERSIONS, check, kinds, named, pods, resources, variables

FULL = [name for name in NAMES if "small" not in name and name != "helm-default"]


@pytest.mark.parametrize("path", DERIVED)
def test_what_derives_from_the_alert_rules_is_up_to_date(path: str) -> None:
    assert (ROOT / path).read_text() == DERIVED[path](), "run `make manifests`"


@pytest.mark.parametrize("rendering", RENDERINGS, ids=NAMES)
def test_a_rendering_was_made_of_what_is_here_now(rendering: Rendering) -> None:
    first = rendering.path.read_text().splitlines(keepends=True)[0]
    assert first == rendering.header(), "run `make manifests` where kustomize and helm are"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", NAMES)
def test_every_resource_is_valid_and_has_no_unknown_field(name: str, version: str) -> None:
    for resource in resources(name):
        check(resource, version)


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Deployment", ("spec", "template", "spec", "containers", 0, "readOnly"), True),
        ("Deployment", ("spec", "replicas"), "three"),
        ("Service", ("spec", "ports", 0, "portt"), 1),
        ("PrometheusRule", ("spec", "groups"), [{"name": "x", "rules": [{"alertt": "y"}]}]),
        ("ServiceMonitor", ("spec", "endpoints", 0, "pth"), "/metrics"),
    ],
)
def test_the_check_finds_what_is_wrong(kind: str, path: tuple[Any, ...], value: object) -> None:
    resource: Any = copy.deepcopy(named("kustomize-production", kind))
    place = resource
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises((jsonschema.ValidationError, kubernetes_validate.ValidationError)):
        check(resource, VERSIONS[-1])


@pytest.mark.parametrize("name", NAMES)
def test_the_service_is_ai_gateway_on_8080_and_finds_the_pods(name: str) -> None:
    service = named(name, "Service")
    assert service["spec"]["ports"][0]["port"] == 8080
    template = named(name, "Deployment")["spec"]["template"]
    labels = template["metadata"]["labels"]
    assert labels["app"] == "ai-gateway"
    assert service["spec"]["selector"].items() <= labels.items()
    assert named(name, "Deployment")["spec"]["selector"]["matchLabels"].items() <= labels.items()
    ports = {p["name"]: p["containerPort"] for p in template["spec"]["containers"][0]["ports"]}
    assert ports[service["spec"]["ports"][0]["targetPort"]] == int(variables(name)["PORT"])


def test_three_pods_run_unless_something_else_counts() -> None:
    base = yaml.safe_load((ROOT / "k8s/base/deployment.yaml").read_text())
    assert base["spec"]["replicas"] == 3
    assert named("helm-default", "Deployment")["spec"]["replicas"] == 3
    assert named("kustomize-small", "Deployment")["spec"]["replicas"] == 1
    for name in FULL:
        assert "replicas" not in named(name, "Deployment")["spec"]


@pytest.mark.parametrize("name", NAMES)
def test_every_container_is_shut_in(name: str) -> None:
    for of, pod in pods(name):
        assert pod["automountServiceAccountToken"] is False, of
        assert pod["enableServiceLinks"] is False, of
        assert pod["securityContext"]["runAsNonRoot"] is True, of
        assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault", of
        for container in pod["containers"]:
            held = container["securityContext"]
            assert held["readOnlyRootFilesystem"] is True, of
            assert held["allowPrivilegeEscalation"] is False, of
            assert held["capabilities"]["drop"] == ["ALL"], of
            assert "memory" in container["resources"]["limits"], of
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]), of


@pytest.mark.parametrize("name", NAMES)
def test_the_gateway_is_asked_for_its_health_and_its_readiness(name: str) -> None:
    container = named(name, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    assert container["livenessProbe"]["httpGet"]["path"] == "/health"
    assert container["startupProbe"]["httpGet"]["path"] == "/health"
    assert container["readinessProbe"]["httpGet"]["path"] == "/ready"


@pytest.mark.parametrize("name", NAMES)
def test_a_pod_has_time_to_drain(name: str) -> None:
    pod = named(name, "Deployment")["spec"]["template"]["spec"]
    seconds = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    given = variables(name)
    needed = seconds + int(given["ENDPOINT_GRACE"]) + int(given["DRAIN_TIMEOUT"])
    assert pod["terminationGracePeriodSeconds"] >= needed + 10


@pytest.mark.parametrize("name", NAMES)
def test_every_variable_is_one_the_gateway_reads(name: str) -> None:
    known = {v for s in SETTINGS for v in (s.variable, *s.aliases)} | {"CONFIG"}
    known |= {v for p in load_providers().values() for v in (p.key_env, p.base_url_env)}
    assert set(variables(name)) <= known


@pytest.mark.parametrize("name", NAMES)
def test_credentials_come_by_reference_only(name: str) -> None:
    assert "Secret" not in kinds(name)
    secret = {s.variable for s in SETTINGS if s.secret}
    for _, pod in pods(name):
        for container in pod["containers"]:
            for variable in container.get("env", []):
                assert "value" not in variable or variable["name"] not in secret
    assert not secret & set(variables(name))


@pytest.mark.parametrize("name", FULL)
def test_scaling_looks_at_the_cpu_and_at_the_queue(name: str) -> None:
    if "keda" in name:
        assert "HorizontalPodAutoscaler" not in kinds(name)
        triggers = named(name, "ScaledObject")["spec"]["triggers"]
        assert [t["type"] for t in triggers] == ["prometheus", "cpu"]
        assert "gateway_queue_depth{" in triggers[0]["metadata"]["query"]
    else:
        assert "ScaledObject" not in kinds(name)
        metrics = named(name, "HorizontalPodAutoscaler")["spec"]["metrics"]
        assert metrics[0]["resource"]["name"] == "cpu"
        assert metrics[1]["pods"]["metric"]["name"] == "gateway_queue_depth"


@pytest.mark.parametrize("name", FULL)
def test_the_whole_is_there(name: str) -> None:
    expected = {"Deployment", "Service", "ConfigMap", "PodDisruptionBudget", "NetworkPolicy",
                "Job", "StatefulSet", "ServiceMonitor", "ServiceAccount"}  # fmt: skip
    assert expected <= set(kinds(name))
    job = next(r for r in resources(name) if r["kind"] == "Job")
    assert job["spec"]["template"]["spec"]["containers"][0]["args"] == ["migrate"]
    assert "REDIS_ADDR" in variables(name)


@pytest.mark.parametrize("name", NAMES)
def test_every_image_but_our_own_is_pinned_by_digest(name: str) -> None:
    for _, pod in pods(name):
        for container in pod["containers"]:
            image = container["image"]
            assert image.startswith("ai-gateway:") or re.search(r"@sha256:[0-9a-f]{64}$", image)


@pytest.mark.parametrize("name", NAMES)
def test_one_writer_where_state_is_a_file(name: str) -> None:
    """SQLite on a volume: never two pods."""
    deployment = named(name, "Deployment")["spec"]
    claims = [v for v in deployment["template"]["spec"]["volumes"] if "persistentVolumeClaim" in v]
    assert (deployment["strategy"]["type"] == "Recreate") == bool(claims)


def test_chart_and_overlay_say_the_same_of_a_pod() -> None:
    """Two ways to the same pod: what differs is named here."""
    ours: list[Any] = []
    for name in ("kustomize-production", "helm-production"):
        pod = copy.deepcopy(named(name, "Deployment")["spec"]["template"]["spec"])
        for spread in pod["topologySpreadConstraints"]:
            del spread["labelSelector"]  # The chart's has the release's name.
        del pod["volumes"], pod["containers"][0]["envFrom"]  # ConfigMaps are named differently.
        ours.append(pod)
    assert ours[0] == ours[1]


def test_the_policies_of_chart_and_overlay_are_the_same() -> None:
    policies = [named(n, "NetworkPolicy")["spec"] for n in ("kustomize-small", "helm-small")]
    for policy in policies:
        del policy["podSelector"]
    assert policies[0] == policies[1]


def test_no_manifest_is_outside_the_renderings() -> None:
    """Each file under k8s/ is named by a kustomization, so none escapes the checks."""
    listed: set[Path] = set()
    for kustomization in (ROOT / "k8s").rglob("kustomization.yaml"):
        said = yaml.safe_load(kustomization.read_text())
        names = said.get("resources", []) + said.get("components", [])
        names += [f for g in said.get("configMapGenerator", []) for f in g.get("files", [])]
        listed |= {(kustomization.parent / n).resolve() for n in names}
        listed.add(kustomization.resolve())
    here = {p.resolve() for p in (ROOT / "k8s").rglob("*") if p.is_file()}
    assert here - listed == set()
