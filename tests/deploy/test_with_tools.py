"""The same by the field's own tools, built from their Go modules where Go is here (or found in TOOLS).

.venv/bin/python -m pytest tests/deploy/test_with_tools.py -m slow
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
from scripts.generate_manifests import CHART, KUBERNETES, RENDERINGS, ROOT, VALUES, Rendering

from .manifests import CRDS, NAMES, VERSIONS

MODULES = {
    "kustomize": "sigs.k8s.io/kustomize/kustomize/v5@v5.7.1",
    "helm": "helm.sh/helm/v3/cmd/helm@v3.22.0",
    "kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0",
}
TOOLS = Path(os.environ.get("TOOLS") or Path.home() / ".cache/ai-gateway-tools")

pytestmark = pytest.mark.slow


def tool(name: str) -> str:
    """Found, or built once: a first build takes minutes."""
    found = shutil.which(name, path=f"{TOOLS}{os.pathsep}{os.environ['PATH']}")
    if found is not None:
        return found
    if shutil.which("go") is None:
        pytest.skip(f"needs {name}, or Go to build it")
    environ = {**os.environ, "GOBIN": str(TOOLS), "GOFLAGS": "-p=1", "CGO_ENABLED": "0"}
    done = subprocess.run(["go", "install", MODULES[name]], env=environ, capture_output=True)
    if done.returncode != 0:
        pytest.skip(f"{name} could not be built: {done.stderr.decode()[-200:]}")
    return str(TOOLS / name)


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The API's schemas that kubernetes-validate ships, as files that point at each other by name."""
    folder = tmp_path_factory.mktemp("schemas")
    shipped = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
    for version in VERSIONS:
        (folder / version).mkdir()
        for path in (shipped / f"v{version}.0-local-strict").glob("*.json"):
            text = path.read_text().replace('"/api/_definitions.json', '"_definitions.json')
            schema = json.loads(text)
            if isinstance(schema, dict):
                schema.pop("$id", None)
            (folder / version / path.name).write_text(json.dumps(schema))
    return folder


@pytest.mark.parametrize("rendering", RENDERINGS, ids=NAMES)
def test_the_committed_rendering_is_what_the_tool_makes(rendering: Rendering) -> None:
    assert rendering.render(tool(rendering.command[0])) == rendering.path.read_text()


@pytest.mark.parametrize("version", VERSIONS)
def test_kubeconform_finds_nothing_wrong(schemas: Path, version: str) -> None:
    done = subprocess.run(
        [tool("kubeconform"), "-strict", "-summary", "-output", "json",
         "-schema-location", f"{schemas}/{version}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json",
         "-schema-location", f"{CRDS}/{{{{.ResourceKind}}}}_{{{{.ResourceAPIVersion}}}}.json",
         *(str(rendering.path) for rendering in RENDERINGS)],
        capture_output=True, text=True,
    )  # fmt: skip
    said = json.loads(done.stdout)
    assert said["resources"] == []
    assert said["summary"]["valid"] >= 80
    assert said["summary"]["invalid"] + said["summary"]["errors"] + said["summary"]["skipped"] == 0


def helm(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [tool("helm"), *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("name", VALUES)
def test_helm_lints_the_chart(name: str) -> None:
    done = helm("lint", "--strict", str(CHART), "--values", str(CHART / f"ci/{name}.yaml"))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("replcas=1", "replcas"),
        ("env.OPENAI_API_KEY=sk-x", "OPENAI_API_KEY"),
        ("persistence.enabled=true", "persistence is for one replica"),
        ("autoscaling.kind=both", "autoscaling"),
    ],
)
def test_helm_refuses_what_cannot_work(given: str, said: str) -> None:
    done = helm("template", "x", str(CHART), "--kube-version", KUBERNETES, "--set", given)
    assert done.returncode != 0
    assert said in done.stderr


def test_two_releases_in_one_namespace_do_not_meet() -> None:
    """Selectors hold the release's name."""
    done = helm("template", "blue", str(CHART), "--kube-version", KUBERNETES)
    assert "name: blue-ai-gateway\n" in done.stdout
    assert "app.kubernetes.io/instance: blue" in done.stdout


def test_the_chart_packs(tmp_path: Path) -> None:
    done = helm("package", str(CHART), "--destination", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["ai-gateway-0.1.0.tgz"]
