"""Environment and `gateway.yaml` -> Settings, or every problem at once."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast, get_args
from urllib.parse import urlsplit

from ai_gateway.catalogue.provider import Auth, Provider, custom_provider, load_providers
from ai_gateway.model.key import ConfiguredKey, TokenIssuer

from .declared import BY_NAME, SETTINGS, Setting
from .otlp import TracesEndpoint, traces_endpoint
from .secret import Secret, resolve_secret
from .sections import SECTIONS, Section, read_section
from .tree import ConfiguredProvider, Problem, Settings, SettingsError
from .yaml_file import Entry, read_yaml

DEFAULT_FILE = "gateway.yaml"
_PROVIDER_KEYS = ("base_url", "key", "keys", "auth", "embeddings", "region", "project")
_PLACE = re.compile(r"[a-z0-9][a-z0-9.:-]{0,99}")


def load_settings(environ: Mapping[str, str], config: Path | None = None) -> Settings:
    """A variable wins over the file. Raises SettingsError holding every problem found."""
    return _Loader(environ, config).load()


def config_path(environ: Mapping[str, str]) -> Path | None:
    """The file to read: the one `CONFIG` names, else `gateway.yaml` here if there is one."""
    named = environ.get("CONFIG")
    if named:
        return Path(named)
    here = Path(DEFAULT_FILE)
    return here if here.exists() else None


class _Loader:
    def __init__(self, environ: Mapping[str, str], config: Path | None) -> None:
        self._environ = environ
        self._file = config.name if config is not None else DEFAULT_FILE
        self._entries = read_yaml(config) if config is not None else {}
        self._problems: list[Problem] = []
        self._warnings: list[str] = []
        self._known = load_providers()

    def load(self) -> Settings:
        self._refuse_unknown_keys()
        values = {setting.name: self._value(setting) for setting in SETTINGS}
        if values["mode"] == "debug" and not self._is_set(BY_NAME["log_level"]):
            values["log_level"] = "debug"
        values["data_dir"] = Path(values["data_dir"])
        if values["prices"] is not None:
            values["prices"] = Path(values["prices"])
        sections = {section.name: self._section(section) for section in SECTIONS}
        self._check_access(sections["keys"], sections["auth"])
        providers = self._providers()
        traces = self._traces(values)
        self._warn_of_near_misses()
        if self._problems:
            raise SettingsError(self._problems)
        return Settings(
            **values,
            **sections,
            providers=providers,
            traces=traces,
            warnings=tuple(self._warnings),
        )

    def _traces(self, values: Mapping[str, Any]) -> TracesEndpoint | None:
        if values["otel_disabled"]:
            return None
        try:
            found = traces_endpoint(
                traces=values["otlp_traces_endpoint"],
                everything=values["otlp_endpoint"],
                jaeger=values["jaeger_endpoint"],
                protocol=values["otlp_protocol"],
            )
        except ValueError as error:
            self._problem("environment", "JAEGER_ENDPOINT", f"must be {error}", "Correct it.")
            return None
        if found is not None and found.warning is not None:
            self._warnings.append(found.warning)
        return found

    def _is_set(self, setting: Setting) -> bool:
        variables = (setting.variable, *setting.aliases)
        return setting.name in self._entries or any(self._environ.get(v) for v in variables)

    def _value(self, setting: Setting) -> Any:
        for variable in (setting.variable, *setting.aliases):
            text = self._environ.get(variable)
            if text:
                return self._parse(setting, text, "environment", variable)
        entry = self._entries.get(setting.name)
        if entry is None:
            return setting.default
        where = f"{self._file}:{entry.line}"
        if not isinstance(entry.value, str):
            self._problem(where, setting.name, "must be a single value", "Write it on one line.")
            return setting.default
        if setting.secret:
            return self._secret(entry.value, where, setting.name)
        return self._parse(setting, entry.value, where, setting.name)

    def _parse(self, setting: Setting, text: str, where: str, name: str) -> Any:
        try:
            value = setting.parse(text)
        except ValueError as error:
            self._problem(where, name, f"must be {error}", "Correct it.")
            return setting.default
        if not setting.in_effect:
            self._warnings.append(f"{name} is set, but what it is for is not part of this version.")
        return Secret(value) if setting.secret else value

    def _secret(self, reference: str, where: str, name: str) -> Secret | None:
        try:
            return resolve_secret(reference, self._environ)
        except ValueError as error:
            self._problem(where, name, str(error), "Give a reference to a set value.")
            return None

    def _problem(self, where: str, name: str, message: str, remedy: str) -> None:
        self._problems.append(Problem(where=where, name=name, message=message, remedy=remedy))

    def _check_access(
        self, keys: Mapping[str, ConfiguredKey | None], auth: Mapping[str, TokenIssuer | None]
    ) -> None:
        """What the types of these sections cannot say. None stands for what was reported."""
        for id, key in keys.items():
            if key is None:
                continue
            where, name = self._place("keys", id), f"keys.{id}"
            if (key.key is None) == (key.hash is None):
                self._problem(
                    where,
                    name,
                    "must have either key or hash",
                    "Give key: env:NAME, or hash: sha256:...",
                )
            elif key.key is not None:
                self._secret(key.key, where, f"{name}.key")
        for id, issuer in auth.items():
            if issuer is None:
                continue
            parts = urlsplit(issuer.jwks)
            local = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost")
            if parts.scheme != "https" and not local:
                self._problem(
                    self._place("auth", id), f"auth.{id}.jwks", "must be an https address",
                    "Whoever can write on the line could sign tokens otherwise.",
                )  # fmt: skip

    def _place(self, section: str, name: str) -> str:
        entry = self._entries[section]
        found = entry.value.get(name) if isinstance(entry.value, dict) else None
        return f"{self._file}:{entry.line if found is None else found.line}"

    def _refuse_unknown_keys(self) -> None:
        valid = [*BY_NAME, *(section.name for section in SECTIONS), "providers"]
        for name, entry in self._entries.items():
            if name not in valid:
                self._unknown(entry.line, name, valid)

    def _section(self, section: Section) -> Any:
        entry = self._entries.get(section.name)
        if entry is None or entry.value == "":
            return section.default

        def report(line: int, name: str, message: str, remedy: str) -> None:
            self._problem(f"{self._file}:{line}", name, message, remedy)

        return read_section(section, entry, report)

    def _unknown(self, line: int, name: str, valid: list[str]) -> None:
        near = get_close_matches(name, valid, n=1, cutoff=0.5)
        remedy = f"Did you mean {near[0]}?" if near else f"Known here: {', '.join(sorted(valid))}."
        self._problem(f"{self._file}:{line}", name, "there is no such setting", remedy)

    def _warn_of_near_misses(self) -> None:
        """A misspelt variable would otherwise do nothing, in silence."""
        known = {v for s in SETTINGS for v in (s.variable, *s.aliases)} | {"CONFIG"}
        known |= {
            v
            for p in self._known.values()
            for v in (p.key_env, p.base_url_env, *p.variables.values())
        }
        for name in sorted(self._environ):
            if name in known or len(name) < 6 or not name.isupper():
                continue
            near = get_close_matches(name, known, n=1, cutoff=0.9)
            if near:
                self._warnings.append(f"{name} is set but unknown; did you mean {near[0]}?")

    def _providers(self) -> dict[str, ConfiguredProvider]:
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
        entry = self._entries.get("providers")
        if entry is None:
            return {}
        if not isinstance(entry.value, dict):
            self._problem(
                f"{self._file}:{entry.line}",
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
            self._problem(
                f"{self._file}:{entry.line}", f"providers.{name}", "must be a mapping",
                "Give it base_url or key.",
            )  # fmt: skip
            return {}
        fields: dict[str, tuple[str, int]] = {}
        for key, value in entry.value.items():
            if key not in _PROVIDER_KEYS:
                self._unknown(value.line, key, list(_PROVIDER_KEYS))
            elif key == "keys":
                # Read by `_keys`.
                continue
            elif not isinstance(value.value, str):
                self._problem(
                    f"{self._file}:{value.line}", f"providers.{name}.{key}",
                    "must be a single value", "Write it on one line.",
                )  # fmt: skip
            else:
                fields[key] = (value.value, value.line)
        return fields

    def _configured(self, provider: Provider, entry: Entry | None) -> ConfiguredProvider | None:
        fields = self._fields(provider.name, entry)
        keys, origin = self._keys(provider, fields, entry)
        url = self._environ.get(provider.base_url_env)
        where, name = "environment", provider.base_url_env
        if not url and "base_url" in fields:
            url, line = fields["base_url"]
            where, name = f"{self._file}:{line}", f"providers.{provider.name}.base_url"
        variables = self._variables(provider, fields, keys)
        if variables is None:
            return None
        if not keys and not variables and (provider.key_required or not url):
            if url:
                self._warnings.append(
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
            self._problem(
                "environment",
                provider.base_url_env,
                "is not set",
                "Set it to the server's address.",
            )
            return None
        if not keys and provider.cloud is not None:
            origin = f"{provider.cloud}'s own credentials"
        return ConfiguredProvider(
            provider=provider, base_url=base, keys=keys, key_origin=origin, variables=variables
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
            value = self._environ.get(variable) or fields.get(name, ("", 0))[0]
            if value and not _PLACE.fullmatch(value):
                self._problem("environment", variable, "is no such name", "Correct it.")
                return None
            if value:
                found[name] = value
        missing = [v for name, v in provider.variables.items() if name not in found]
        if missing and (found or keys):
            self._problem("environment", missing[0], "is not set", f"{provider.title} needs it.")
        return None if missing else found

    def _keys(
        self, provider: Provider, fields: Mapping[str, tuple[str, int]], entry: Entry | None
    ) -> tuple[tuple[Secret, ...], str]:
        """Several are used in turn: in the variable parted by commas, in the file a list."""
        texts = [t.strip() for t in self._environ.get(provider.key_env, "").split(",") if t.strip()]
        if texts:
            if not all(map(_is_plain, texts)):
                self._problem(
                    "environment",
                    provider.key_env,
                    "is no key: it holds odd characters",
                    "Copy it anew.",
                )
                return (), "none"
            return tuple(Secret(text) for text in texts), provider.key_env
        name = f"providers.{provider.name}"
        if "key" in fields:
            reference, line = fields["key"]
            where = f"{self._file}:{line}"
            key = self._key(reference, where, f"{name}.key")
            return (() if key is None else (key,)), where
        given = (
            entry.value.get("keys") if entry is not None and isinstance(entry.value, dict) else None
        )
        if given is None:
            return (), "none"
        where = f"{self._file}:{given.line}"
        if not isinstance(given.value, list) or not given.value:
            self._problem(
                where, f"{name}.keys", "must be a list", "Write one a line, after a dash."
            )
            return (), "none"
        found: list[Secret] = []
        for number, item in enumerate(given.value):
            at, path = f"{self._file}:{item.line}", f"{name}.keys[{number}]"
            if not isinstance(item.value, str):
                self._problem(at, path, "must be a single value", "Correct it.")
            elif (key := self._key(item.value, at, path)) is not None:
                found.append(key)
        return tuple(found), where

    def _key(self, reference: str, where: str, name: str) -> Secret | None:
        key = self._secret(reference, where, name)
        if key is not None and not _is_plain(key.reveal()):
            self._problem(where, name, "is no key: it holds odd characters", "Copy it anew.")
            return None
        return key

    def _custom(self, name: str, entry: Entry) -> ConfiguredProvider | None:
        """A provider that is not in the table: it needs only its base URL."""
        fields = self._fields(name, entry)
        where = f"{self._file}:{entry.line}"
        if not (name.isascii() and name.replace("-", "_").isidentifier()):
            self._problem(
                where, name, "is no name for a provider", "Use letters, digits and dashes."
            )
            return None
        if "base_url" not in fields:
            near = get_close_matches(name, list(self._known), n=1, cutoff=0.7)
            remedy = f"Did you mean {near[0]}?" if near else "Give it a base_url."
            self._problem(where, f"providers.{name}", "is not a known provider", remedy)
            return None
        url, line = fields["base_url"]
        base = self._base_url(url, f"{self._file}:{line}", f"providers.{name}.base_url", "")
        auth = fields.get("auth", ("bearer", 0))[0]
        if auth not in get_args(Auth):
            self._problem(
                where,
                f"providers.{name}.auth",
                f"must be one of {', '.join(get_args(Auth))}",
                "Correct it.",
            )
            return None
        if base is None:
            return None
        embeddings = fields.get("embeddings", ("false", 0))[0].lower() in ("true", "yes", "on")
        provider = custom_provider(name, base, auth=cast(Auth, auth), embeddings=embeddings)
        keys, origin = self._keys(provider, fields, entry)
        return ConfiguredProvider(provider=provider, base_url=base, keys=keys, key_origin=origin)

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
            self._problem(
                where, name, "must be an http or https address without a query",
                "Write it like https://host/v1.",
            )  # fmt: skip
            return None
        path = parts.path.rstrip("/")
        if not path:
            path = (urlsplit(default).path if default else "/v1").rstrip("/")
        return f"{parts.scheme}://{parts.netloc}{path}"


def _is_plain(text: str) -> bool:
    """Fit to stand in a request's head."""
    return text.isascii() and text.isprintable()
