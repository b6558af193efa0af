"""`kill -9` of the gateway under load, many times; then every call that was answered has to be in the
ledger exactly once, with what the provider itself counted.

    .venv/bin/python -m tests.faults.kill --kills 100 [--database postgresql]
"""

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

from msgspec import Struct

from tests.clients.conftest import start_gateway, start_simulator
from tests.faults.load import Callers
from tests.ports import free_port
from tests.postgresql import PostgreSQL
from tests.serving import ask

ADMIN = "admin-of-the-kill-test"
# US dollars a million tokens, in and out, written down here apart from the catalogue.
PRICES = {
    "gpt-4o": (Decimal("2.5"), Decimal(10)),
    "gpt-4o-mini": (Decimal("0.15"), Decimal("0.6")),
}


class Result(Struct, kw_only=True):
    kills: int
    asked: int
    answered: int
    records: int
    missing: list[str]
    """Answered, and not in the ledger."""
    twice: list[str]
    wrong: list[str]
    """In the ledger with other tokens than the provider counted."""
    cost_of_answered: Decimal
    """As the ledger has it."""
    cost_expected: Decimal
    """By the provider's own count."""
    unknown: list[str]
    """In the ledger, and the provider knows nothing of it."""
    sums_agree: bool
    """The roll-ups are the sums of the records."""

    @property
    def good(self) -> bool:
        none_wrong = not (self.missing or self.twice or self.wrong or self.unknown)
        return none_wrong and self.sums_agree and self.cost_of_answered == self.cost_expected


async def run(
    directory: Path, kills: int, database: dict[str, str], *, at_once: int = 16
) -> Result:
    simulator = start_simulator(directory, free_port(), "keep_calls=1000000", "first_token_ms=3")
    environ = {
        "OPENAI_API_KEY": "sk-simulated",
        "OPENAI_BASE_URL": f"{simulator.url}/v1",
        "ADMIN_KEY": ADMIN,
        "DATA_DIR": str(directory / "data"),
        "PORT": str(free_port()),
        "CACHE_TTL": "0",
        "RATE_LIMIT_CAPACITY": "1000000",
        "RATE_LIMIT_REFILL_RATE": "1000000",
        **database,
    }
    gateway = await asyncio.to_thread(lambda: start_gateway(directory, **environ))
    try:
        issued = await _admin(gateway.url, "POST", "/admin/keys", {"name": "callers"})
        callers = Callers(gateway.url, issued["key"], at_once=at_once)
        callers.start()
        for _ in range(kills):
            await asyncio.sleep(random.uniform(0.2, 0.8))
            gateway.process.kill()
            gateway.process.wait()
            gateway = await asyncio.to_thread(lambda: start_gateway(directory, **environ))
        await asyncio.sleep(0.5)
        await callers.stop()
        records = await _records(gateway.url, callers.good)
        report = await _admin(gateway.url, "GET", "/admin/usage?group_by=")
        counted = json.loads((await ask("GET", simulator.url + "/v1/simulator/calls")).body)
    finally:
        gateway.stop()
        simulator.stop()
    return _compare(kills, callers, records, counted, report)


async def _admin(url: str, method: str, path: str, body: object = None) -> Any:
    got = await ask(method, url + path, body, ADMIN)
    assert got.status < 300, got.body
    return json.loads(got.body)


async def _records(url: str, answered: list[str]) -> list[dict[str, Any]]:
    """All of the ledger, once nothing is added any more."""
    deadline = time.monotonic() + 60
    before = -1
    while time.monotonic() < deadline:
        records: list[dict[str, Any]] = []
        query = "?limit=1000"
        while query:
            page = await _admin(url, "GET", "/admin/calls" + query)
            records += page["data"]
            query = f"?limit=1000&before={page['next']}" if page["next"] else ""
        if len(records) == before and set(answered) <= {r["request_id"] for r in records}:
            return records
        before = len(records)
        await asyncio.sleep(2)
    return records


def _compare(
    kills: int,
    callers: Callers,
    records: list[dict[str, Any]],
    counted: list[tuple[str, str, int, int]],
    report: Any,
) -> Result:
    by_id = {record["request_id"]: record for record in records}
    times = Counter(record["request_id"] for record in records)
    provider = {user: (model, given, made) for user, model, given, made in counted}
    wrong: list[str] = []
    cost = expected = Decimal(0)
    for id in callers.good:
        if id not in by_id:
            continue
        record = by_id[id]
        model, given, made = provider[id]
        if (record["model"], record["input_tokens"], record["output_tokens"]) != (
            model,
            given,
            made,
        ):
            wrong.append(id)
        cost += Decimal(record.get("cost_usd", "0"))
        expected += (given * PRICES[model][0] + made * PRICES[model][1]) / 1_000_000
    total = report["total"]
    sums = (
        sum(record["input_tokens"] for record in records),
        sum(record["output_tokens"] for record in records),
        sum((Decimal(record.get("cost_usd", "0")) for record in records), Decimal(0)),
        len(records),
    )
    rolled = (
        total["input_tokens"], total["output_tokens"], Decimal(total["cost_usd"]), total["requests"],
    )  # fmt: skip
    return Result(
        kills=kills,
        asked=callers.asked,
        answered=len(callers.good),
        records=len(records),
        missing=[id for id in callers.good if id not in by_id],
        twice=[id for id, number in times.items() if number > 1],
        wrong=wrong,
        cost_of_answered=cost,
        cost_expected=expected,
        unknown=[id for id in by_id if id not in provider and by_id[id]["status"] == 200],
        sums_agree=sums == rolled,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kill-", dir="/tmp") as name:
        directory = Path(name)
        server = None
        database: dict[str, str] = {}
        if given.database == "postgresql":
            server = PostgreSQL(directory / "pg")
            database = {"DATABASE_URL": server.url()}
        try:
            result = asyncio.run(run(directory, given.kills, database))
        finally:
            if server is not None:
                server.stop()
    print(
        f"{result.kills} kills: {result.asked} asked, {result.answered} answered 2xx, "
        f"{result.records} records\n"
        f"answered but missing {len(result.missing)}, twice {len(result.twice)}, "
        f"other tokens than the provider counted {len(result.wrong)}, unknown {len(result.unknown)}\n"
        f"cost of the answered: ledger ${result.cost_of_answered}, by the provider's count "
        f"${result.cost_expected}; sums agree: {result.sums_agree}"
    )
    return 0 if result.good else 1


if __name__ == "__main__":
    raise SystemExit(main())
