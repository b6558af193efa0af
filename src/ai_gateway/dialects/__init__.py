"""Wire formats: bytes <-> Chat / Answer / Event. Sans-io: no clock, no socket, no settings.

Each dialect is one package (`openai_chat`, `anthropic_messages`) that ends in one `Dialect` value,
registered in `registry.py`. N dialects make N modules, not N x N: they meet in `ai_gateway.model`.
"""
