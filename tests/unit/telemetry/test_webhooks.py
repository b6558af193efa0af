"""Webhooks: signed, once for the same thing, tried again, never in the way; and what makes the alarm."""

import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from msgspec import Struct, field

from ai_gateway.courier import Loss
from ai_gateway.telemetry.error_budget import ErrorBudget
from ai_gateway.telemetry.metrics import Metrics
from ai_gateway.telemetry.webhooks import Webhooks

BUDGET = {"tenant": "acme", "per": "tenant", "unit": "usd", "period": "month", "used": 5}


class Hook(Struct):
    port: int = 0
    statuses: list[int] = field(default_factory=list[int])
    """To be answered in turn; 200 afterwards."""
    got: list[tuple[dict[str, str], bytes]] = field(
        default_factory=list[tuple[dict[str, str], bytes]]
    )

    def wait_for(self, count: int) -> list[dict[str, object]]:
        deadline = time.monotonic() + 5
        while len(self.got) < count and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(0.05)
        return [json.loads(body) for _, body in self.got]


@contextmanager
def hooked() -> Iterator[Hook]:
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            hook.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
            status = hook.statuses.pop(0) if hook.statuses else 200
            self.send_response(status)
            self.send_header("location", "http://127.0.0.1:1/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hook.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hook
    finally:
        server.shutdown()
        server.server_close()


class Counted:
    def __init__(self) -> None:
        self.sent = 0
        self.losses: dict[str, int] = {}

    def add(self, count: int) -> None:
        self.sent += count

    def lost(self, reason: Loss, count: int) -> None:
        self.losses[reason] = self.losses.get(reason, 0) + count


def webhooks(port: int, counted: Counted) -> Webhooks:
    return Webhooks(
        f"http://127.0.0.1:{port}/hook?x=1", "secret-canary", instance="here:1",
        sent=counted.add, lost=counted.lost, pauses=(0.01, 0.01),
    )  # fmt: skip


def test_an_event_is_sent_signed_and_once() -> None:
    counted = Counted()
    with hooked() as hook:
        hooks = webhooks(hook.port, counted)
        hooks.heard("budget_passed", BUDGET)
        hooks.heard("budget_passed", BUDGET | {"used": 6})
        hooks.heard("budget_passed", BUDGET | {"tenant": "other"})
        hooks.heard("breaker", {"provider": "openai", "model": "m", "state": "half_open"})
        hooks.heard("breaker", {"provider": "openai", "model": "m", "state": "open"})
        hooks.heard("serving", {})
        told = hook.wait_for(3)
        hooks.close()
    assert [(n["event"], n["fields"].get("tenant")) for n in told] == [  # type: ignore[attr-defined]
        ("budget_passed", "acme"), ("budget_passed", "other"), ("breaker", None),
    ]  # fmt: skip
    headers, body = hook.got[0]
    signed = hmac.digest(
        b"secret-canary", f"{headers['x-gateway-timestamp']}.".encode() + body, "sha256"
    )
    assert headers["x-gateway-signature"] == f"sha256={signed.hex()}"
    assert headers["x-gateway-event-id"] == told[0]["id"]
    assert b"canary" not in body
    assert counted.sent == 3


def test_what_is_not_taken_is_tried_again_under_the_same_id_and_then_counted() -> None:
    counted = Counted()
    with hooked() as hook:
        hook.statuses = [503, 429]
        hooks = webhooks(hook.port, counted)
        hooks.heard("state_lost", {})
        told = hook.wait_for(3)
        assert len({n["id"] for n in told}) == 1
        hook.statuses = [500, 500, 500]
        hooks.heard("ledger_database_lost", {})
        assert len(hook.wait_for(6)) == 6
        hooks.close()
    assert (counted.sent, counted.losses) == (1, {"failed": 1})


def test_a_refusal_is_final_and_a_redirect_is_not_followed() -> None:
    for status in (404, 302):
        counted = Counted()
        with hooked() as hook:
            hook.statuses = [status]
            hooks = webhooks(hook.port, counted)
            hooks.heard("state_lost", {})
            assert len(hook.wait_for(1)) == 1
            hooks.close()
        assert counted.losses == {"failed": 1}


def test_nobody_there_holds_nothing_up() -> None:
    counted = Counted()
    hooks = webhooks(1, counted)
    started = time.monotonic()
    hooks.heard("state_lost", {})
    assert time.monotonic() - started < 0.1
    hooks.close()
    assert sum(counted.losses.values()) == 1


def test_the_error_budget_alarms_when_both_windows_burn() -> None:
    metrics = Metrics("1")
    told: list[tuple[float, float]] = []
    budget = ErrorBudget(metrics, lambda hour, short: told.append((hour, short)))

    def minute(calls: int, failed: int) -> None:
        for number in range(calls):
            status = 502 if number < failed else 200
            metrics.observe_http("POST", "/v1/chat/completions", status, 0.1)
            metrics.observe_http("GET", "/metrics", 500, 0.1)
        budget.look()

    for _ in range(10):
        minute(100, 0)
    assert told == []
    minute(100, 100)
    assert told[-1] == (100 / 1100, 100 / 500)
    told.clear()
    for _ in range(5):
        minute(100, 0)
    told.clear()
    minute(100, 0)
    assert told == []


def test_few_calls_make_no_alarm() -> None:
    metrics = Metrics("1")
    told: list[float] = []
    budget = ErrorBudget(metrics, lambda hour, short: told.append(hour))
    for _ in range(40):
        metrics.observe_http("POST", "/v1/chat/completions", 502, 0.1)
    budget.look()
    assert told == []
