"""Routes made and explained by the admin API, health, breakers by hand, and gateway.yaml read anew."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

from tests.serving import Answered, answers, ask, get, post

from .routes import CHAT, GOOD, Routed, answer, asked, good, refusal, routing

ADMIN = "admin-key-for-tests"
OPEN = {"ADMIN_KEY": ADMIN, "ACCESS": "open"}


async def admin(routed: Routed, method: str, path: str, body: Any = None) -> Answered:
    return await ask(method, f"{routed.url}/admin/{path}", body, ADMIN)


async def test_a_route_is_made_changed_and_deleted_without_a_restart(tmp_path: Path) -> None:
    async with routing(tmp_path, [good("first"), good("second")], **OPEN) as routed:
        assert (await post(routed.url + CHAT, asked("mine"))).status == 404
        for model, word in (("a/m", b"first"), ("b/m", b"second")):
            made = await admin(routed, "PUT", "routes/mine", {"targets": [{"model": model}]})
            assert made.status == 200, made.body
            assert word in (await post(routed.url + CHAT, asked("mine"))).body
        listed = json.loads((await admin(routed, "GET", "routes")).body)["data"]
        assert [(r["name"], r["origin"]) for r in listed] == [("mine", "admin"), ("smart", "gateway.yaml")]  # fmt: skip
        assert (await admin(routed, "GET", "routes/mine")).status == 200
        assert (await admin(routed, "DELETE", "routes/mine")).status == 204
        assert (await post(routed.url + CHAT, asked("mine"))).status == 404
        assert (await admin(routed, "DELETE", "routes/mine")).status == 404


async def test_a_made_route_outlives_the_process(tmp_path: Path) -> None:
    environ = {**OPEN, "DATA_DIR": str(tmp_path / "data")}
    async with routing(tmp_path, [good("first")], **environ) as routed:
        await admin(routed, "PUT", "routes/mine", {"targets": [{"model": "a/m"}]})
    async with routing(tmp_path, [good("first")], **environ) as routed:
        assert (await post(routed.url + CHAT, asked("mine"))).status == 200


async def test_a_bad_route_changes_nothing_and_says_what_is_wrong(tmp_path: Path) -> None:
    async with routing(tmp_path, [GOOD], **OPEN) as routed:
        for body, word in (
            ({"targets": []}, b"empty"),
            ({"targets": [{"model": "nowhere/m"}]}, b"targets[0].model"),
            ({"targets": [{"model": "smart"}]}, b"leads to models"),
            ({"targets": [{"model": "a/m", "weight": 0}]}, b"weight"),
            ({"targets": [{"model": "a/m"}], "strategy": "random"}, b"strategy"),
            ({"targets": [{"model": "a/m"}], "tragets": 1}, b"tragets"),
        ):
            got = await admin(routed, "PUT", "routes/mine", body)
            assert got.status == 400
            assert word in got.body
        assert (await admin(routed, "PUT", "routes/smart", {"targets": [{"model": "a/m"}]})).status == 409  # fmt: skip
        assert (await post(routed.url + CHAT, asked())).status == 200


async def test_explain_says_who_is_asked_and_why_others_are_not(tmp_path: Path) -> None:
    async with routing(
        tmp_path, [refusal(500), GOOD, refusal(429, retry_after="60")], **OPEN
    ) as routed:
        await post(routed.url + CHAT, asked())
        await admin(routed, "PUT", "breakers/a/m", {"state": "open"})
        await post(routed.url + CHAT, asked("c/m"))
        question = {"body": json.loads(asked())}
        got = json.loads((await admin(routed, "POST", "routes/explain", question)).body)
        assert (got["route"], got["strategy"]) == ("smart", "priority")
        assert [c["provider"] for c in got["order"]] == ["b", "a", "c"]
        assert "against" not in got["order"][0]
        assert "breaker is open" in got["order"][1]["against"][0]
        assert "throttled" in got["order"][2]["against"][0]
        before = routed.counts()
        await admin(routed, "POST", "routes/explain", question)
        assert routed.counts() == before
        assert (await admin(routed, "POST", "routes/explain", {"body": {"model": "none-such", "messages": []}})).status in (400, 404)  # fmt: skip


async def test_health_and_breakers_by_hand(tmp_path: Path) -> None:
    async with routing(tmp_path, [good("first"), good("second")], **OPEN) as routed:
        await post(routed.url + CHAT, asked())
        forced = await admin(routed, "PUT", "breakers/a/m", {"state": "open"})
        assert json.loads(forced.body)["forced"] == "open"
        assert b"second" in (await post(routed.url + CHAT, asked())).body
        health = json.loads((await admin(routed, "GET", "health")).body)
        assert {(t["provider"], t["state"]) for t in health["targets"]} >= {("a", "open"), ("b", "closed")}  # fmt: skip
        text = (await get(routed.url + "/metrics")).body.decode()
        assert 'gateway_breaker_state{model="m",provider="a"} 2' in text
        assert 'gateway_breaker_changes_total{cause="admin",model="m",provider="a",state="open"} 1' in text  # fmt: skip
        await admin(routed, "PUT", "breakers/a/m", {"state": None})
        assert b"first" in (await post(routed.url + CHAT, asked())).body
        assert (await admin(routed, "PUT", "breakers/none/m", {"state": "open"})).status == 404
        assert (await ask("GET", routed.url + "/admin/health")).status == 401


async def test_health_tells_a_breakers_history_and_what_is_left_of_a_quota(tmp_path: Path) -> None:
    left = {
        "x-ratelimit-remaining-requests": "7", "x-ratelimit-limit-requests": "10",
        "x-ratelimit-reset-requests": "30s",
    }  # fmt: skip
    scripts = [answers(answer(), headers=left), refusal(429, retry_after="60"), GOOD]
    async with routing(tmp_path, scripts, keys=("one", "two"), **OPEN) as routed:
        for model in ("a/m", "a/m", "b/m", "c/m"):
            await post(routed.url + CHAT, asked(model))
        await admin(routed, "PUT", "breakers/a/m", {"state": "open"})
        health = json.loads((await admin(routed, "GET", "health")).body)
        a, b, c = (next(t for t in health["targets"] if t["provider"] == name) for name in "abc")
        (change,) = a["changes"]
        assert (change["from"], change["to"], change["cause"]) == ("closed", "open", "admin")
        assert abs(change["at"] - time.time()) < 60
        assert [x["number"] for x in a["credentials"]] == [0, 1]
        for credential in a["credentials"]:
            (quota,) = credential["quotas"]
            assert (quota["unit"], quota["remaining"], quota["limit"]) == ("requests", 7, 10)
            assert 0 < quota["resets_in"] <= 30
        assert all(50 < x["resting_for"] <= 60 for x in b["credentials"])
        assert "changes" not in c
        assert [set(x) for x in c["credentials"]] == [{"number"}, {"number"}]


async def test_a_changed_file_takes_force_and_a_bad_one_does_not(tmp_path: Path) -> None:
    async with routing(tmp_path, [good("first"), good("second")], **OPEN) as routed:
        config = tmp_path / "gateway.yaml"
        text = config.read_text()
        gateway = routed.running.gateway
        config.write_text(text.replace("model: a/m", "model: b/m2"))
        assert gateway.reload()
        assert b"second" in (await post(routed.url + CHAT, asked())).body
        for bad in (
            "routes: [",
            text.replace("model: a/m", "model: nowhere/m"),
            text + "prot: 1\n",
        ):
            config.write_text(bad)
            assert not gateway.reload()
            assert b"second" in (await post(routed.url + CHAT, asked())).body
            ready = await get(routed.url + "/ready")
            assert ready.status == 200
            assert b"not in force" in ready.body
        metrics = (await get(routed.url + "/metrics")).body
        assert b'gateway_config_reloads_total{outcome="refused"} 3' in metrics
        config.write_text(text)
        for _ in range(100):
            # The file is watched, too.
            if b"first" in (await post(routed.url + CHAT, asked())).body:
                break
            await asyncio.sleep(0.05)
        else:
            raise AssertionError("the file was not read anew")
        assert b"not in force" not in (await get(routed.url + "/ready")).body


async def test_calls_over_the_limit_queue_then_are_refused_with_advice(tmp_path: Path) -> None:
    release = asyncio.Event()

    async def held(got, writer):  # type: ignore[no-untyped-def]
        await release.wait()
        await GOOD(got, writer)

    environ = {"MAX_IN_FLIGHT": "2", "MAX_QUEUE": "1", "QUEUE_TIMEOUT": "5", **OPEN}
    async with routing(tmp_path, [held], **environ) as routed:
        calls = [asyncio.ensure_future(post(routed.url + CHAT, asked())) for _ in range(4)]
        done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED, timeout=3)
        refused = done.pop().result()
        assert refused.status == 503
        assert refused.headers["retry-after"] == "1"
        assert json.loads(refused.body)["error"]["code"] == "queue_full"
        text = (await get(routed.url + "/metrics")).body.decode()
        assert "gateway_queue_depth 1" in text
        assert 'gateway_shed_total{reason="queue_full"} 1' in text
        assert (await get(routed.url + "/health")).status == 200
        assert (await admin(routed, "GET", "health")).status == 200
        release.set()
        assert [c.result().status for c in calls if (await asyncio.wait([c])) and c.result() is not refused] == [200] * 3  # fmt: skip


async def test_auto_goes_where_routes_lead_and_explain_and_the_model_list_show_it(
    tmp_path: Path,
) -> None:
    missing = answers(
        b'{"error":{"message":"gone","type":"invalid_request_error","code":"model_not_found"}}', 404
    )
    async with routing(tmp_path, [missing, good("second")], **OPEN) as routed:
        assert (await post(routed.url + CHAT, asked("a/m"))).status == 404
        # What does not exist at its provider is not asked before others for a while.
        got = await post(routed.url + CHAT, asked("auto"))
        assert b"second" in got.body
        assert got.headers["x-gateway-attempts"] == "1"
        question = {"body": json.loads(asked("auto"))}
        told = json.loads((await admin(routed, "POST", "routes/explain", question)).body)
        assert (told["route"], told["strategy"]) == ("auto", "balanced")
        assert [c["provider"] for c in told["order"]] == ["b", "a"]
        listed = json.loads((await get(routed.url + "/v1/models")).body)["data"]
        assert [m["id"] for m in listed if m["owned_by"] == "gateway"] == ["auto", "smart"]
        made = {"targets": [{"model": "a/*"}], "strategy": "cheapest"}
        assert (await admin(routed, "PUT", "routes/auto", made)).status == 200
        told = json.loads((await admin(routed, "POST", "routes/explain", question)).body)
        assert (told["strategy"], [c["provider"] for c in told["order"]]) == ("cheapest", ["a"])
        bad = await admin(routed, "PUT", "routes/mine", {"targets": [{"model": "none*"}]})
        assert bad.status == 400
        assert b"fits no chat model" in bad.body
