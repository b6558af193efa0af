"""MCP through the gateway: the official package as server and as client."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
import uvicorn
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import MCPServer

from tests.serving import get, post, serving

A, B = "sk-gw-aaaaaaaaaaaaaaaaaaaaaaaa", "sk-gw-bbbbbbbbbbbbbbbbbbbbbbbb"
CONFIG = """
mcp_servers:
  math:
    url: http://127.0.0.1:{port}/mcp
    headers: {{authorization: 'env:MATH_TOKEN'}}
    tools: [add, multiply]
keys:
  a: {{key: 'env:KEY_A', tenant: acme}}
  b: {{key: 'env:KEY_B', tenant: other, policy: {{tools: ['math/add']}}}}
  c: {{key: 'env:KEY_C', tenant: third, policy: {{tools: ['files/*']}}}}
"""
C = "sk-gw-cccccccccccccccccccccccc"


@asynccontextmanager
async def math_server() -> AsyncGenerator[tuple[int, list[dict[str, str]]], None]:
    server = MCPServer("math")
    seen: list[dict[str, str]] = []

    @server.tool()
    def add(a: int, b: int) -> int:
        """Adds."""
        return a + b

    @server.tool()
    def multiply(a: int, b: int) -> int:
        """Multiplies."""
        return a * b

    @server.tool()
    def delete_everything() -> str:
        """Should never be reachable."""
        raise AssertionError("called")

    inner = server.streamable_http_app()

    async def app(scope, receive, send):  # type: ignore[no-untyped-def]
        if scope["type"] == "http":
            seen.append({n.decode(): v.decode() for n, v in scope["headers"]})
        await inner(scope, receive, send)

    config = uvicorn.Config(app, port=0, log_level="error", lifespan="on")
    running = uvicorn.Server(config)
    import asyncio

    task = asyncio.create_task(running.serve())
    while not running.started:
        await asyncio.sleep(0.01)
    port = running.servers[0].sockets[0].getsockname()[1]
    try:
        yield port, seen
    finally:
        running.should_exit = True
        running.force_exit = True
        await task


@asynccontextmanager
async def gateway(tmp_path: Path, port: int) -> AsyncGenerator[str, None]:
    config = tmp_path / "gateway.yaml"
    config.write_text(CONFIG.format(port=port))
    environ = {"KEY_A": A, "KEY_B": B, "KEY_C": C, "MATH_TOKEN": "Bearer canary-upstream"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environ.items():
            patch.setenv(name, value)
        async with serving({**environ, "DATA_DIR": str(tmp_path)}, config) as running:
            yield running.url


@asynccontextmanager
async def session(url: str, key: str) -> AsyncGenerator[ClientSession, None]:
    headers = {"authorization": f"Bearer {key}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=20) as http,
        streamable_http_client(f"{url}/mcp/math", http_client=http) as (read, write, *_),
        ClientSession(read, write) as one,
    ):
        await one.initialize()
        yield one


async def test_the_official_client_lists_and_calls_the_tools_it_may(tmp_path: Path) -> None:
    async with math_server() as (port, seen), gateway(tmp_path, port) as url:
        async with session(url, A) as one:
            assert {tool.name for tool in (await one.list_tools()).tools} == {"add", "multiply"}
            result = await one.call_tool("multiply", {"a": 6, "b": 7})
            assert result.content[0].text == "42"  # type: ignore[union-attr]
        async with session(url, B) as two:
            assert {tool.name for tool in (await two.list_tools()).tools} == {"add"}
            result = await two.call_tool("add", {"a": 1, "b": 2})
            assert result.content[0].text == "3"  # type: ignore[union-attr]
            with pytest.raises(Exception, match="Unknown tool: multiply"):
                await two.call_tool("multiply", {"a": 6, "b": 7})
        async with session(url, A) as one:
            with pytest.raises(Exception, match="Unknown tool: delete_everything"):
                await one.call_tool("delete_everything", {})
        assert {headers.get("authorization") for headers in seen} == {"Bearer canary-upstream"}


async def test_keys_guard_servers_and_sessions(tmp_path: Path) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"}).encode()
    accept = {"accept": "application/json, text/event-stream"}
    async with math_server() as (port, _), gateway(tmp_path, port) as url:
        assert (await post(f"{url}/mcp/math", body)).status == 401
        allowed = {"authorization": f"Bearer {A}", **accept}
        assert (await post(f"{url}/mcp/nothing", body, allowed)).status == 404
        others = {"authorization": f"Bearer {C}", **accept}
        assert (await post(f"{url}/mcp/math", body, others)).status == 404
        begin = {
            "jsonrpc": "2.0", "id": 1, "method": "initialize",
            "params": {"protocolVersion": "2025-06-18", "capabilities": {},
                       "clientInfo": {"name": "t", "version": "1"}},
        }  # fmt: skip
        begun = await post(f"{url}/mcp/math", json.dumps(begin).encode(), allowed)
        assert begun.status == 200
        mine = begun.headers["mcp-session-id"]
        stolen = {"authorization": f"Bearer {B}", "mcp-session-id": mine, **accept}
        assert (await post(f"{url}/mcp/math", body, stolen)).status == 404
        assert b"canary" not in begun.body
        metrics = (await get(f"{url}/metrics")).body.decode()
        assert 'provider="mcp/math"' in metrics


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[1]", b'"x"', b'{"method":"tools/call","params":[]}']
)
async def test_what_is_no_message_is_refused(tmp_path: Path, body: bytes) -> None:
    async with math_server() as (port, _), gateway(tmp_path, port) as url:
        got = await post(f"{url}/mcp/math", body, {"authorization": f"Bearer {A}"})
    assert got.status == 400


async def test_a_server_that_is_away_is_a_bad_gateway(tmp_path: Path) -> None:
    async with gateway(tmp_path, 1) as url:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"}).encode()
        got = await post(f"{url}/mcp/math", body, {"authorization": f"Bearer {A}"})
    assert got.status == 502
