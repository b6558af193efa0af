"""What the pages name is there: files, alerts, overlays. Their commands are run by test_commands.py."""

import re

import yaml

from .pages import PAGES, ROOT


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


def test_every_link_by_name_leads_somewhere_and_every_name_is_used() -> None:
    for page in PAGES:
        text = page.read_text()
        used = set(re.findall(r"\]\[([a-z][\w-]*)\]", text))
        defined = set(re.findall(r"^\[([a-z][\w-]*)\]: ", text, re.M))
        assert used == defined, page.name
