"""The names under which answers are stored.

`gw:{tenant}:cache:<model>:<whose><digest>`. The tenant stands in braces, as in every key of its own, so
that on Redis Cluster all that one call takes lies in one slot; model and the rest are hashes. What is
shared by all tenants is `gw:shared:cache:...`, which no tenant's name can become.
"""

from hashlib import blake2b

SHARED = "gw:shared:cache:"


def key_prefix(tenant: str | None, user: str | None, model: str, sources: str) -> str:
    """All of a key but the question's digest. `tenant` None: shared by all; `user` None: by all users;
    `sources`: whatever else tells answers of the same name apart."""
    whose = "" if user is None and not sources else _hash(f"{user or ''}\0{sources}")
    return f"{tenant_prefix(tenant)}{_hash(model)}:{whose}"


def tenant_prefix(tenant: str | None) -> str:
    return SHARED if tenant is None else f"gw:{{{tenant}}}:cache:"


def pattern(tenant: str | None, model: str | None) -> str:
    """Redis's pattern for the keys of a tenant and a model, or of all where None."""
    whose = "gw:*:cache:" if tenant is None else _literal(tenant_prefix(tenant))
    return f"{whose}*" if model is None else f"{whose}{_hash(model)}:*"


def _literal(text: str) -> str:
    return "".join(f"\\{c}" if c in "*?[]^\\" else c for c in text)


def _hash(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
