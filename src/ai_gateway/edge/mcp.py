"""`/mcp/{server}`: MCP servers over streamable HTTP, with the gateway's keys, limits and ledger.

A message goes on to the letter. Callers see and call only the tools that the server's entry and their
key allow; a session is its tenant's.
"""

from collections.abc import Callable, Mapping

from msgspec import Struct

from ai_gateway.access.access import Access
from ai_gateway.dialects.sse import BlockSplitter
from ai_gateway.forward import ForwardReply, Headers, Passing
from ai_gateway.mcp.messages import (
    MayUse,
    events_with_only,
    read_request,
    refusal,
    with_only,
)
from ai_gateway.model.call import Caller, Outcome, Request, Target
from ai_gateway.model.errors import GatewayError
from ai_gateway.model.mcp import McpServer
from ai_gateway.pipeline import Pipeline
from ai_gateway.routing.gates import Gate
from ai_gateway.routing.patterns import fits
from ai_gateway.state.store import State

from .asgi import Receive, Scope
from .body import read_body
from .uploads import BytesUpload

PREFIX = "/mcp/"
PATH = "/mcp/{server}"
_METHODS = frozenset({"GET", "POST", "DELETE"})
_LARGEST = 4 * 1024 * 1024
_SESSION_SECONDS = 86_400.0
_HANDED_ON = ("accept", "content-type", "last-event-id")


class McpGate(Struct, frozen=True, kw_only=True):
    """A server, ready to be asked."""

    server: McpServer
    headers: tuple[tuple[str, str], ...]
    """With their secrets."""


def mcp_gates(servers: Mapping[str, McpServer], reveal: Callable[[str], str]) -> dict[str, McpGate]:
    """`reveal` resolves a secret's reference. Raises ValueError where one cannot be had."""
    return {
        name: McpGate(
            server=server,
            headers=tuple(
                (header, reveal(reference)) for header, reference in server.headers.items()
            ),
        )
        for name, server in servers.items()
    }


class McpEndpoint:
    def __init__(
        self,
        gates: Mapping[str, McpGate],
        access: Access,
        pipeline: Pipeline,
        state: State,
    ) -> None:
        self._gates = gates
        self._access = access
        self._pipeline = pipeline
        self._state = state

    async def serve(
        self,
        scope: Scope,
        receive: Receive,
        request: Request,
        outcome: Outcome,
        reply: ForwardReply,
    ) -> None:
        """Raises GatewayError, CallerLeft."""
        caller = outcome.caller = await self._access.caller(request.headers)
        name = scope["path"].removeprefix(PREFIX)
        gate = self._gates.get(name)
        if gate is None or not _sees(caller, name):
            raise GatewayError(
                "not_found", f"There is no MCP server {name[:100]!a}.", code="mcp_server_not_found"
            )
        method: str = scope["method"]
        if method not in _METHODS:
            raise GatewayError("method_not_allowed", "This path takes GET, POST and DELETE.")
        await self._check_session(request.headers, caller)

        def may_use(tool: str) -> bool:
            allowed = fits(gate.server.tools, tool)
            return allowed and fits(caller.policy.tools, f"{name}/{tool}")

        body = b""
        tool = "-"
        if method == "POST":
            body = await read_body(receive, request.headers, _LARGEST)
            asked = read_request(body)
            for wanted in asked.tools:
                if not may_use(wanted):
                    await _answer(refusal(asked.id, wanted), outcome, reply)
                    return
            tool = asked.tools[0] if asked.tools else (asked.methods or ("-",))[0]
        outcome.requested_model = tool[:256]
        passing = Passing(
            method=method,
            path="",
            headers=_handed_on(request.headers),
            upload=BytesUpload(body),
            provider=name,
            endless=method == "GET",
        )
        kept = _FilteringReply(reply, may_use, self._state, caller)
        await self._pipeline.forward(request, passing, outcome, kept, _gate_of(name, gate, tool))

    async def _check_session(self, headers: Mapping[bytes, bytes], caller: Caller) -> None:
        """Raises GatewayError(not_found) for another tenant's session."""
        given = headers.get(b"mcp-session-id")
        if given is None:
            return
        owner = await self._state.get(_session_key(given))
        if owner is not None and owner != caller.tenant.encode():
            raise GatewayError("not_found", "There is no such session.", code="session_not_found")


def _sees(caller: Caller, name: str) -> bool:
    """Whether any tool of the server could be the caller's."""
    return any(
        pattern == "*" or fits((pattern.split("/", 1)[0],), name) for pattern in caller.policy.tools
    )


def _gate_of(name: str, gate: McpGate, tool: str) -> Gate:
    return Gate(
        target=Target(provider=f"mcp/{name}", model=tool[:256]),
        base_url=gate.server.url,
        headers=gate.headers,
        own_headers=frozenset(n.lower() for n, _ in gate.headers),
    )


def _handed_on(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    return {
        name: value.decode("latin-1")
        for raw, value in headers.items()
        if (name := raw.decode("latin-1")) in _HANDED_ON or name.startswith("mcp-")
    }


def _session_key(session: bytes) -> str:
    return f"gw:mcp:{{{session[:256].decode('latin-1')}}}"


async def _answer(body: bytes, outcome: Outcome, reply: ForwardReply) -> None:
    outcome.status = 200
    length = (b"content-length", b"%d" % len(body))
    await reply.start(outcome, [(b"content-type", b"application/json"), length])
    await reply.piece(body)
    await reply.end()


class _FilteringReply:
    """Takes tools out of lists that pass, and notes whose a new session is."""

    def __init__(self, inner: ForwardReply, may_use: MayUse, state: State, caller: Caller) -> None:
        self._inner = inner
        self._may_use = may_use
        self._state = state
        self._caller = caller
        self._held: list[bytes] | None = None
        self._splitter: BlockSplitter | None = None
        self._outcome: Outcome | None = None
        self._headers: Headers = []

    @property
    def begun(self) -> bool:
        return self._inner.begun

    async def start(self, outcome: Outcome, headers: Headers) -> None:
        known = dict(headers)
        session = known.get(b"mcp-session-id")
        if session is not None:
            owner = self._caller.tenant.encode()
            self._state.set(_session_key(session), owner, _SESSION_SECONDS)
        kind = known.get(b"content-type", b"")
        if kind.startswith(b"application/json"):
            self._held, self._outcome = [], outcome
            self._headers = [h for h in headers if h[0] != b"content-length"]
            return
        if kind.startswith(b"text/event-stream"):
            self._splitter = BlockSplitter()
            headers = [h for h in headers if h[0] != b"content-length"]
        await self._inner.start(outcome, headers)

    async def piece(self, data: bytes) -> None:
        if self._held is not None:
            self._held.append(data)
        elif self._splitter is not None:
            whole = self._splitter.feed(data)
            if whole:
                await self._inner.piece(events_with_only(whole, self._may_use))
        else:
            await self._inner.piece(data)

    async def end(self) -> None:
        if self._held is not None:
            assert self._outcome is not None
            body = with_only(b"".join(self._held), self._may_use)
            length = (b"content-length", b"%d" % len(body))
            await self._inner.start(self._outcome, [*self._headers, length])
            await self._inner.piece(body)
        await self._inner.end()
