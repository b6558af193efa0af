"""Keys and credentials that change under a running gateway."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import monotonic

from tests.integration.test_admin import ADMIN, ANSWER, call
from tests.serving import Provider, answers, in_front_of, providing, serving

YAML = """
tenants:
  acme:
    policy: {{models: [{models}]}}
keys:
  search:
    key: file:{key}
    tenant: acme
providers:
  openai:
    base_url: {url}
    keys:
      - key: file:{first}
        weight: 3
      - file:{second}
"""


def settings(provider: Provider, directory: Path, **fields: str) -> str:
    files = {name: str(directory / name) for name in ("key", "first", "second")}
    return YAML.format(url=provider.url, **{"models": "gpt-*", **files, **fields})


async def becomes(true: Callable[[], Awaitable[bool]]) -> None:
    deadline = monotonic() + 8
    while not await true():
        assert monotonic() < deadline
        await asyncio.sleep(0.1)


async def test_credentials_by_weight_and_by_file_are_read_anew_and_so_are_callers_keys(
    tmp_path: Path,
) -> None:
    for name in ("key", "first", "second"):
        (tmp_path / name).write_text(f"sk-{name}\n")
    config = tmp_path / "gateway.yaml"
    async with providing(answers(ANSWER)) as provider:
        config.write_text(settings(provider, tmp_path))
        environ = {
            **in_front_of(provider),
            "ADMIN_KEY": ADMIN,
            "OPENAI_API_KEY": "",
            "OPENAI_BASE_URL": "",
        }
        async with serving(environ, config) as running:
            for _ in range(8):
                assert await call(running, "sk-key") == 200
            shown = [got.headers["authorization"] for got in provider.got]
            assert shown.count("Bearer sk-first") == 6
            assert shown.count("Bearer sk-second") == 2
            # A secret's file is replaced, as Kubernetes does it: by renaming.
            (tmp_path / "new").write_text("sk-rotated\n")
            os.replace(tmp_path / "new", tmp_path / "first")

            async def shows_the_new_one() -> bool:
                assert await call(running, "sk-key") == 200
                return provider.got[-1].headers["authorization"] == "Bearer sk-rotated"

            await becomes(shows_the_new_one)
            (tmp_path / "key").write_text("sk-another\n")

            async def knows_the_new_key() -> bool:
                return await call(running, "sk-another") == 200

            await becomes(knows_the_new_key)
            assert await call(running, "sk-key") == 401
            config.write_text(settings(provider, tmp_path, models="claude-*"))

            async def may_no_longer() -> bool:
                return await call(running, "sk-another") == 403

            await becomes(may_no_longer)
            # What is wrong changes nothing.
            (tmp_path / "key").write_text("")
            await asyncio.sleep(2.5)
            assert await call(running, "sk-another") == 403
