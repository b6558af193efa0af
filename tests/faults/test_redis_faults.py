"""Redis killed, hung, read-only, full, slow, without its scripts, and back: under load, on a real one."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from time import perf_counter

import pytest

from tests.figures import Figure
from tests.ports import free_port
from tests.redis_server import RedisServer
from tests.serving import Running, answers, ask, get, in_front_of, providing, serving

# What Redis's loss costs a call is a few milliseconds: nothing else may be at work.
pytestmark = pytest.mark.timing

CHAT = "/v1/chat/completions"
ASKED = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
ANSWER = (
    b'{"id":"c","object":"chat.completion","created":1,"model":"gpt-4o","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,'
    b'"completion_tokens":5,"total_tokens":15}}'
)
LOCAL = {"RATE_LIMIT_CAPACITY": "1000000", "RATE_LIMIT_REFILL_RATE": "1000", "REDIS_TIMEOUT": "0.1"}


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    server = RedisServer()
    server.start()
    yield server
    if server.process is not None:
        server.go_on()
    server.kill()


CALLERS = 4


class Load:
    """Calls one after another by several callers, until stopped; their statuses, and the gateway's own part of their time.

    Beside them the loop itself is watched, which the gateway runs on too: by what other work on the
    machine holds it up, a call is not held to have waited.
    """

    def __init__(self, running: Running) -> None:
        self._running = running
        self.statuses: Counter[int] = Counter()
        self.waited: list[float] = []
        """Of each call, what the gateway took of it while the loop was free."""
        self._late: list[tuple[float, float]] = []
        self.degraded = 0
        self._stopped = False

    async def _caller(self) -> None:
        body = json.dumps(ASKED).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", self._running.port)
        while not self._stopped:
            began = perf_counter()
            writer.write(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
                b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
                % (len(body), body)
            )
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
            await reader.readexactly(int(fields["content-length"]))
            seconds = float(fields["x-gateway-overhead-ms"]) / 1000
            held_up = sum(late for at, late in self._late[-200:] if at >= began)
            self.waited.append(max(0.0, seconds - held_up))
            self.statuses[int(head.split(" ")[1])] += 1
            self.degraded += fields.get("x-gateway-degraded") == "limits"
            await asyncio.sleep(0.002)
        writer.close()

    async def _watch(self) -> None:
        while not self._stopped:
            due = perf_counter() + 0.005
            await asyncio.sleep(0.005)
            late = perf_counter() - due
            if late > 0.002:
                self._late.append((perf_counter(), late))

    async def around(self, happening: Callable[[], Awaitable[None]]) -> None:
        callers = [asyncio.create_task(self._caller()) for _ in range(CALLERS)]
        callers.append(asyncio.create_task(self._watch()))
        await happening()
        self._stopped = True
        await asyncio.gather(*callers)


async def metric(running: Running, name: str) -> float:
    page = (await get(running.url + "/metrics")).body.decode()
    return next(
        float(line.split()[-1]) for line in page.splitlines() if line.startswith(name + " ")
    )


async def lost(running: Running, expected: bool) -> None:
    for _ in range(200):
        if await metric(running, "gateway_state_degraded") == expected:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"gateway_state_degraded did not become {expected:d}")


def _kill(redis: RedisServer) -> None:
    redis.kill()


def _read_only(redis: RedisServer) -> None:
    redis.tell("REPLICAOF", "127.0.0.1", "1")


def _full(redis: RedisServer) -> None:
    redis.tell("CONFIG", "SET", "maxmemory", "1")


def _start(redis: RedisServer) -> None:
    redis.start()


def _writable(redis: RedisServer) -> None:
    redis.tell("REPLICAOF", "NO", "ONE")


def _roomy(redis: RedisServer) -> None:
    redis.tell("CONFIG", "SET", "maxmemory", "0")


FAULTS = {
    "killed": (_kill, _start),
    "hung": (RedisServer.hang, RedisServer.go_on),
    "read-only": (_read_only, _writable),
    "full": (_full, _roomy),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_no_call_fails_while_redis_is_away_and_it_is_taken_up_again(
    redis: RedisServer, fault: str, figure: Figure
) -> None:
    break_it, mend_it = FAULTS[fault]
    async with (
        providing(answers(ANSWER)) as provider,
        serving({**in_front_of(provider), **LOCAL, "REDIS_ADDR": redis.address}) as running,
    ):
        load = Load(running)

        async def happening() -> None:
            await asyncio.sleep(0.5)
            break_it(redis)
            await lost(running, True)
            ready = await get(running.url + "/ready")
            assert ready.status == 200
            assert b'"notes":[' in ready.body
            await asyncio.sleep(1)
            mend_it(redis)
            await lost(running, False)
            await asyncio.sleep(0.3)

        await load.around(happening)
        assert set(load.statuses) == {200}
        assert load.degraded > 0
        assert await metric(running, "gateway_state_losses_total") == 1
        held_up = sum(seconds > 0.05 for seconds in load.waited)
        figure(
            f"Redis {fault}:",
            f"{load.statuses[200]} of {sum(load.statuses.values())} calls answered, {load.degraded} by "
            f"local counts, {held_up} held up by more than 50 ms",
        )
        # Calls in flight when it went wait for the time-out, no other does.
        assert held_up <= CALLERS
        after = await ask("POST", running.url + CHAT, ASKED)
        assert "x-gateway-degraded" not in after.headers


async def test_a_slow_redis_is_a_lost_one(redis: RedisServer, figure: Figure) -> None:
    """Answers come 200 ms late, by a relay in between."""
    delay = [0.0]

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", redis.port)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            try:
                while data := await source.read(65536):
                    await asyncio.sleep(delay[0])
                    sink.write(data)
            except OSError:
                pass
            finally:
                sink.close()

        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with (
        providing(answers(ANSWER)) as provider,
        serving({**in_front_of(provider), **LOCAL, "REDIS_ADDR": f"127.0.0.1:{port}"}) as running,
    ):
        load = Load(running)

        async def happening() -> None:
            await asyncio.sleep(0.3)
            delay[0] = 0.2
            await lost(running, True)
            await asyncio.sleep(1.5)
            assert await metric(running, "gateway_state_degraded") == 1
            delay[0] = 0
            await lost(running, False)

        await load.around(happening)
        assert set(load.statuses) == {200}
        held_up = sum(seconds > 0.05 for seconds in load.waited)
        figure("Redis 200 ms slow:", f"{held_up} of {len(load.waited)} held up by more than 50 ms")
        # Those in flight when it turned slow.
        assert held_up <= CALLERS
    server.close()


async def test_forgotten_scripts_go_unnoticed(redis: RedisServer) -> None:
    async with (
        providing(answers(ANSWER)) as provider,
        serving({**in_front_of(provider), **LOCAL, "REDIS_ADDR": redis.address}) as running,
    ):
        load = Load(running)

        async def happening() -> None:
            for _ in range(10):
                await asyncio.sleep(0.05)
                redis.tell("SCRIPT", "FLUSH")

        await load.around(happening)
        assert set(load.statuses) == {200}
        assert load.degraded == 0
        assert await metric(running, "gateway_state_losses_total") == 0


async def test_a_gateway_starts_without_its_redis_and_finds_it_later() -> None:
    redis = RedisServer(port=free_port())
    async with (
        providing(answers(ANSWER)) as provider,
        serving({**in_front_of(provider), **LOCAL, "REDIS_ADDR": redis.address}) as running,
    ):
        assert (await ask("POST", running.url + CHAT, ASKED)).headers["x-gateway-degraded"]
        redis.start()
        try:
            await lost(running, False)
        finally:
            redis.kill()


async def test_refuse_fails_closed(redis: RedisServer) -> None:
    given = {**LOCAL, "REDIS_ADDR": redis.address, "LIMITS_ON_STATE_LOSS": "refuse"}
    async with (
        providing(answers(ANSWER)) as provider,
        serving({**in_front_of(provider), **given}) as running,
    ):
        assert (await ask("POST", running.url + CHAT, ASKED)).status == 200
        redis.kill()
        got = await ask("POST", running.url + CHAT, ASKED)
        assert (got.status, b"limits_unavailable" in got.body) == (503, True)
        assert got.headers["retry-after"] == "1"
        assert (await get(running.url + "/ready")).status == 503
        assert len(provider.got) == 1
        redis.start()
        await lost(running, False)
        assert (await ask("POST", running.url + CHAT, ASKED)).status == 200


async def test_budgets_are_exact_again_after_an_outage(
    redis: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What was spent meanwhile is in the ledger, from which the sum is counted anew."""
    config = tmp_path_factory.mktemp("budget") / "gateway.yaml"
    config.write_text("budgets:\n  - {per: tenant, unit: tokens, amount: 1000000, period: month}\n")
    environ: Mapping[str, str] = {**LOCAL, "REDIS_ADDR": redis.address}
    async with (
        providing(answers(ANSWER)) as provider,
        serving({**in_front_of(provider), **environ}, config) as running,
    ):
        load = Load(running)

        async def happening() -> None:
            await asyncio.sleep(0.5)
            redis.hang()
            await lost(running, True)
            await asyncio.sleep(0.5)
            redis.go_on()
            await lost(running, False)
            await asyncio.sleep(0.5)

        await load.around(happening)
        assert set(load.statuses) == {200}
        spent = load.statuses[200] * 15
        # Let the last records reach the ledger, lose the sum, and let the next call count it anew.
        await asyncio.sleep(2)
        keys = redis.tell("KEYS", "gw:{default}:spent:*tokens:month:*")
        key = next(k.decode() for k in keys.split(b"\r\n") if k.endswith(b"-01"))
        redis.tell("HDEL", key, "s")
        assert (await ask("POST", running.url + CHAT, ASKED)).status == 200
        for _ in range(100):
            counted = redis.tell("HGET", key, "s").split(b"\r\n")[1]
            if counted == b"%d" % (spent + 15):
                break
            await asyncio.sleep(0.02)
        assert counted == b"%d" % (spent + 15)
