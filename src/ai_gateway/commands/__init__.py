"""Commands of `ai-gateway` that do their work and end: keys, tenants, migrate."""
