"""The dashboard as people use it, in headless Chromium."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect

from tests.browser.conftest import ADMIN, sign_in
from tests.integration.test_sign_in import config
from tests.openid import SECRET, openid
from tests.serving import Got, Running, ask, get, post, providing, serving

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


async def make_call(gateway: Running, text: str = "hi", **headers: str) -> None:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": text}]}
    got = await post(f"{gateway.url}/v1/chat/completions", json.dumps(body).encode(), headers)
    assert got.status == 200


async def admin(gateway: Running, path: str, body: Any) -> Any:
    got = await post(gateway.url + path, json.dumps(body).encode(), AS_ADMIN)
    assert got.status in (200, 201), got.body
    return json.loads(got.body)


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


async def test_nothing_a_caller_names_can_run(page: Page, gateway: Running) -> None:
    ran: list[str] = []
    page.on("dialog", lambda dialog: ran.append(dialog.message))
    await admin(gateway, "/admin/tenants", {"id": "t", "title": NASTY})
    await admin(
        gateway, "/admin/keys",
        {"name": NASTY, "tenant": "t", "user": NASTY, "metadata": {"x": NASTY}},
    )  # fmt: skip
    await make_call(gateway, NASTY, **{"x-user-id": NASTY, "x-gateway-tags": "a=<b>"})
    await asyncio.sleep(1)
    for name in PAGES:
        await open_page(page, gateway, name)
        await page.wait_for_timeout(300)
        assert await page.locator("img[src='x']").count() == 0
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
