"""What of the settings can be swapped, as it may be shown: who compares two of them sees what changed,
and never a secret."""

from collections.abc import Mapping
from typing import Any

from msgspec import to_builtins

from ai_gateway.model.key import ConfiguredKey

from .tree import ConfiguredProvider, Settings

_SECTIONS = ("routes", "providers", "tenants", "keys")


def swapped(before: Settings, after: Settings) -> dict[str, dict[str, Any]]:
    """`before` and `after`: the entries that differ, by section and name; one that is not there is None.
    A secret that is another one now shows as `secret: changed`."""
    found: dict[str, dict[str, Any]] = {"before": {}, "after": {}}
    for section in _SECTIONS:
        old: Mapping[str, Any] = getattr(before, section)
        new: Mapping[str, Any] = getattr(after, section)
        for name in sorted(old.keys() | new.keys()):
            was, now = old.get(name), new.get(name)
            if was == now:
                continue
            one, other = _shown(was), _shown(now)
            if one == other and one is not None and other is not None:
                one, other = {}, {"secret": "changed"}
            found["before"].setdefault(section, {})[name] = one
            found["after"].setdefault(section, {})[name] = other
    return found


def _shown(entry: Any) -> dict[str, Any] | None:
    if entry is None:
        return None
    if isinstance(entry, ConfiguredProvider):
        return {
            "base_url": entry.base_url,
            "keys": len(entry.keys),
            "key_origin": entry.key_origin,
            "weights": list(entry.weights),
            "variables": dict(entry.variables),
        }
    shown: dict[str, Any] = to_builtins(entry)
    if isinstance(entry, ConfiguredKey):
        # By hash it is as good as the key to who can make guesses at it.
        del shown["hash"]
    return shown
