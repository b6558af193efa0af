"""Takes the dashboard's pictures for the documents: .venv/bin/python scripts/screenshots.py

Needs Chromium on the path. The gateway answers from the simulator, with some calls made beforehand; the
month before is written into its ledger.
"""

import asyncio
import json
import random
import shutil
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.async_api import Page, async_playwright

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "src"))

from tests.integration.test_dashboard_queries import keep, record  # noqa: E402
from tests.serving import get, post, serving  # noqa: E402

from ai_gateway.routing.experiment_report import Feedback  # noqa: E402
from ai_gateway.routing.results import keep_feedback  # noqa: E402
from ai_gateway.storage.database import Database, database_url  # noqa: E402

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
HEIGHT = 860


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
        await make_month(config.parent / "data", await make_keys(running.url))
        await make_calls(running.url)
        path = shutil.which("chromium")
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            context = await browser.new_context(
                viewport={"width": 1280, "height": HEIGHT}, color_scheme=scheme
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
                if name == "overview":
                    # What comes in now is to be seen.
                    for _ in range(7):
                        await make_some(running.url)
                        await page.wait_for_timeout(700)
                if name == "playground":
                    await page.get_by_role("button", name="Ask").click()
                if name == "providers":
                    await page.get_by_role("button", name="Explain").click()
                    await page.locator("summary").first.click()
                    await page.evaluate("scrollTo(0, 0)")
                await page.wait_for_timeout(1500)
                await taken(page, out / f"dashboard-{name}-{scheme}.png")
            await page.goto(f"{running.url}/dashboard/calls/{await eventful(running.url)}")
            await page.wait_for_timeout(1500)
            await taken(page, out / f"dashboard-call-{scheme}.png")
            await context.close()
        await browser.close()


async def taken(page: Page, path: Path) -> None:
    """The whole page, up to a height that a document bears."""
    tall = int(await page.evaluate("document.querySelector('main').scrollHeight"))
    await page.set_viewport_size({"width": 1280, "height": max(HEIGHT, min(1500, tall))})
    await page.wait_for_timeout(300)
    await page.screenshot(path=path)
    await page.set_viewport_size({"width": 1280, "height": HEIGHT})


async def eventful(url: str) -> str:
    """The id of a call that was answered at its second attempt, or later."""
    got = await get(f"{url}/admin/calls?limit=1000", {"authorization": f"Bearer {ADMIN}"})
    found = [one for one in json.loads(got.body)["data"] if one["requested_model"] == "smart"]
    return max(found, key=lambda one: (one["attempts"] > 1, "error" not in one))["id"]


async def make_some(url: str) -> None:
    for at in range(random.randrange(2, 9)):
        text = f"What is the weather like on day {random.randrange(10**6)}?"
        body = {
            "model": "smart",
            "stream": at % 2 == 0,
            "messages": [{"role": "user", "content": text}],
        }
        headers = {"x-user-id": "ada", "x-gateway-tags": "team=search, env=prod"}
        if at == 0:
            headers |= {"x-simulator-error-rate": "0.6", "x-simulator-error-kind": "503"}
        await post(f"{url}/v1/chat/completions", json.dumps(body).encode(), headers)


async def make_month(data: Path, keys: Mapping[str, str]) -> None:
    """Six thousand calls of two tenants over thirty days, fewer at night and at weekends."""
    choices, now = random.Random(3), datetime.now(UTC)
    models = [
        ("openai", "gpt-4o", 9), ("openai", "gpt-4o-mini", 1), ("anthropic", "claude-sonnet-4-5", 11),
        ("gemini", "gemini-2.5-pro", 5),
    ]  # fmt: skip
    records = []
    while len(records) < 6000:
        at = now - timedelta(seconds=choices.randrange(3600, 60 * 86400))
        busy = (1.0 if at.weekday() < 5 else 0.3) * (1.0 if 7 <= at.hour <= 18 else 0.25)
        if choices.random() > busy * (1.15 - (now - at).days / 90):
            continue
        provider, model, price = choices.choices(models, (5, 4, 4, 2))[0]
        hit = choices.random() < 0.22
        semantic = hit and choices.random() < 0.4
        tokens, took = choices.randrange(200, 6000), int(choices.lognormvariate(13.6, 0.5))
        cost = tokens * price * 4 * 10**6
        tenant = choices.choice(["acme", "acme", "northwind"])
        records.append(
            record(
                len(records), at, tenant=tenant, provider=provider, model=model, requested_model=model,
                user=choices.choice(["ada", "grace", "linus", "margaret", "alan"]), key_id=keys[tenant],
                route=choices.choice([None, "smart"]), stream=not hit and choices.random() < 0.6,
                tags=f'["team={choices.choice(["search", "support", "billing"])}","env=prod"]',
                input_tokens=0 if hit else tokens, output_tokens=0 if hit else tokens // 5,
                cost_pico=0 if hit else cost, saved_pico=cost if hit else None,
                cache=("semantic" if semantic else "hit") if hit else "miss",
                cache_key=f"gw:{{{tenant}}}:cache:{int(choices.paretovariate(0.8)) % 40:040x}" if hit else None,
                similarity=9150 + int(choices.betavariate(2.2, 1.6) * 850) if semantic else None,
                duration_us=2000 if hit else took, upstream_us=0 if hit else took - 700,
                first_token_us=None if hit else took // 4,
                **({"error": "upstream", "status": 502} if not hit and choices.random() < 0.015 else {}),
            )
        )  # fmt: skip
    database = Database(database_url(None, data))
    await keep(database, *records)
    for one in records:
        if one.similarity is not None and choices.random() < max(
            0, 0.35 - (one.similarity - 9150) / 1500
        ):
            said = Feedback(call=one.id, score=None, label="bad_cache_hit", comment=None)
            await keep_feedback(database, one.tenant, one.user, said)
    await database.close()


async def make_keys(url: str) -> dict[str, str]:
    """A key's id for each tenant."""
    admin, found = {"authorization": f"Bearer {ADMIN}"}, {}
    for title, amount in (("Acme Search", 250), ("Northwind", 70)):
        id = title.split()[0].lower()
        await post(f"{url}/admin/tenants", f'{{"id":"{id}","title":"{title}"}}'.encode(), admin)
        body = (
            f'{{"name":"{title} production","tenant":"{id}","policy":{{"models":["gpt-*","claude-*","smart"],'
            f'"budgets":[{{"per":"key","amount":"{amount}","period":"month"}}]}}}}'
        )
        made = await post(f"{url}/admin/keys", body.encode(), admin)
        found[id] = json.loads(made.body)["details"]["id"]
    return found


async def make_calls(url: str) -> None:
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
        headers = {"x-user-id": user, "x-gateway-tags": "team=search, env=prod"}
        headers |= {"x-simulator-first-token-ms": str(choices.randrange(5, 60))}
        if at % 23 == 0:
            body = '{"model":"gpt-4o","messages":[{"role":"user","content":"x"}],"n":500}'
        if at % 31 == 0:
            headers |= {"x-simulator-error-rate": "1", "x-simulator-error-kind": "503"}
        await post(f"{url}/v1/chat/completions", body.encode(), headers)
    # One provider's model fails until its breaker opens.
    ill = b'{"model":"gpt-4.1-mini","messages":[{"role":"user","content":"x"}]}'
    for _ in range(15):
        failing = {"x-simulator-error-rate": "1", "x-simulator-error-kind": "500"}
        await post(f"{url}/v1/chat/completions", ill, failing)
    await asyncio.sleep(2)


if __name__ == "__main__":
    asyncio.run(main())
