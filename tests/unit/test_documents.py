"""Documents that cannot drift: what the code declares is what they name."""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripts.first_steps import commands
from scripts.generate_documents import DOCUMENTS

from ai_gateway.model.audit import AuditRecord
from ai_gateway.settings.declared import SETTINGS
from ai_gateway.settings.provider_settings import PROVIDER_KEYS
from ai_gateway.settings.sections import SECTIONS
from ai_gateway.settings.tree import Settings
from ai_gateway.telemetry.log import CallLine
from tests.clients.conftest import Process, start_gateway

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_made_from_the_code_are_up_to_date(name: str) -> None:
    assert (ROOT / name).read_text() == DOCUMENTS[name](), "run `make documents`"


def test_every_setting_is_declared_once() -> None:
    declared = {setting.name for setting in SETTINGS}
    sections = {section.name for section in SECTIONS}
    assert (
        declared
        == set(Settings.__struct_fields__)
        - {"providers", "secret_files", "warnings", "traces", "logs"}
        - sections
    )
    variables = [v for s in SETTINGS for v in (s.variable, *s.aliases)]
    assert len(variables) == len(set(variables))


def fields_in(page: str, heading: str) -> list[str]:
    """The names in the first column of the table under a heading."""
    section = (ROOT / page).read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`[^|]*) \|", section, re.M)
    return [name for cell in cells for name in re.findall(r"`([a-z_]+)`", cell)]


def test_log_fields_and_their_table_are_the_same() -> None:
    assert sorted(fields_in("docs/operations.md", "Log")) == sorted(CallLine.__struct_fields__)


def test_audit_fields_and_their_table_are_the_same() -> None:
    assert sorted(fields_in("docs/audit.md", "Fields")) == sorted(AuditRecord.__struct_fields__)


def test_every_field_of_a_provider_is_shown() -> None:
    page = (ROOT / "docs/configuration.md").read_text()
    shown = page.split("\n## Providers\n")[1]
    assert [key for key in PROVIDER_KEYS if not re.search(rf"\b{key}: ", shown)] == []


def source() -> str:
    files = (ROOT / "src/ai_gateway").rglob("*.py")
    return "".join(p.read_text() for p in files if "simulator" not in p.parts)


def test_every_header_of_the_gateways_own_is_documented() -> None:
    pages = "".join((ROOT / f"docs/{name}.md").read_text() for name in ("API", "operations"))
    headers = set(re.findall(r'"(x-gateway-[a-z-]+)"', source()))
    assert len(headers) >= 15
    assert [h for h in sorted(headers) if f"`{h}`" not in pages] == []


def test_no_header_is_documented_that_the_code_does_not_know() -> None:
    page = (ROOT / "docs/API.md").read_text()
    tables = page.split("\n## Request headers\n")[1].split("\n## MCP")[0]
    first_cells = re.findall(r"^\| (`[^|]*) \|", tables, re.M)
    names = {n for cell in first_cells for n in re.findall(r"`([\w-]+)", cell)}
    assert len(names) > 25
    code = source().lower()
    assert [n for n in sorted(names) if n.lower() not in code and n != "x-ratelimit-"] == []


def test_every_endpoint_is_in_the_reference() -> None:
    page = (ROOT / "docs/reference.md").read_text()
    own = re.findall(r'\bRoute\(\s*"(/[^"]+)"', source())
    assert len(own) > 8
    dashboard = ("/dashboard", "/admin/sign-in")
    missing = [
        path
        for path in (r.replace(":path}", "}") for r in own)
        if not path.startswith(dashboard) and f" {path}`" not in page
    ]
    assert missing == []


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    running = start_gateway(tmp_path_factory.mktemp("readme"))
    yield running
    running.stop()


def curls() -> list[str]:
    return [line for line in commands("First answer") if line.startswith("curl")]


def test_the_readme_has_its_three_curls() -> None:
    assert len(curls()) == 3


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not on this machine")
@pytest.mark.parametrize("command", curls())
def test_the_readmes_curls_work(gateway: Process, command: str) -> None:
    words = shlex.split(command.replace("http://localhost:8080", gateway.url))
    done = subprocess.run([*words, "-sS"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    assert "simulator" in done.stdout
    if "data: " in done.stdout:
        assert done.stdout.strip().endswith("data: [DONE]")
    else:
        assert "error" not in json.loads(done.stdout)
