"""MCP servers behind the gateway: who may call which of their tools. Sans-io."""
