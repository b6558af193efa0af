"""The dashboard as people use it, in headless Chromium."""

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, Response, expect

from ai_gateway.routing.experiment_report import Feedback
from ai_gateway.routing.results import keep_feedback
from ai_gateway.storage.database import Database, database_url
from tests.browser.conftest import ADMIN, sign_in
from tests.integration.test_admin import ANSWER
from tests.integration.test_dashboard_queries import keep, record
from tests.integration.test_sign_in import config
from tests.openid import SECRET, openid
from tests.serving import Got, Running, answers, ask, get, in_front_of, post, providing, serving

PAGES = [
    "overview",
    "calls",
    "keys",
    "tenants",
    "providers",
    "experiments",
    "cache",
    "playground",
    "actions",
]
AS_ADMIN = {"authorization": f"Bearer {ADMIN}"}
NASTY = "<img src=x onerror=alert(1)>\"'`=cmd|' /C calc'!A0"


async def make_call(
    gateway: Running, text: str = "hi", model: str = "gpt-4o", **headers: str
) -> None:
    body = {"model": model, "messages": [{"role": "user", "content": text}]}
    got = await post(f"{gateway.url}/v1/chat/completions", json.dumps(body).encode(), headers)
    assert got.status == 200


async def admin(gateway: Running, path: str, body: Any) -> Any:
    got = await post(gateway.url + path, json.dumps(body).encode(), AS_ADMIN)
    assert got.status in (200, 201), got.body
    return json.loads(got.body)


async def admin_put(gateway: Running, path: str, body: Any) -> None:
    got = await ask("PUT", gateway.url + path, body, ADMIN)
    assert got.status == 200, got.body


async def open_page(page: Page, gateway: Running, name: str) -> None:
    await page.goto(f"{gateway.url}/dashboard/{name}")
    await page.locator("main h1").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_page_opens_and_is_accessible(
    page: Page, gateway: Running, scheme: str
) -> None:
    await make_call(gateway)
    await admin(gateway, "/admin/keys", {"name": "one", "policy": {"models": ["gpt-*"]}})
    await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    await asyncio.sleep(1)
    for name in PAGES:
        await open_page(page, gateway, name)
        await page.wait_for_timeout(300)
        found = await Axe().run(page)
        assert found.violations_count == 0, (name, found.generate_report())


@pytest.mark.parametrize("width", [360, 768])
async def test_no_page_is_wider_than_a_phone(page: Page, gateway: Running, width: int) -> None:
    await make_call(gateway)
    await page.set_viewport_size({"width": width, "height": 740})
    for name in PAGES:
        await open_page(page, gateway, name)
        wide = await page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, name


async def test_a_key_is_made_used_rotated_disabled_and_deleted(
    page: Page, gateway: Running
) -> None:
    await open_page(page, gateway, "keys")
    await page.get_by_role("button", name="New key").click()
    dialog = page.locator("dialog[open]")
    await dialog.get_by_label("Name").fill("search team")
    await dialog.get_by_label("Models it may use").fill("gpt-*")
    await dialog.get_by_label("Budget, US dollars").fill("25")
    await dialog.get_by_role("button", name="Make the key").click()
    key = await page.locator("#new-key").inner_text()
    assert key.startswith("sk-gw-")
    await page.get_by_role("button", name="I have it").click()
    row = page.locator("tbody tr", has_text="search team")
    await expect(row).to_contain_text("$25.00 a month")
    assert key not in await page.content()

    async def status(model: str = "gpt-4o") -> int:
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
        headers = {"authorization": f"Bearer {key}"}
        url = f"{gateway.url}/v1/chat/completions"
        return (await post(url, json.dumps(body).encode(), headers)).status

    assert (await status(), await status("claude-sonnet-4-5")) == (200, 403)
    await row.get_by_role("button", name="Edit").click()
    await dialog.get_by_label("Models it may use").fill("gpt-*, claude-*")
    await dialog.get_by_role("button", name="Save").click()
    await expect(row).to_contain_text("claude-*")
    await expect(row).to_contain_text("$25.00 a month")
    await row.get_by_role("button", name="Disable").click()
    await expect(row).to_contain_text("disabled")
    await asyncio.sleep(1)
    assert await status() == 401
    await row.get_by_role("button", name="Enable").click()
    await expect(row).to_contain_text("active")
    await row.get_by_role("button", name="Rotate").click()
    await dialog.get_by_role("button", name="Rotate").click()
    new = await page.locator("#new-key").inner_text()
    assert new != key
    await page.get_by_role("button", name="I have it").click()
    await row.get_by_role("button", name="Delete").click()
    await dialog.get_by_role("button", name="Delete").click()
    await expect(page.locator("main")).to_contain_text("No key yet")


async def test_new_calls_appear_by_themselves_and_open(page: Page, gateway: Running) -> None:
    await open_page(page, gateway, "calls")
    await expect(page.get_by_text("live", exact=True)).to_be_visible(timeout=10_000)
    for at in range(5):
        await make_call(gateway, f"call {at}", **{"x-user-id": "ada"})
    row = page.locator("tbody tr", has_text="ada").first
    await expect(row).to_be_visible(timeout=10_000)
    await expect(page.locator("tbody tr")).to_have_count(5, timeout=10_000)
    await row.click()
    await expect(page.get_by_role("heading", name="Where the time went")).to_be_visible()
    await expect(page.locator("main")).to_contain_text("/v1/chat/completions")


async def test_the_live_list_keeps_up_under_load(page: Page, gateway: Running) -> None:
    """Hundreds of calls a second come in; the page shows the newest, stays as long as it was, and answers
    clicks meanwhile."""
    await open_page(page, gateway, "calls")
    await expect(page.get_by_text("live", exact=True)).to_be_visible(timeout=10_000)
    total, at_once = 900, 16
    numbers = iter(range(total))

    async def caller() -> None:
        for number in numbers:
            await make_call(gateway, f"call {number}", **{"x-user-id": f"user-{number}"})

    loading = [asyncio.create_task(caller()) for _ in range(at_once)]
    await expect(page.locator("tbody tr").first).to_be_visible(timeout=10_000)
    seen: set[str] = set()
    while not all(task.done() for task in loading):
        seen.add(await page.locator("tbody tr").first.inner_text())
        await page.get_by_label("Filter", exact=True).fill("gpt")
        await asyncio.sleep(0.3)
    await asyncio.gather(*loading)
    assert len(seen) > 1
    await expect(page.locator("tbody")).to_contain_text(f"user-{total - 1}", timeout=15_000)
    rows = await page.locator("tbody tr").count()
    assert 100 <= rows <= 200
    await page.get_by_label("user", exact=True).fill("user-5")
    await page.get_by_label("user", exact=True).press("Enter")
    await expect(page.locator("tbody tr")).to_have_count(1, timeout=10_000)


async def test_the_overview_is_drilled_into_filtered_and_cut_to_days(
    page: Page, gateway: Running
) -> None:
    await admin_put(gateway, "/admin/routes/smart", {"targets": [{"model": "gpt-4o"}]})
    for at in range(6):
        tags = "team=search" if at % 2 else "team=chat, env=prod"
        await make_call(gateway, f"{at}", model="smart", **{"x-gateway-tags": tags})
    await asyncio.sleep(1)
    main = page.locator("main")
    await open_page(page, gateway, "overview?by=tag&range=day")
    rows = page.locator(".scroll tbody tr")
    await expect(rows).to_have_count(3, timeout=10_000)
    await rows.filter(has_text="team=search").click()
    chip = page.get_by_role("button", name="Remove the filter tag team=search")
    await expect(chip).to_be_visible()
    calls = page.locator(".card", has=page.get_by_text("Calls", exact=True)).locator(".value")
    await expect(calls).to_have_text("3", timeout=10_000)
    assert "tag=team%3Dsearch" in page.url
    await expect(main).to_contain_text("First token")
    assert (await Axe().run(page)).violations_count == 0
    await chip.click()
    await expect(calls).to_have_text("6", timeout=10_000)
    await page.get_by_label("Filter by").select_option("route")
    await page.get_by_label("Filter value").fill("nothing-like-it")
    await page.get_by_role("button", name="Add filter").click()
    await expect(main).to_contain_text("No such call was made in this time", timeout=10_000)
    await page.get_by_role("button", name="Remove the filter route").click()
    await expect(calls).to_have_text("6", timeout=10_000)
    await page.get_by_label("Time", exact=True).select_option("custom")
    await page.get_by_label("From", exact=True).fill("2025-01-01")
    await page.get_by_label("To", exact=True).fill("2025-01-31")
    await expect(calls).to_have_text("0", timeout=10_000)
    await page.get_by_label("From", exact=True).fill("2025-02-02")
    await expect(page.get_by_role("alert")).to_contain_text("first day")
    now = page.get_by_label("Now", exact=True)
    await expect(now).to_contain_text("calls a second", timeout=10_000)
    await make_call(gateway, "one more")
    await expect(now).not_to_contain_text("$0 a minute", timeout=10_000)


async def test_a_call_tells_every_attempt_and_goes_again_with_its_own_words(
    browser: Browser, tmp_path: Path
) -> None:
    async def broken(got: Got, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 503 No\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
        await writer.drain()

    async with providing(broken) as failing, providing(answers(ANSWER)) as good:
        settings = {
            **in_front_of(good), "ANTHROPIC_BASE_URL": failing.url, "ADMIN_KEY": ADMIN,
            "ACCESS": "open", "AUDIT": "full", "DATA_DIR": str(tmp_path),
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
            "TRACE_URL": "https://traces.example/{trace_id}",
        }  # fmt: skip
        async with serving(settings) as gateway:
            targets = [{"model": "claude-sonnet-4-5"}, {"model": "gpt-4o"}]
            await admin_put(gateway, "/admin/routes/smart", {"targets": targets})
            messages = [
                {"role": "system", "content": "Be brief."}, {"role": "user", "content": "First?"},
                {"role": "assistant", "content": "Yes."}, {"role": "user", "content": NASTY},
            ]  # fmt: skip
            body = {"model": "smart", "messages": messages, "temperature": 0.5}
            got = await post(f"{gateway.url}/v1/chat/completions", json.dumps(body).encode())
            assert got.status == 200
            id = got.headers["x-gateway-call-id"]
            await asyncio.sleep(1)
            context = await browser.new_context()
            await context.grant_permissions(["clipboard-read", "clipboard-write"])
            page = await context.new_page()
            await sign_in(page, gateway, ADMIN)
            await open_page(page, gateway, f"calls/{id}")
            waterfall = page.locator(".waterfall")
            await expect(waterfall).to_contain_text("anthropic/claude-sonnet-4-5")
            await expect(waterfall).to_contain_text("openai/gpt-4o")
            assert await waterfall.locator(".failed").count() >= 1
            await expect(waterfall).to_contain_text("limits and budgets")
            trace = await page.get_by_role("link", name="Trace").get_attribute("href")
            assert re.fullmatch(r"https://traces\.example/[0-9a-f]{32}", trace or "")
            await expect(page.locator(".turn")).to_have_count(5)
            assert (await Axe().run(page)).violations_count == 0
            await page.get_by_role("button", name="Copy as curl").click()
            await expect(page.get_by_text("copied", exact=True)).to_be_visible()
            curl = await page.evaluate("navigator.clipboard.readText()")
            shell = f'curl() {{ printf %s "$7"; }}; {curl}'
            said = await asyncio.create_subprocess_exec("sh", "-c", shell, stdout=-1)
            out, _ = await said.communicate()
            assert json.loads(out) == body
            await page.get_by_role("button", name="Replay in the playground").click()
            await expect(page.get_by_label("Prompt", exact=True)).to_have_value(NASTY)
            await expect(page.get_by_label("System prompt")).to_have_value("Be brief.")
            await expect(page.get_by_label("Temperature")).to_have_value("0.5")
            await page.get_by_role("button", name="Ask").click()
            await expect(page.locator("section.panel pre")).to_be_visible(timeout=10_000)
            while len(good.got) < 2:
                await asyncio.sleep(0.05)
            again = json.loads(good.got[-1].body)
            assert again["messages"] == messages


async def test_calls_are_found_by_tag_and_by_words(browser: Browser, tmp_path: Path) -> None:
    settings = {"ADMIN_KEY": ADMIN, "ACCESS": "open", "AUDIT": "full", "DATA_DIR": str(tmp_path)}
    async with serving(settings) as gateway:
        await make_call(gateway, "about aardvarks", **{"x-gateway-tags": "team=zoo"})
        await make_call(gateway, "about bicycles", **{"x-user-id": "ada"})
        await asyncio.sleep(1.5)
        page = await (await browser.new_context()).new_page()
        await sign_in(page, gateway, ADMIN)
        await open_page(page, gateway, "calls")
        await expect(page.locator("tbody tr")).to_have_count(2, timeout=10_000)
        await page.get_by_label("tag=value").fill("team=zoo")
        await page.get_by_label("tag=value").press("Enter")
        await expect(page.locator("tbody tr")).to_have_count(1, timeout=10_000)
        await page.get_by_label("tag=value").fill("")
        await page.get_by_label("tag=value").press("Enter")
        await page.get_by_label("Words said").fill("bicycles")
        await page.get_by_label("Words said").press("Enter")
        await expect(page.locator("tbody tr")).to_have_count(1, timeout=10_000)
        await expect(page.locator("tbody tr")).to_contain_text("ada")
        await page.locator("tbody tr").click()
        await expect(page.locator(".turn").first).to_contain_text("bicycles")


async def test_the_cache_tells_its_best_answers_and_what_a_threshold_would_do(
    browser: Browser, tmp_path: Path
) -> None:
    database = Database(database_url(None, tmp_path))
    now = datetime.now(UTC) - timedelta(hours=1)
    hits = [
        record(n, now, cache="semantic", cache_key="gw:{acme}:cache:1", saved_pico=10**11, similarity=9_300 + 20 * n)
        for n in range(20)
    ]  # fmt: skip
    exact = record(99, now, cache="hit", cache_key="gw:{acme}:cache:2", saved_pico=10**13)
    await keep(database, *hits, exact)
    bad = Feedback(call=hits[0].id, score=None, label="bad_cache_hit", comment=None)
    await keep_feedback(database, "acme", "u", bad)
    await database.close()
    settings = {"ADMIN_KEY": ADMIN, "ACCESS": "open", "DATA_DIR": str(tmp_path)}
    async with serving(settings) as gateway:
        page = await (await browser.new_context()).new_page()
        await sign_in(page, gateway, ADMIN)
        await open_page(page, gateway, "cache")
        rows = page.locator(".scroll tbody tr")
        await expect(rows).to_have_count(2)
        await expect(rows.first).to_contain_text("$10.00")
        await expect(rows.last).to_contain_text("20")
        await expect(page.locator("main")).to_contain_text("1 of them reported as wrong")
        await expect(page.get_by_role("img", name="Of 20 semantic hits")).to_be_visible()
        assert (await Axe().run(page)).violations_count == 0
        await rows.first.get_by_role("button", name="Forget").click()
        await page.locator("dialog[open]").get_by_role("button", name="Forget").click()
        await expect(rows.first).to_contain_text("not stored any more")


async def test_providers_are_told_with_their_day_and_routes_with_their_shares(
    page: Page, gateway: Running
) -> None:
    await admin_put(gateway, "/admin/routes/smart", {"targets": [{"model": "gpt-4o"}]})
    for at in range(3):
        await make_call(gateway, f"{at}", model="smart")
    await asyncio.sleep(1)
    await open_page(page, gateway, "providers")
    await expect(page.get_by_role("img", name="Latency by provider")).to_be_visible(timeout=10_000)
    await expect(page.get_by_role("img", name="Errors by provider")).to_be_visible()
    await expect(page.locator("tr", has_text="smart")).to_contain_text("gpt-4o 100 %")
    row = page.locator("tr", has_text="closed")
    await row.get_by_role("button", name="Open", exact=True).click()
    await expect(page.locator("main")).to_contain_text("open (by hand)", timeout=10_000)
    found = await Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


async def test_failures_show_in_a_breakers_past_and_what_is_left_in_quotas(
    page: Page, gateway: Running
) -> None:
    """By real failures of the simulator, until the breaker opens; tried again, it closes."""
    await make_call(gateway, "fine")
    body = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "ill"}]})
    failing = {"x-simulator-error-rate": "1", "x-simulator-error-kind": "500"}
    statuses: list[int] = []
    while 503 not in statuses:
        got = await post(f"{gateway.url}/v1/chat/completions", body.encode(), failing)
        statuses.append(got.status)
        assert len(statuses) < 40
    refused = {"x-simulator-error-rate": "1", "x-simulator-error-kind": "401"}
    claude = json.dumps(
        {
            "model": "claude-sonnet-4-5",
            "max_tokens": 9,
            "messages": [{"role": "user", "content": "x"}],
        }
    )
    await post(f"{gateway.url}/v1/messages", claude.encode(), refused)
    await open_page(page, gateway, "providers")
    row = page.locator("tr", has_text="gpt-4o")
    await expect(row).to_contain_text("open")
    await expect(row).to_contain_text("tried again in")
    await expect(row).to_contain_text("9,999 of 10,000 requests")
    await expect(row.get_by_role("meter", name="requests left")).to_have_attribute(
        "aria-valuenow", "100"
    )
    await expect(page.locator("tr", has_text="claude")).to_contain_text("key 1 was refused")
    await row.locator("summary").click()
    await expect(row.locator("ol.changes li")).to_have_count(1)
    await expect(row.locator("ol.changes li")).to_contain_text("closed → open")
    found = await Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    async with asyncio.timeout(20):
        while await row.locator("ol.changes li").count() < 3:
            await post(f"{gateway.url}/v1/chat/completions", body.encode())
            await asyncio.sleep(0.5)
    steps = ["half-open → closed", "open → half-open", "closed → open"]
    await expect(row.locator("ol.changes li")).to_contain_text(steps)


async def test_no_page_has_more_script_than_it_should(page: Page, gateway: Running) -> None:
    """All modules count, though a page may use few."""
    sizes: dict[str, int] = {}

    async def count(response: Response) -> None:
        if response.url.partition("?")[0].endswith(".js"):
            sizes[response.url] = len(await response.body())

    page.on("response", count)
    for name in PAGES:
        sizes.clear()
        await open_page(page, gateway, name)
        await page.wait_for_timeout(300)
        assert 0 < sum(sizes.values()) < 150_000, name


async def test_a_calls_words_are_told_as_a_conversation(browser: Browser, tmp_path: Path) -> None:
    settings = {"ADMIN_KEY": ADMIN, "ACCESS": "open", "AUDIT": "full", "DATA_DIR": str(tmp_path)}
    async with serving(settings) as gateway:
        await make_call(gateway, f"What is {NASTY}?")
        page = await (await browser.new_context()).new_page()
        await sign_in(page, gateway, ADMIN)
        await open_page(page, gateway, "calls")
        await page.locator("tbody tr").first.click(timeout=10_000)
        turns = page.locator(".turn")
        await expect(turns).to_have_count(2, timeout=10_000)
        await expect(turns.first).to_contain_text(f"What is {NASTY}?")
        await expect(turns.last).to_contain_text("assistant")
        assert (await Axe().run(page)).violations_count == 0


async def test_an_experiment_is_compared_stopped_and_started(page: Page, gateway: Running) -> None:
    route = {
        "targets": [{"model": "gpt-4o"}],
        "experiment": {
            "name": "tone",
            "variants": [{"name": "plain"}, {"name": "small", "model": "gpt-4o-mini"}],
        },
    }
    made = await ask("PUT", f"{gateway.url}/admin/routes/smart", route, ADMIN)
    assert made.status == 200, made.body
    body = {"model": "smart", "messages": [{"role": "user", "content": "hello " * 200}]}
    for user in range(150):
        headers = {"x-user-id": f"u{user}", "cache-control": "no-cache"}
        got = await post(f"{gateway.url}/v1/chat/completions", json.dumps(body).encode(), headers)
        assert got.status == 200
    await asyncio.sleep(1)
    await open_page(page, gateway, "experiments")
    await expect(page.locator("main")).to_contain_text("running", timeout=10_000)
    cost = page.get_by_role("img", name="Cost of a call of small")
    await expect(cost).to_be_visible(timeout=10_000)
    assert (await Axe().run(page)).violations_count == 0
    await page.get_by_role("button", name="Stop").click()
    await page.locator("dialog[open]").get_by_role("button", name="Stop").click()
    await expect(page.locator("main")).to_contain_text("stopped: by hand")
    await page.get_by_role("button", name="Start").click()
    await expect(page.locator("main")).to_contain_text("running")


async def test_the_playground_streams_from_several_models(page: Page, gateway: Running) -> None:
    await open_page(page, gateway, "playground")
    await page.get_by_label("Prompt", exact=True).fill("Tell me a story")
    await page.get_by_role("button", name="Ask").click()
    for model in ("gpt-4o", "claude-sonnet-4-5"):
        panel = page.locator("section.panel", has_text=model)
        await expect(panel.locator("pre")).to_contain_text("Tell me a story", timeout=10_000)
        await expect(panel).to_contain_text("tokens", timeout=10_000)


async def test_a_tenant_admin_sees_its_tenant_alone(browser: Browser, gateway: Running) -> None:
    for name in ("acme", "rival"):
        await admin(gateway, "/admin/tenants", {"id": name, "title": f"{name} inc"})
    rival = await admin(gateway, "/admin/keys", {"name": "rival-secret-key", "tenant": "rival"})
    mine = await admin(
        gateway, "/admin/keys", {"name": "boss", "tenant": "acme", "role": "tenant-admin"}
    )
    await make_call(
        gateway, "rivals", **{"authorization": f"Bearer {rival['key']}", "x-user-id": "rival-user"}
    )
    await asyncio.sleep(1)
    page = await (await browser.new_context()).new_page()
    await sign_in(page, gateway, mine["key"])
    await expect(page.locator(".side")).to_contain_text("tenant-admin of acme")
    await expect(page.locator(".side")).not_to_contain_text("Providers")
    for name in PAGES:
        await page.goto(f"{gateway.url}/dashboard/{name}")
        await page.locator("main h1").wait_for()
        await page.wait_for_timeout(300)
        assert "rival" not in (await page.content())
    # What its pages may not call, its cookie may not either.
    for path in ("/admin/health", "/admin/routes", "/admin/usage?tenant=rival"):
        assert await page.evaluate("p => fetch(p).then(a => a.status)", path) in (403, 404)


async def test_nothing_a_caller_names_can_run(browser: Browser, tmp_path: Path) -> None:
    """In whatever a caller or a tenant may name: tenants, keys, users, tags, models, words, addresses."""
    settings = {"ADMIN_KEY": ADMIN, "ACCESS": "open", "AUDIT": "full", "DATA_DIR": str(tmp_path)}
    async with serving(settings) as gateway:
        await admin(gateway, "/admin/tenants", {"id": "t", "title": NASTY})
        await admin(
            gateway, "/admin/keys",
            {"name": NASTY, "tenant": "t", "user": NASTY, "metadata": {"x": NASTY}},
        )  # fmt: skip
        await admin_put(
            gateway, "/admin/routes/smart",
            {"targets": [{"model": "gpt-4o"}], "experiment": {"name": "e", "variants": [{"name": "a"}, {"name": "b", "system": NASTY}]}},
        )  # fmt: skip
        nasty = {"x-user-id": NASTY, "x-gateway-tags": "a=<img src=x onerror=alert(2)>"}
        await make_call(gateway, NASTY, **nasty, **{"x-request-id": "<img/src=x/onerror=alert(3)>"})
        await make_call(gateway, NASTY, model="smart", **nasty)
        await post(
            f"{gateway.url}/v1/chat/completions",
            json.dumps({"model": "gpt-4o", "tools": [{"type": "function", "function": {"name": "f", "description": NASTY, "parameters": {}}}],
                        "messages": [{"role": "user", "content": [{"type": "text", "text": NASTY}, {"type": "image_url", "image_url": {"url": "https://x/<script>alert(4)</script>"}}]}]}).encode(),
        )  # fmt: skip
        await asyncio.sleep(1.5)
        page = await (await browser.new_context()).new_page()
        ran: list[str] = []
        page.on("dialog", lambda dialog: ran.append(dialog.message))
        page.on("console", lambda m: ran.append(m.text) if "Security Policy" in m.text else None)
        await sign_in(page, gateway, ADMIN)
        calls = json.loads((await get(f"{gateway.url}/admin/calls", AS_ADMIN)).body)["data"]
        places = [
            *PAGES, *(f"overview?by={by}" for by in ("user", "tag", "route", "key", "tenant")),
            *(f"calls/{call['id']}" for call in calls),
            f"overview?range={quote(NASTY)}&by={quote(NASTY)}&tenant={quote(NASTY)}",
            f"calls?words={quote(NASTY)}&user={quote(NASTY)}", f"calls/{quote(NASTY, safe='')}",
            f"playground?model={quote(NASTY)}", f"?sign_in={quote(NASTY)}", quote(NASTY, safe=""),
        ]  # fmt: skip
        assert len(calls) >= 2
        for place in places:
            await page.goto(f"{gateway.url}/dashboard/{place}")
            await page.locator("main").wait_for()
            await page.wait_for_timeout(300)
            assert await page.locator("main img[src='x'], main script, main b").count() == 0, place
        await open_page(page, gateway, "overview?by=user&range=day")
        await expect(page.locator(".scroll tbody")).to_contain_text("<img src=x")
        await open_page(page, gateway, "keys")
        await expect(page.locator("main")).to_contain_text("<img src=x")
        await page.get_by_role("button", name="Edit").click()
        await page.wait_for_timeout(200)
        assert ran == []


async def test_a_spreadsheet_gets_no_formula(page: Page, gateway: Running) -> None:
    await make_call(gateway, "x", **{"x-user-id": "=cmd|' /C calc'!A0"})
    await asyncio.sleep(1)
    await open_page(page, gateway, "overview?by=user&range=day")
    await expect(page.locator("main")).to_contain_text("=cmd")
    async with page.expect_download() as started:
        await page.get_by_role("button", name="Export CSV").click()
    text = (await (await started.value).path()).read_text()
    assert "'=cmd" in text
    assert ",=cmd" not in text


async def test_signing_in_and_out(browser: Browser, gateway: Running) -> None:
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(f"{gateway.url}/dashboard/keys")
    await page.get_by_label("Key").fill("wrong")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_contain_text("not valid")
    await page.get_by_label("Key").fill(ADMIN)
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_role("heading", name="Keys").wait_for()
    (cookie,) = await context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert ADMIN not in cookie["value"]
    await page.get_by_role("button", name="Sign out").click()
    await page.get_by_label("Key").wait_for()
    assert await context.cookies() == []


async def test_signing_in_and_out_by_an_openid_provider(browser: Browser, tmp_path: Path) -> None:
    """The gateway's known address is a door that leads to whatever port it got."""
    inside = ""

    async def door(got: Got, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 307 There\r\nlocation: {inside}{got.path}\r\ncontent-length: 0\r\n"
        writer.write(f"{head}connection: close\r\n\r\n".encode())
        await writer.drain()

    async with openid() as provider, providing(door) as known:
        file = config(provider, tmp_path, known.port)
        async with serving({"ADMIN_KEY": ADMIN, "OIDC_SECRET": SECRET}, file) as gateway:
            inside = gateway.url
            context = await browser.new_context()
            page = await context.new_page()
            await page.goto(f"{gateway.url}/dashboard/keys")
            await page.get_by_role("link", name="Sign in with Company").wait_for()
            assert (await Axe().run(page)).violations_count == 0
            await page.get_by_role("link", name="Sign in with Company").click()
            await page.get_by_role("heading", name="Keys").wait_for()
            await expect(page.locator(".side")).to_contain_text("company:anna")
            assert [c["name"] for c in await context.cookies()] == ["gateway_session"]
            await page.get_by_role("button", name="New key").wait_for()
            await page.get_by_role("button", name="Sign out").click()
            await page.get_by_role("link", name="Sign in with Company").wait_for()
            assert "/logout" in provider.seen
            assert await context.cookies() == []
            provider.claims = {"sub": "eve", "groups": ["finance"]}
            await page.get_by_role("link", name="Sign in with Company").click()
            await expect(page.locator(".side")).to_contain_text("viewer")
            await page.goto(f"{gateway.url}/dashboard/keys")
            await page.get_by_role("heading", name="Keys").wait_for()
            assert await page.get_by_role("button", name="New key").count() == 0
            await page.get_by_role("button", name="Sign out").click()
            provider.claims = {"sub": "eve"}
            await page.get_by_role("link", name="Sign in with Company").click()
            await expect(page.get_by_role("alert")).to_contain_text("have no role here")


async def test_another_site_can_neither_act_nor_frame(gateway: Running) -> None:
    signed = await post(f"{gateway.url}/dashboard/session", json.dumps({"key": ADMIN}).encode())
    cookie = signed.headers["set-cookie"].split(";")[0]
    token = json.loads(signed.body)["csrf"]
    body = json.dumps({"name": "x"}).encode()
    url = f"{gateway.url}/admin/keys"
    assert (await post(url, body, {"cookie": cookie})).status == 403
    assert (await post(url, body, {"cookie": cookie, "x-csrf-token": "0" * 64})).status == 403
    assert (await post(url, body, {"cookie": cookie, "x-csrf-token": token})).status == 201
    assert (await get(url, {"cookie": cookie})).status == 200
    assert (await get(url, {"cookie": cookie[:-3] + "AAA"})).status == 401
    page = await get(f"{gateway.url}/dashboard")
    policy = page.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["x-frame-options"] == "DENY"
