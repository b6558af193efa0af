"""The providers of `gateway.yaml` and of the variables: which are configured, where, with which keys."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import cast, get_args
from urllib.parse import urlsplit

from msgspec import Struct

from ai_gateway.catalogue.provider import (
    CUSTOM_DIALECTS,
    LIKE,
    Auth,
    Provider,
    custom_provider,
)

from .findings import Findings
from .secret import Secret
from .tree import ConfiguredProvider
from .yaml_file import Entry

_OF_ONES_OWN = ("auth", "dialect", "embeddings", "responses")
"""What is known of the providers in the table, and must be said of others."""
PROVIDER_KEYS = ("base_url", "key", "keys", *_OF_ONES_OWN, "region", "project")
_PLACE = re.compile(r"[a-z0-9][a-z0-9.:-]{0,99}")


class _Keys(Struct, frozen=True):
    keys: tuple[Secret, ...]
    origin: str
    weights: tuple[float, ...] = ()


class ProviderReader:
    def __init__(self, found: Findings, known: Mapping[str, Provider]) -> None:
        self._found = found
        self._known = known

    def read(self) -> dict[str, ConfiguredProvider]:
        given = self._provider_entries()
        found: dict[str, ConfiguredProvider] = {}
        for name, provider in self._known.items():
            configured = self._configured(provider, given.pop(name, None))
            if configured is not None:
                found[name] = configured
        for name, entry in given.items():
            configured = self._custom(name, entry)
            if configured is not None:
                found[name] = configured
        return found

    def _provider_entries(self) -> dict[str, Entry]:
        entry = self._found.entries.get("providers")
        if entry is None:
            return {}
        if not isinstance(entry.value, dict):
            self._found.problem(
                f"{self._found.file}:{entry.line}",
                "providers",
                "must be a mapping",
                "Name each provider.",
            )
            return {}
        return dict(entry.value)

    def _fields(self, name: str, entry: Entry | None) -> dict[str, tuple[str, int]]:
        """The plain values of one provider's entry, with their lines."""
        if entry is None:
            return {}
        if not isinstance(entry.value, dict):
            self._found.problem(
                f"{self._found.file}:{entry.line}", f"providers.{name}", "must be a mapping",
                "Give it base_url or key.",
            )  # fmt: skip
            return {}
        fields: dict[str, tuple[str, int]] = {}
        for key, value in entry.value.items():
            if key not in PROVIDER_KEYS:
                self._found.unknown(value.line, key, list(PROVIDER_KEYS))
            elif key == "keys":
                # Read by `_keys`.
                continue
            elif not isinstance(value.value, str):
                self._found.problem(
                    f"{self._found.file}:{value.line}", f"providers.{name}.{key}",
                    "must be a single value", "Write it on one line.",
                )  # fmt: skip
            else:
                fields[key] = (value.value, value.line)
        return fields

    def _configured(self, provider: Provider, entry: Entry | None) -> ConfiguredProvider | None:
        fields = self._fields(provider.name, entry)
        for key in sorted(fields.keys() & set(_OF_ONES_OWN)):
            self._found.problem(
                f"{self._found.file}:{fields[key][1]}", f"providers.{provider.name}.{key}",
                f"is known of {provider.title}, and cannot be changed",
                "Leave it out, or give the provider a name of its own.",
            )  # fmt: skip
        read = self._keys(provider, fields, entry)
        keys, origin = read.keys, read.origin
        url = self._found.environ.get(provider.base_url_env)
        where, name = "environment", provider.base_url_env
        if not url and "base_url" in fields:
            url, line = fields["base_url"]
            where, name = f"{self._found.file}:{line}", f"providers.{provider.name}.base_url"
        variables = self._variables(provider, fields, keys)
        if variables is None:
            return None
        if not keys and not variables and (provider.key_required or not url):
            if url:
                self._found.warnings.append(
                    f"{name} is set, but without {provider.key_env} {provider.title} is not used."
                )
            return None
        base = provider.base_url.format(**variables)
        if variables.get("region") == "global":
            # Google's name for no region in particular is not part of its host's.
            base = base.replace("//global-", "//")
        if url:
            checked = self._base_url(url, where, name, provider.base_url or provider.base_path)
            if checked is None:
                return None
            base = checked
        if not base:
            self._found.problem(
                "environment",
                provider.base_url_env,
                "is not set",
                "Set it to the server's address.",
            )
            return None
        if not keys and provider.cloud is not None:
            origin = f"{provider.cloud}'s own credentials"
        return ConfiguredProvider(
            provider=provider,
            base_url=base,
            keys=keys,
            key_origin=origin,
            weights=read.weights,
            variables=variables,
        )

    def _variables(
        self,
        provider: Provider,
        fields: Mapping[str, tuple[str, int]],
        keys: tuple[Secret, ...],
    ) -> dict[str, str] | None:
        """Those that the provider's address needs; None where it is not configured."""
        found: dict[str, str] = {}
        for name, variable in provider.variables.items():
            value = self._found.environ.get(variable) or fields.get(name, ("", 0))[0]
            if value and not _PLACE.fullmatch(value):
                self._found.problem("environment", variable, "is no such name", "Correct it.")
                return None
            if value:
                found[name] = value
        missing = [v for name, v in provider.variables.items() if name not in found]
        if missing and (found or keys):
            self._found.problem(
                "environment", missing[0], "is not set", f"{provider.title} needs it."
            )
        return None if missing else found

    def _keys(
        self, provider: Provider, fields: Mapping[str, tuple[str, int]], entry: Entry | None
    ) -> "_Keys":
        """Several are used in turn: in the variable parted by commas, in the file a list."""
        texts = [
            t.strip() for t in self._found.environ.get(provider.key_env, "").split(",") if t.strip()
        ]
        if texts:
            if not all(map(_is_plain, texts)):
                self._found.problem(
                    "environment",
                    provider.key_env,
                    "is no key: it holds odd characters",
                    "Copy it anew.",
                )
                return _Keys((), "none")
            return _Keys(tuple(Secret(text) for text in texts), provider.key_env)
        name = f"providers.{provider.name}"
        if "key" in fields:
            reference, line = fields["key"]
            where = f"{self._found.file}:{line}"
            key = self._key(reference, where, f"{name}.key")
            return _Keys(() if key is None else (key,), where)
        given = (
            entry.value.get("keys") if entry is not None and isinstance(entry.value, dict) else None
        )
        if given is None:
            return _Keys((), "none")
        where = f"{self._found.file}:{given.line}"
        if not isinstance(given.value, list) or not given.value:
            self._found.problem(
                where, f"{name}.keys", "must be a list", "Write one a line, after a dash."
            )
            return _Keys((), "none")
        found: list[Secret] = []
        weights: list[float] = []
        for number, item in enumerate(given.value):
            at, path = f"{self._found.file}:{item.line}", f"{name}.keys[{number}]"
            reference, weight = _weighed(item)
            if reference is None or weight is None:
                self._found.problem(
                    at, path, "must be a reference, or a key with a weight above 0",
                    "Write env:NAME, or {key: env:NAME, weight: 2}.",
                )  # fmt: skip
            elif (key := self._key(reference, at, path)) is not None:
                found.append(key)
                weights.append(weight)
        return _Keys(tuple(found), where, tuple(weights) if len(set(weights)) > 1 else ())

    def _key(self, reference: str, where: str, name: str) -> Secret | None:
        key = self._found.secret(reference, where, name)
        if key is not None and not _is_plain(key.reveal()):
            self._found.problem(where, name, "is no key: it holds odd characters", "Copy it anew.")
            return None
        return key

    def _custom(self, name: str, entry: Entry) -> ConfiguredProvider | None:
        """A provider that is not in the table: it needs only its base URL."""
        fields = self._fields(name, entry)
        where = f"{self._found.file}:{entry.line}"
        if not (name.isascii() and name.replace("-", "_").isidentifier()):
            self._found.problem(
                where, name, "is no name for a provider", "Use letters, digits and dashes."
            )
            return None
        if "base_url" not in fields:
            near = get_close_matches(name, list(self._known), n=1, cutoff=0.7)
            remedy = f"Did you mean {near[0]}?" if near else "Give it a base_url."
            self._found.problem(where, f"providers.{name}", "is not a known provider", remedy)
            return None
        auth = self._one_of(name, fields, "auth", get_args(Auth))
        dialect = self._one_of(name, fields, "dialect", CUSTOM_DIALECTS) or CUSTOM_DIALECTS[0]
        embeddings, responses = _is_on(fields, "embeddings"), _is_on(fields, "responses")
        for wanted, key, able in (
            (embeddings, "embeddings", ("openai_chat", "gemini", "cohere")),
            (responses, "responses", ("openai_chat",)),
        ):
            if wanted and dialect not in able:
                self._found.problem(
                    f"{self._found.file}:{fields[key][1]}", f"providers.{name}.{key}",
                    f"is nothing that {dialect} has",
                    f"Leave it out; it goes with {', '.join(able)}.",
                )  # fmt: skip
                return None
        url, line = fields["base_url"]
        default = self._known[LIKE[dialect]].base_url if dialect in LIKE else ""
        where, key = f"{self._found.file}:{line}", f"providers.{name}.base_url"
        base = self._base_url(url, where, key, default)
        if base is None:
            return None
        provider = custom_provider(
            name,
            base,
            auth=cast(Auth | None, auth),
            dialect=dialect,
            embeddings=embeddings,
            responses=responses,
        )
        read = self._keys(provider, fields, entry)
        keys, origin = read.keys, read.origin
        return ConfiguredProvider(
            provider=provider, base_url=base, keys=keys, key_origin=origin, weights=read.weights
        )

    def _one_of(
        self,
        provider: str,
        fields: Mapping[str, tuple[str, int]],
        key: str,
        choices: tuple[str, ...],
    ) -> str | None:
        if key not in fields:
            return None
        value, line = fields[key]
        if value in choices:
            return value
        self._found.problem(
            f"{self._found.file}:{line}", f"providers.{provider}.{key}",
            f"must be one of {', '.join(choices)}", "Correct it.",
        )  # fmt: skip
        return None

    def _base_url(self, url: str, where: str, name: str, default: str) -> str | None:
        """Checked, without a trailing slash; an address without a path gets the provider's own.

        So `ANTHROPIC_BASE_URL=https://host` works as well as `https://host/v1`.
        """
        try:
            parts = urlsplit(url.strip())
            port_is_good = parts.port is None or parts.port > 0
        except ValueError:
            parts, port_is_good = None, False
        if (
            parts is None
            or not port_is_good
            or parts.scheme not in ("http", "https")
            or not parts.hostname
            or not _is_plain(url.strip())
            or " " in url.strip()
            or parts.query
            or parts.fragment
            or parts.username
        ):
            self._found.problem(
                where, name, "must be an http or https address without a query",
                "Write it like https://host/v1.",
            )  # fmt: skip
            return None
        path = parts.path.rstrip("/")
        if not path:
            path = (urlsplit(default).path if default else "/v1").rstrip("/")
        return f"{parts.scheme}://{parts.netloc}{path}"


def _is_on(fields: Mapping[str, tuple[str, int]], key: str) -> bool:
    return fields.get(key, ("", 0))[0].lower() in ("true", "yes", "on")


def _is_plain(text: str) -> bool:
    """Fit to stand in a request's head."""
    return text.isascii() and text.isprintable()


def _weighed(item: Entry) -> tuple[str | None, float | None]:
    """(reference, weight) of `env:NAME` or of `{key: env:NAME, weight: 2}`; None for what is wrong."""
    if isinstance(item.value, str):
        return item.value, 1.0
    if not isinstance(item.value, dict) or not {"key"} <= set(item.value) <= {"key", "weight"}:
        return None, None
    key = item.value["key"].value
    written = item.value["weight"].value if "weight" in item.value else "1"
    try:
        weight = float(written) if isinstance(written, str) else 0.0
    except ValueError:
        weight = 0.0
    return (key if isinstance(key, str) else None), (weight if 0 < weight < 1e6 else None)
