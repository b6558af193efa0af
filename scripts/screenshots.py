"""Takes the dashboard's pictures for the documents: .venv/bin/python scripts/screenshots.py

Needs Chromium on the path. The gateway answers from the simulator, with some calls made beforehand.
"""

import asyncio
import random
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.async_api import async_playwright

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "src"))

from tests.serving import post, serving  # noqa: E402

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
ADMIN = "admin-key-for-pictures"


async def main() -> None:
    out = ROOT / "docs/images"
    out.mkdir(parents=True, exist_ok=True)
    config = Path(tempfile.mkdtemp()) / "gateway.yaml"
    config.write_text(
        "routes:\n  smart:\n    strategy: balanced\n    targets:\n    - {model: gpt-4o}\n"
        "    - {model: claude-sonnet-4-5}\n"
        "    experiment:\n      name: brief\n      variants:\n      - {name: as-it-was}\n"
        "      - {name: brief, model: gpt-4o-mini, system: Be brief.}\n"
    )
    settings = {
        "ADMIN_KEY": ADMIN, "DATA_DIR": str(config.parent / "data"), "ACCESS": "open",
        "CACHE_TTL": "5", "AUDIT": "full",
    }  # fmt: skip
    async with serving(settings, config) as running, async_playwright() as playwright:
        await make_calls(running.url)
        path = shutil.which("chromium")
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            context = await browser.new_context(
                viewport={"width": 1280, "height": 860}, color_scheme=scheme
            )
            page = await context.new_page()
            await page.goto(f"{running.url}/dashboard")
            await page.get_by_label("Key").wait_for()
            await page.screenshot(path=out / f"dashboard-sign-in-{scheme}.png")
            await page.get_by_label("Key").fill(ADMIN)
            await page.get_by_role("button", name="Sign in").click()
            await page.get_by_role("heading", name="Overview").wait_for()
            for name in PAGES:
                await page.goto(f"{running.url}/dashboard/{name}")
                await page.locator("main h1").wait_for()
                if name == "playground":
                    await page.get_by_role("button", name="Ask").click()
                if name == "providers":
                    await page.get_by_role("button", name="Explain").click()
                await page.wait_for_timeout(700)
                await page.screenshot(path=out / f"dashboard-{name}-{scheme}.png")
            await page.goto(f"{running.url}/dashboard/calls")
            await page.locator("tr.link").first.click()
            await page.wait_for_timeout(500)
            await page.screenshot(path=out / f"dashboard-call-{scheme}.png")
            await context.close()
        await browser.close()


async def make_calls(url: str) -> None:
    admin = {"authorization": f"Bearer {ADMIN}"}
    for title in ("Acme Search", "Northwind"):
        id = title.split()[0].lower()
        await post(f"{url}/admin/tenants", f'{{"id":"{id}","title":"{title}"}}'.encode(), admin)
        body = (
            f'{{"name":"{title} production","tenant":"{id}","policy":{{"models":["gpt-*","claude-*","smart"],'
            '"budgets":[{"per":"key","amount":"250","period":"month"}]}}'
        )
        await post(f"{url}/admin/keys", body.encode(), admin)
    choices = random.Random(7)
    models = ["gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5", "smart", "smart", "smart", "gpt-4.1"]
    for at in range(420):
        model = choices.choice(models)
        text = f"Question {choices.randrange(900)} about the weather " * choices.randrange(1, 40)
        user = choices.choice(
            [
                "ada",
                "grace",
                "linus",
                "margaret",
                "alan",
                "edsger",
                "barbara",
                "donald",
                "frances",
                "tony",
            ]
        )
        body = f'{{"model":"{model}","messages":[{{"role":"user","content":"{text}"}}]}}'
        headers = {"x-user-id": user, "x-simulator-first-token-ms": str(choices.randrange(5, 60))}
        if at % 23 == 0:
            body = '{"model":"gpt-4o","messages":[{"role":"user","content":"x"}],"n":500}'
        if at % 31 == 0:
            headers |= {"x-simulator-error-rate": "1", "x-simulator-error-kind": "503"}
        await post(f"{url}/v1/chat/completions", body.encode(), headers)
    await asyncio.sleep(2)


if __name__ == "__main__":
    asyncio.run(main())
