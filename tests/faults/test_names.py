"""One provider's name does not resolve for a long time: the others' calls notice nothing.

The gateway is given a name server of ours by a file mounted over /etc/resolv.conf.
"""

import asyncio
import os
import shutil
import struct
import subprocess
from pathlib import Path
from typing import cast

import pytest
from pyreqwest.client import ClientBuilder

from tests.clients.conftest import start_gateway
from tests.faults.test_upstream import call, many, p99
from tests.faults.upstream import good
from tests.figures import Figure
from tests.serving import providing

CONFIG = """
providers:
  slow: {{base_url: "http://slow.test:{port}/v1"}}
  other: {{base_url: "http://other.test:{port}/v1"}}
  lost: {{base_url: "http://lost.test:{port}/v1"}}
routes:
  slow: {{targets: [{{model: slow/m}}], retries: 0}}
  other: {{targets: [{{model: other/m}}], retries: 0}}
  lost: {{targets: [{{model: lost/m}}], retries: 0}}
"""


class NameServer(asyncio.DatagramProtocol):
    """Answers 127.0.0.1 for other.test, nothing for slow.test until told, and that there is no lost.test."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.slow = True
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1 : at + 1 + data[at]].decode())
            at += 1 + data[at]
        name, question = ".".join(labels), data[12 : at + 5]
        self.asked.append(name)
        if name.startswith("slow") and self.slow:
            return
        known = name.startswith(("other", "slow"))
        wants_v4 = data[at + 1 : at + 3] == b"\x00\x01"
        record = b""
        if known and wants_v4:
            record = b"\xc0\x0c\x00\x01\x00\x01" + struct.pack("!IH", 1, 4) + bytes([127, 0, 0, 1])
        flags = 0x8180 if known else 0x8183
        head = struct.pack("!HHHHHH", *struct.unpack("!H", data[:2]), flags, 1, bool(record), 0, 0)
        assert self._transport is not None
        self._transport.sendto(head + question + record, addr)


def may_serve_names() -> bool:
    """Port 53 of this machine is free and ours, and files may be mounted over others."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    tried = ["unshare", "-m", "mount", "--bind", "/etc/hostname", "/etc/resolv.conf"]
    return subprocess.run(tried, capture_output=True).returncode == 0


@pytest.mark.skipif(not may_serve_names(), reason="needs port 53 and a mount namespace")
@pytest.mark.timing
async def test_a_name_that_is_slow_to_resolve_holds_up_no_other(
    tmp_path: Path, figure: Figure
) -> None:
    names = NameServer()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: names, local_addr=("127.0.0.53", 53))
    resolv = tmp_path / "resolv.conf"
    resolv.write_text("nameserver 127.0.0.53\noptions timeout:5 attempts:3\n")
    config = tmp_path / "gateway.yaml"
    mounted = f'mount --bind {resolv} /etc/resolv.conf && exec "$@"'
    async with providing(good) as provider, ClientBuilder().build() as client:
        config.write_text(CONFIG.format(port=provider.port))
        gateway = await asyncio.to_thread(
            lambda: start_gateway(
                tmp_path, within=("unshare", "-m", "sh", "-c", mounted, "sh"), CONFIG=str(config),
                CACHE_TTL="0", DATA_DIR=str(tmp_path / "data"), CONNECT_TIMEOUT="2",
            )
        )  # fmt: skip
        try:
            assert (await call(client, gateway.url, "lost", stream=False)).status == 502
            stuck = [
                asyncio.ensure_future(call(client, gateway.url, "slow", stream=False))
                for _ in range(40)
            ]
            await asyncio.sleep(0.3)
            # The scripted provider closes each connection, so every call looks its name up.
            others = await many(gateway.url, "other", stream=False)
            told = await asyncio.gather(*stuck)
            names.slow = False
            await asyncio.sleep(0.2)
            for _ in range(100):
                back = await call(client, gateway.url, "slow", stream=False)
                if back.status == 200:
                    break
                await asyncio.sleep(0.2)
        finally:
            await asyncio.to_thread(gateway.stop)
            transport.close()
    figure("calls to the slow name ended after", f"{max(one.seconds for one in told):.1f} s")
    figure("p99 of calls to another name meanwhile", f"{p99(others) * 1000:.0f} ms")
    assert {one.status for one in told} <= {502, 503}
    assert max(one.seconds for one in told) < 3
    assert all(one.whole for one in others)
    assert p99(others) < 0.5
    assert back.status == 200
