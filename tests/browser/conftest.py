"""Headless Chromium, the system's own, and a gateway with an admin key for it to look at."""

import shutil
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright

from tests.serving import Running, serving

ADMIN = "admin-key-for-browser-tests"
_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture
async def browser() -> AsyncGenerator[Browser, None]:
    path = (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    )
    if path is None:
        pytest.skip("no Chromium is on this machine's path")
    async with async_playwright() as playwright:
        one = await playwright.chromium.launch(executable_path=path, args=_FLAGS)
        yield one
        await one.close()


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncGenerator[Running, None]:
    settings = {"ADMIN_KEY": ADMIN, "DATA_DIR": str(tmp_path / "data"), "ACCESS": "open"}
    async with serving(settings) as running:
        yield running


@pytest.fixture
async def page(browser: Browser, gateway: Running) -> AsyncGenerator[Page, None]:
    """Signed in as the admin; whatever the browser complains of fails the test."""
    context = await browser.new_context(viewport={"width": 1360, "height": 900})
    one = await context.new_page()
    complaints: list[str] = []
    one.on("pageerror", lambda error: complaints.append(str(error)))
    one.on(
        "console",
        lambda message: complaints.append(message.text) if message.type == "error" else None,
    )
    await sign_in(one, gateway, ADMIN)
    yield one
    await context.close()
    unexpected = [c for c in complaints if "the server responded with a status of" not in c]
    assert unexpected == []


async def sign_in(page: Page, gateway: Running, key: str) -> None:
    await page.goto(f"{gateway.url}/dashboard")
    await page.get_by_label("Key").fill(key)
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_role("heading", name="Overview").wait_for()
