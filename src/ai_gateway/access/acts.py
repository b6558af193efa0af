"""What an administrator's act tells of tenants and keys: never a key or its hash."""

from collections.abc import Iterable
from typing import Any

from msgspec import Raw
from sqlalchemy import Row

TENANT_COLUMNS = ("title", "policy", "metadata", "disabled")
KEY_COLUMNS = ("name", "user", "role", "policy", "tags", "metadata", "disabled", "expires_at")
_JSON_COLUMNS = frozenset({"policy", "tags", "metadata"})


def told(row: Row[Any], columns: Iterable[str]) -> dict[str, Any]:
    found = {name: getattr(row, name) for name in columns}
    return {n: Raw(v.encode("utf-8")) if n in _JSON_COLUMNS else v for n, v in found.items()}


def changes(old: Row[Any], new: Row[Any], columns: Iterable[str]) -> dict[str, Any]:
    return {"before": told(old, columns), "after": told(new, columns)}
