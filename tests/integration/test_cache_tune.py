"""`ai-gateway cache tune` over a running gateway: audited calls, their export, embeddings, verdicts."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, create_subprocess_exec
from pathlib import Path

import pytest

from tests.integration.test_caching import CHAT, asked, chat_answer
from tests.serving import Got, answers, get, in_front_of, post, providing, serving

ADMIN = {"authorization": "Bearer admin-canary"}
ASKED = {
    "How do I reset my Gmail password?": ([1.0, 0.0, 0.0], "Settings, then Security."),
    "How can I reset a Gmail password?": ([0.99, 0.14, 0.0], "Settings, then Security!"),
    "What is the capital of France?": ([0.0, 0.0, 1.0], "Paris."),
    "What is the capital of Spain?": ([0.0, 0.1, 0.99], "Madrid."),
}
LIES = {"Settings, then Security.": 0, "Settings, then Security!": 0, "Paris.": 1, "Madrid.": 2}


async def model(got: Got, writer: asyncio.StreamWriter) -> None:
    given = json.loads(got.body)
    if got.path.endswith("/embeddings"):
        data = [
            {
                "object": "embedding",
                "index": at,
                "embedding": ASKED[text][0]
                if text in ASKED
                else [float(LIES[text] == axis) for axis in range(3)],
            }
            for at, text in enumerate(given["input"])
        ]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        body = {"object": "list", "model": "e", "data": data, "usage": usage}
        await answers(json.dumps(body).encode())(got, writer)
        return
    content = given["messages"][0]["content"]
    told = ASKED[content][1] if content in ASKED else "yes" if "Gmail" in content else "No."
    await answers(chat_answer(told))(got, writer)


async def tune(*arguments: str) -> tuple[int | None, str]:
    process = await create_subprocess_exec(
        sys.executable, "-m", "ai_gateway", "cache", "tune", *arguments, stdout=PIPE, stderr=PIPE
    )
    out, err = await process.communicate()
    return process.returncode, (out + err).decode()


@pytest.mark.parametrize("judge", [(), ("--verifier", "gpt-4o-mini")], ids=["answers", "verifier"])
async def test_audited_calls_are_paired_judged_and_measured(
    judge: tuple[str, ...], tmp_path: Path
) -> None:
    environ = {"ADMIN_KEY": "admin-canary", "ACCESS": "open", "AUDIT": "full"}
    exported, judged = tmp_path / "audit.jsonl", tmp_path / "pairs.jsonl"
    async with (
        providing(model) as provider,
        serving(in_front_of(provider) | environ) as running,
    ):
        for question in ASKED:
            assert (await post(running.url + CHAT, asked(question))).status == 200
        export = b""
        for _ in range(100):
            export = (await get(running.url + "/admin/audit/export", ADMIN)).body
            if len(export.splitlines()) == len(ASKED):
                break
            await asyncio.sleep(0.05)
        exported.write_bytes(export)
        code, said = await tune(
            "--audited", str(exported), "--embedder", "text-embedding-3-small",
            "--url", running.url, "--judged", str(judged), *judge,
        )  # fmt: skip
    assert code == 0, said
    assert "4 audited calls, 4 questions that compare, 2 pairs" in said
    assert "2 pairs (1 the same)" in said
    found = [json.loads(line) for line in judged.read_text().splitlines()]
    assert {pair["same"]: "Gmail" in pair["a"] for pair in found} == {True: True, False: False}


async def test_nothing_to_measure_is_said() -> None:
    code, said = await tune("--embedder", "e")
    assert code == 2
    assert "--audited" in said
