"""What the pages tell readers to type is run: commands, Python and gateway.yaml alike."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ai_gateway.settings.load import load_settings
from tests.clients.conftest import Process, start_simulator
from tests.ports import free_port

from .pages import PAGES, program, steps
from .session import ADMIN_KEY, Session, has_what_it_needs

pytestmark = pytest.mark.skipif(
    not has_what_it_needs(), reason="bash, curl, jq, openssl or make is not on this machine"
)
NOT_RUN = {
    "docker": "no container engine where the tests run; scripts/prove_image.sh builds and runs the image",
    "kubectl": "no cluster where the tests run; what it applies is checked in tests/deploy",
    "helm": "as kubectl; rendered in tests/deploy/test_with_tools.py",
    "pip": "tests/unit/test_release.py installs the wheel in an empty environment",
    "git": "clones this repository from where it is published; scripts/first_steps.py does",
    "python": "an endurance run of two hours",
}
SETTINGS = {
    "access.md": {"ADMIN_KEY": ADMIN_KEY, "SEARCH_KEY": "a-search-key"},
    "operations.md": {"ADMIN_KEY": ADMIN_KEY, "AUDIT": "full", "OPENAI_API_KEY": "sk-any"},
    "migrating.md": {"OPENAI_API_KEY": "sk-any"},
}
"""Of the gateway and the shell. A page that starts its own gateway has none here."""
BEFORE = {
    "migrating.md": "printf 'model_list: [{model_name: smart, litellm_params: {model: openai/gpt-4o, "
    "api_key: os.environ/OPENAI_API_KEY}}]\\n' > config.yaml",
    "operations.md": "curl $GATEWAY/v1/chat/completions -H 'x-request-id: story-1' "
    '-H "authorization: Bearer $KEY" --json \'{"model": "gpt-4o", "messages": '
    '[{"role": "user", "content": "Hello"}]}\'; sleep 1',
}
"""What the page takes for done."""
SAYS = {
    "And again": (22, "insufficient_quota"),  # the README says so
    "?request_id=story-1": (0, '"request":"{'),
    "/admin/calls/": (0, '"attempts":1'),
    "select(.request_id": (0, '"event":"call"'),
    "keys hash": (0, "sha256:"),
}
"""By a part of the command: the exit status (0 where nothing is said here) and what is answered."""


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    running = start_simulator(tmp_path_factory.mktemp("simulator"), free_port())
    yield running
    running.stop()


@pytest.mark.apart
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(s.kind != "yaml" for s in steps(page))],
    ids=lambda p: p.name,
)
def test_every_command_of_a_page_works(page: Path, simulator: Process, tmp_path: Path) -> None:
    environ = SETTINGS.get(page.name, {})
    session = Session(tmp_path, simulator.url, environ)
    try:
        told = steps(page)
        if page.name in SETTINGS or not any(session.serves(s.text) for s in told):
            session.start()
        if environ.get("ADMIN_KEY"):
            status, said = session.run("KEY=$(ai-gateway keys create reader)")
            assert status == 0, said
            session.wait_for_keys()
        if page.name in BEFORE:
            status, said = session.run(BEFORE[page.name])
            assert status == 0, said
        for step in told:
            if step.kind == "python":
                status, said = session.run_python(step.text)
                assert status == 0, f"{step.text}\n{said}"
            elif step.kind == "sh":
                follow(session, step.text)
    finally:
        session.close()


def follow(session: Session, command: str) -> None:
    if session.serves(command):
        session.start(command)
        return
    if program(command) in NOT_RUN:
        return
    status, said = session.run(command)
    expected = next((says for part, says in SAYS.items() if part in command), (0, ""))
    assert (status, expected[1] in said) == (expected[0], True), f"{command}\n[{status}] {said}"
    if "keys create" in command and "$(" in command:
        session.wait_for_keys()


def test_nothing_stands_in_the_list_that_no_page_tells() -> None:
    told = {program(step.text) for page in PAGES for step in steps(page) if step.kind == "sh"}
    assert set(NOT_RUN) - told == set()
    commands = "\n".join(s.text for page in PAGES for s in steps(page) if s.kind == "sh")
    assert [part for part in SAYS if part not in commands] == []


@pytest.mark.parametrize(
    ("page", "text"),
    [(page.name, step.text) for page in PAGES for step in steps(page) if step.kind == "yaml"],
)
def test_every_gateway_yaml_of_a_page_is_good(page: str, text: str, tmp_path: Path) -> None:
    environ = dict.fromkeys(
        re.findall(r"env:(\w+)", f"env:ADMIN_KEY {text}"), "a-secret-of-no-less-than-32-characters"
    )
    environ |= {f"{name}_API_KEY": "any" for name in ("OPENAI", "ANTHROPIC", "MISTRAL", "GROQ")}
    environ["VLLM_BASE_URL"] = "http://127.0.0.1:8000"
    (tmp_path / "secret").write_text("from-a-file")
    path = tmp_path / "gateway.yaml"
    path.write_text(re.sub(r"file:/[\w/]+", f"file:{tmp_path / 'secret'}", text))
    settings = load_settings(environ, path)
    assert settings.warnings == ()
