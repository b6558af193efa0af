"""Every command in every document: what it names exists, or it is listed here why it is not run."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from ai_gateway.cli import main

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NOT_RUN = {
    "docker": "no container engine where the tests run; scripts/prove_image.sh builds and runs the image",
    "kubectl": "no cluster where the tests run; what it applies is checked in tests/deploy",
    "kustomize": "as kubectl; rendered in tests/deploy/test_with_tools.py",
    "helm": "as kubectl; rendered in tests/deploy/test_with_tools.py",
    "pip": "tests/unit/test_release.py installs the wheel in an empty environment",
    "git": "clones this repository from where it is published",
    "curl": "the README's are run by test_documents.py; others need a running gateway with data",
    "for": "makes secrets",
    "echo": "makes secrets",
    "done": "makes secrets",
    ".": "reads the secrets made before",
    "export": "sets what the next line uses",
    "printf": "feeds a key to a command that is tested in tests/unit/access",
    "sudo": "needs root; tests/deploy/test_image.py runs the script",
}


def commands() -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for page in PAGES:
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.S):
            for line in block.replace("\\\n", " ").splitlines():
                text = re.sub(r"\s+#.*$", "", line).strip()
                text = re.sub(r"^([A-Z_]+=[^\s$]+ )+|^[A-Z_]+=\$\(", "", text)
                if text and not text.startswith(("#", "'", '"', "-")):
                    found.append((page.name, text))
    return found


@pytest.mark.parametrize(("page", "command"), commands())
def test_a_command_names_what_exists(
    page: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    word = re.split(r"[\s;|]", command)[0]
    if word == "make":
        targets = shlex.split(command)[1].split("=")[0]
        assert re.search(rf"^{re.escape(targets)}:", (ROOT / "Makefile").read_text(), re.M)
    elif word == "ai-gateway":
        # Each subcommand is there; --help ends with 0.
        words = [w for w in shlex.split(command)[1:3] if re.fullmatch(r"[a-z][a-z-]*", w)]
        if words:
            with pytest.raises(SystemExit) as ended:
                main([words[0], "--help"])
            assert ended.value.code == 0
            capsys.readouterr()
    elif word.startswith((".venv/", "python", "bash")):
        for path in re.findall(r"(?:scripts|tests|benchmarks)/[\w./-]+", command):
            assert (ROOT / path).exists(), path
    else:
        assert word in NOT_RUN or word.rstrip("0123456789") in NOT_RUN, f"{page}: {command}"


def test_every_file_that_a_page_links_to_is_there() -> None:
    missing = [
        (page.name, link)
        for page in PAGES
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / link).exists()
    ]
    assert missing == []


def test_every_alert_has_its_runbook() -> None:
    page = (ROOT / "docs/runbooks.md").read_text()
    alerts = [
        rule["alert"]
        for path in (ROOT / "deploy/prometheus/rules").glob("*.yml")
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]
    assert len(alerts) > 10
    assert [alert for alert in alerts if f"`{alert}`" not in page] == []


def test_every_overlay_and_values_file_that_a_page_names_is_there() -> None:
    text = "".join(page.read_text() for page in PAGES)
    for path in set(re.findall(r"(?:k8s|deploy)/[\w/-]+(?:\.ya?ml)?", text)):
        assert (ROOT / path).exists(), path
