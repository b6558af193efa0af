"""An MCP server (modelcontextprotocol.io), as written in `gateway.yaml` under `mcp_servers.<name>`."""

from msgspec import Struct, field


class McpServer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    url: str
    """Its streamable-HTTP endpoint."""
    headers: dict[str, str] = field(default_factory=dict[str, str])
    """Sent with every request; values are references, `env:NAME` or `file:/path`."""
    tools: tuple[str, ...] = ("*",)
    """Tools that callers may see and call, as shell patterns."""
