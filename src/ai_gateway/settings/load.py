"""Environment and `gateway.yaml` -> Settings, or every problem at once."""

import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ai_gateway.catalogue.provider import load_providers
from ai_gateway.model.audit import Audit
from ai_gateway.model.key import ConfiguredKey, TokenIssuer
from ai_gateway.model.upstream import Upstream

from .caching import meaning_without_embedder
from .declared import BY_NAME, SETTINGS, Setting
from .findings import Findings
from .otlp import OtlpEndpoint, logs_endpoint, traces_endpoint
from .provider_settings import ProviderReader
from .secret import Secret
from .sections import SECTIONS, Section, read_section
from .tree import Settings, SettingsError
from .yaml_file import read_yaml

DEFAULT_FILE = "gateway.yaml"
_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy")
"""The names by which others are told of a proxy; curl's, and most SDKs'."""


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
        file = config.name if config is not None else DEFAULT_FILE
        entries = read_yaml(config) if config is not None else {}
        self._found = Findings(environ, file, entries)
        self._known = load_providers()

    def load(self) -> Settings:
        self._refuse_unknown_keys()
        values = {setting.name: self._value(setting) for setting in SETTINGS}
        if values["mode"] == "debug" and not self._is_set(BY_NAME["log_level"]):
            values["log_level"] = "debug"
        values["data_dir"] = Path(values["data_dir"])
        if values["prices"] is not None:
            values["prices"] = Path(values["prices"])
        self._check_workers(values)
        sections = {section.name: self._section(section) for section in SECTIONS}
        self._check_access(sections["keys"], sections["auth"])
        self._check_sign_in(sections["auth"], has_admin_key=values["admin_key"] is not None)
        providers = ProviderReader(self._found, self._known).read()
        self._warn_of_idle_upstreams(sections["upstreams"], providers)
        self._found.warnings += meaning_without_embedder(sections, values["cache_ttl"])
        traces, logs = self._traces(values), self._logs(values)
        self._check_audit(sections["audit_options"], logs)
        self._warn_of_near_misses()
        self._warn_of_proxies()
        if self._found.problems:
            raise SettingsError(self._found.problems)
        return Settings(
            **values,
            **sections,
            providers=providers,
            traces=traces,
            logs=logs,
            secret_files=tuple(self._found.secret_files),
            warnings=tuple(self._found.warnings),
        )

    def _check_audit(self, audit: Audit | None, logs: OtlpEndpoint | None) -> None:
        entry = self._found.entries.get("audit_options")
        if audit is None or entry is None:
            return
        where = f"{self._found.file}:{entry.line}"
        for pattern in audit.redact.patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                name = "audit_options.redact.patterns"
                self._found.problem(where, name, f"no regular expression: {error}", "Correct it.")
        if "otlp" in audit.sinks and logs is None:
            self._found.problem(
                where,
                "audit_options.sinks",
                "otlp has nowhere to go",
                "Set OTEL_EXPORTER_OTLP_ENDPOINT.",
            )

    def _logs(self, values: Mapping[str, Any]) -> OtlpEndpoint | None:
        if values["otel_disabled"]:
            return None
        return logs_endpoint(
            logs=values["otlp_logs_endpoint"],
            everything=values["otlp_endpoint"],
            protocol=values["otlp_protocol"],
        )

    def _traces(self, values: Mapping[str, Any]) -> OtlpEndpoint | None:
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
            self._found.problem("environment", "JAEGER_ENDPOINT", f"must be {error}", "Correct it.")
            return None
        if found is not None and found.warning is not None:
            self._found.warnings.append(found.warning)
        return found

    def _warn_of_idle_upstreams(
        self, upstreams: Mapping[str, Upstream | None], providers: Collection[str]
    ) -> None:
        for name in upstreams:
            pattern = name.partition("/")[0]
            if providers and not any(fnmatchcase(provider, pattern) for provider in providers):
                self._found.warnings.append(
                    f"upstreams.{name} holds for nothing: no provider of that name is configured."
                )

    def _warn_of_proxies(self) -> None:
        """Where only a proxy leads outside, calls would fail without a word of why."""
        for name in _PROXIES:
            if self._found.environ.get(name):
                self._found.warnings.append(
                    f"{name} is not heeded: providers are called directly. Behind a proxy, set the "
                    "providers' *_BASE_URL to an address that reaches them."
                )

    def _check_workers(self, values: dict[str, Any]) -> None:
        """Several processes that each counted for themselves would let everything through twice."""
        if values["workers"] == 1:
            return
        database = values["database_url"]
        is_postgres = database is not None and database.reveal().startswith("postgres")
        if values["redis_addr"] is None or not is_postgres:
            self._found.problem(
                "environment",
                "WORKERS",
                "above 1 needs what they share: REDIS_ADDR and a PostgreSQL DATABASE_URL",
                "Set both, or WORKERS=1.",
            )

    def _is_set(self, setting: Setting) -> bool:
        variables = (setting.variable, *setting.aliases)
        return setting.name in self._found.entries or any(
            self._found.environ.get(v) for v in variables
        )

    def _value(self, setting: Setting) -> Any:
        for variable in (setting.variable, *setting.aliases):
            text = self._found.environ.get(variable)
            if text:
                return self._parse(setting, text, "environment", variable)
        entry = self._found.entries.get(setting.name)
        if entry is None:
            return setting.default
        where = f"{self._found.file}:{entry.line}"
        if not isinstance(entry.value, str):
            self._found.problem(
                where, setting.name, "must be a single value", "Write it on one line."
            )
            return setting.default
        if setting.secret:
            return self._found.secret(entry.value, where, setting.name)
        return self._parse(setting, entry.value, where, setting.name)

    def _parse(self, setting: Setting, text: str, where: str, name: str) -> Any:
        try:
            value = setting.parse(text)
        except ValueError as error:
            self._found.problem(where, name, f"must be {error}", "Correct it.")
            return setting.default
        if not setting.in_effect:
            self._found.warnings.append(
                f"{name} is set, but what it is for is not part of this version."
            )
        return Secret(value) if setting.secret else value

    def _check_access(
        self, keys: Mapping[str, ConfiguredKey | None], auth: Mapping[str, TokenIssuer | None]
    ) -> None:
        """What the types of these sections cannot say. None stands for what was reported."""
        for id, key in keys.items():
            if key is None:
                continue
            where, name = self._place("keys", id), f"keys.{id}"
            if (key.key is None) == (key.hash is None):
                self._found.problem(
                    where,
                    name,
                    "must have either key or hash",
                    "Give key: env:NAME, or hash: sha256:...",
                )
            elif key.key is not None:
                self._found.secret(key.key, where, f"{name}.key")
        for id, issuer in auth.items():
            if issuer is None:
                continue
            if not _is_private(issuer.jwks):
                self._found.problem(
                    self._place("auth", id), f"auth.{id}.jwks", "must be an https address",
                    "Whoever can write on the line could sign tokens otherwise.",
                )  # fmt: skip

    def _check_sign_in(
        self, auth: Mapping[str, TokenIssuer | None], *, has_admin_key: bool
    ) -> None:
        for id, issuer in auth.items():
            if issuer is None or issuer.sign_in is None:
                continue
            where, name = self._place("auth", id), f"auth.{id}.sign_in"
            if issuer.sign_in.client_secret is not None:
                self._found.secret(issuer.sign_in.client_secret, where, f"{name}.client_secret")
            if not has_admin_key:
                self._found.problem(
                    where, name, "needs ADMIN_KEY", "Set it: sessions are sealed with it."
                )
            if issuer.role_claim is None:
                self._found.problem(
                    where,
                    f"auth.{id}.role_claim",
                    "must be there",
                    "Name the claim that says what a person may do.",
                )
            if not _is_private(issuer.issuer):
                self._found.problem(
                    where,
                    f"auth.{id}.issuer",
                    "must be an https address",
                    "People are sent there to sign in.",
                )

    def _place(self, section: str, name: str) -> str:
        entry = self._found.entries[section]
        found = entry.value.get(name) if isinstance(entry.value, dict) else None
        return f"{self._found.file}:{entry.line if found is None else found.line}"

    def _refuse_unknown_keys(self) -> None:
        valid = [*BY_NAME, *(section.name for section in SECTIONS), "providers"]
        for name, entry in self._found.entries.items():
            if name not in valid:
                self._found.unknown(entry.line, name, valid)

    def _section(self, section: Section) -> Any:
        entry = self._found.entries.get(section.name)
        if entry is None or entry.value == "":
            return section.default

        def report(line: int, name: str, message: str, remedy: str) -> None:
            self._found.problem(f"{self._found.file}:{line}", name, message, remedy)

        return read_section(section, entry, report)

    def _warn_of_near_misses(self) -> None:
        """A misspelt variable would otherwise do nothing, in silence."""
        known = {v for s in SETTINGS for v in (s.variable, *s.aliases)} | {"CONFIG"}
        known |= {
            v
            for p in self._known.values()
            for v in (p.key_env, p.base_url_env, *p.variables.values())
        }
        for name in sorted(self._found.environ):
            if name in known or len(name) < 6 or not name.isupper():
                continue
            near = get_close_matches(name, known, n=1, cutoff=0.9)
            if near:
                self._found.warnings.append(f"{name} is set but unknown; did you mean {near[0]}?")


def _is_private(address: str) -> bool:
    """Whether nobody can write on the line: https, or this machine."""
    parts = urlsplit(address)
    local = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost")
    return parts.scheme == "https" or local
