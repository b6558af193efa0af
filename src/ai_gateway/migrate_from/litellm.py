"""A LiteLLM proxy's `config.yaml` (docs.litellm.ai/docs/proxy/config_settings, November 2026)."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ai_gateway.catalogue.provider import load_providers
from ai_gateway.settings.yaml_file import Entry, read_yaml

from .draft import Draft
from .litellm_models import Deployment, ModelList, scalar, secret

_STRATEGIES = {
    "simple-shuffle": "weighted",
    "least-busy": "least-busy",
    "latency-based-routing": "fastest",
    "cost-based-routing": "cheapest",
    "usage-based-routing": "least-busy",
    "usage-based-routing-v2": "least-busy",
}
_FALLBACKS = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")
_PERIODS = {"1d": "day", "24h": "day", "7d": "week", "1w": "week", "30d": "month", "1mo": "month"}
_WITHOUT_MEANING = {
    "drop_params": "what a provider cannot take is refused by name, or noted; nothing is dropped in silence",
    "modify_params": "requests are not altered but as docs/dialects.md says",
    "set_verbose": "GATEWAY_MODE=debug logs more",
    "json_logs": "the log is JSON",
    "enable_pre_call_checks": "targets that cannot do a call are always left out",
    "allowed_fails": "circuit breakers open by share of failures (docs/routing.md)",
    "cooldown_time": "circuit breakers and credentials rest as docs/routing.md says",
    "store_model_in_db": "providers and routes live in gateway.yaml",
    "redact_user_api_key_info": "keys are in no log",
    "turn_off_message_logging": "messages are logged only where AUDIT=full says so",
}
_LEAVE_ALONE = (
    "LiteLLM's tables are its own: keys are made anew (docs/access.md), and DATABASE_URL must name a "
    "database of this gateway's"
)


def convert(path: Path) -> Draft:
    """Raises SettingsError if the file is no YAML mapping."""
    return _Conversion(read_yaml(path)).convert()


class _Conversion:
    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self._entries = entries
        self._draft = Draft()
        self._litellm = self._section("litellm_settings")
        self._router = self._section("router_settings")
        self._general = self._section("general_settings")

    def convert(self) -> Draft:
        listed = self._entries.get("model_list")
        models = ModelList(self._draft, load_providers())
        given = listed.value if listed is not None and isinstance(listed.value, list) else []
        groups: dict[str, list[Deployment]] = defaultdict(list)
        for deployment in models.read(given):
            groups[deployment.group].append(deployment)
        self._routes(groups)
        self._plain_settings()
        self._remark_on_the_rest()
        return self._draft

    def _section(self, name: str) -> dict[str, Entry]:
        entry = self._entries.get(name)
        return dict(entry.value) if entry is not None and isinstance(entry.value, dict) else {}

    def _take(self, name: str, *sections: dict[str, Entry]) -> Entry | None:
        """A setting out of the first section that has it; it then counts as dealt with."""
        found = [entry for section in sections if (entry := section.pop(name, None)) is not None]
        return found[0] if found else None

    # Routes

    def _routes(self, groups: Mapping[str, Sequence[Deployment]]) -> None:
        strategy = self._strategy()
        stands_in = {kind: self._stand_ins(kind, groups) for kind in _FALLBACKS}
        default = self._default_fallbacks(groups)
        retries = self._whole("num_retries")
        timeout = self._take("timeout", self._router)
        for group, deployments in groups.items():
            targets = list(dict.fromkeys(d.target for d in deployments))
            further = [
                target
                for names in (*(stands_in[kind].get(group, ()) for kind in _FALLBACKS), default)
                for name in names
                for target in dict.fromkeys(d.target for d in groups[name])
            ]
            further = [t for t in dict.fromkeys(further) if t not in targets]
            line = deployments[0].line
            own_name = len(targets) == 1 and group in (targets[0], deployments[0].model)
            if own_name and not further:
                self._draft.carried(line, group, f"a model's own name means it: {targets[0]}")
                continue
            route: dict[str, Any] = {}
            if len(targets) > 1 and further:
                self._draft.changed(
                    line, group, "its deployments are asked in order, so that fall-backs come last"
                )
            elif len(targets) > 1:
                route["strategy"] = strategy
            weights = {d.target: d.weight for d in deployments if d.weight is not None}
            shared = route.get("strategy") in ("weighted", "least-busy")
            route["targets"] = [
                {"model": t, "weight": weights[t]} if shared and t in weights else {"model": t}
                for t in (*targets, *further)
            ]
            if retries is not None:
                route["retries"] = min(10, retries)
            seconds = next((d.timeout for d in deployments if d.timeout is not None), None)
            if seconds is None and timeout is not None and isinstance(timeout.value, str):
                seconds = float(timeout.value)
            if seconds is not None:
                route["attempt_timeout"] = seconds
            if group in stands_in["content_policy_fallbacks"]:
                route["fallback_on"] = ["context_window", "content_filter"]
            self._draft.routes[group] = route
            self._draft.carried(
                line, group, f"the route {group}: {', '.join([*targets, *further])}"
            )
        self._aliases()

    def _strategy(self) -> str:
        entry = self._take("routing_strategy", self._router)
        if entry is None or not isinstance(entry.value, str):
            return "weighted"
        name = "router_settings.routing_strategy"
        strategy = _STRATEGIES.get(entry.value)
        if strategy is None:
            self._draft.left(entry.line, name, f"{entry.value} is not known here; weighted is used")
            return "weighted"
        if entry.value.startswith("usage"):
            self._draft.changed(
                entry.line, name, "by use so far becomes by calls under way: least-busy"
            )
        else:
            self._draft.carried(entry.line, name, f"strategy: {strategy}")
        return strategy

    def _stand_ins(
        self, kind: str, groups: Mapping[str, Sequence[Deployment]]
    ) -> dict[str, list[str]]:
        """`[{name: [names]}, ...]`: who stands in for whom."""
        entry = self._take(kind, self._litellm, self._router)
        found: dict[str, list[str]] = {}
        if entry is None or not isinstance(entry.value, list):
            return found
        for item in entry.value:
            for name, names in item.value.items() if isinstance(item.value, dict) else ():
                given = names.value if isinstance(names.value, list) else []
                wanted = [n.value for n in given if isinstance(n.value, str)]
                known = [n for n in wanted if n in groups]
                if name not in groups or known != wanted:
                    missing = sorted({n for n in [name, *wanted] if n not in groups})
                    self._draft.left(
                        names.line, f"{kind}.{name}",
                        f"names what is not (or could not be) in model_list: {', '.join(missing)}",
                    )  # fmt: skip
                if name in groups and known:
                    found[name] = known
                    if kind != "fallbacks":
                        self._draft.changed(
                            names.line,
                            f"{kind}.{name}",
                            "these stand in on failures too, not only then",
                        )
        return found

    def _default_fallbacks(self, groups: Mapping[str, Sequence[Deployment]]) -> list[str]:
        entry = self._take("default_fallbacks", self._litellm, self._router)
        if entry is None or not isinstance(entry.value, list):
            return []
        return [e.value for e in entry.value if isinstance(e.value, str) and e.value in groups]

    def _aliases(self) -> None:
        entry = self._take("model_group_alias", self._router)
        if entry is None or not isinstance(entry.value, dict):
            return
        for alias, meant in entry.value.items():
            name = meant.value if isinstance(meant.value, str) else (
                scalar(meant.value, "model") if isinstance(meant.value, dict) else None
            )  # fmt: skip
            if name is None:
                self._draft.left(meant.line, f"model_group_alias.{alias}", "says no model")
                continue
            self._draft.routes[alias] = self._draft.routes.get(name) or {
                "targets": [{"model": name}]
            }
            self._draft.carried(meant.line, f"model_group_alias.{alias}", f"a route to {name}")

    # Settings

    def _plain_settings(self) -> None:
        self._master_key()
        self._cache()
        self._budget()
        timeout = self._take("request_timeout", self._litellm)
        if timeout is not None and isinstance(timeout.value, str):
            self._draft.settings["total_timeout"] = float(timeout.value)
            self._draft.carried(timeout.line, "litellm_settings.request_timeout", "total_timeout")
        database = self._take("database_url", self._general)
        if database is not None:
            self._draft.left(database.line, "general_settings.database_url", _LEAVE_ALONE)

    def _master_key(self) -> None:
        entry = self._take("master_key", self._general)
        if entry is None or not isinstance(entry.value, str):
            return
        name = "general_settings.master_key"
        self._draft.settings["admin_key"] = secret(
            self._draft, entry.value, "ADMIN_KEY", entry.line, name
        )
        self._draft.changed(
            entry.line,
            name,
            "becomes admin_key, which makes keys; calls are made with those, not with it",
        )

    def _cache(self) -> None:
        entry = self._take("cache", self._litellm)
        params = self._take("cache_params", self._litellm)
        given = params.value if params is not None and isinstance(params.value, dict) else {}
        on = entry is not None and str(entry.value).lower() == "true"
        if not on:
            return
        assert entry is not None
        ttl = scalar(given, "ttl")
        if ttl is not None:
            self._draft.settings["cache_ttl"] = float(ttl) / 60
        kind = scalar(given, "type") or "redis"
        if kind not in ("redis", "local"):
            line = params.line if params is not None else entry.line
            self._draft.left(line, "litellm_settings.cache_params.type",
                             f"{kind}: answers are kept in memory or in Redis")  # fmt: skip
        elif kind == "redis":
            self._redis(given)
        for field, value in given.items():
            if field not in ("ttl", "type", "host", "port", "password"):
                self._draft.left(value.line, f"litellm_settings.cache_params.{field}",
                                 "has no counterpart here")  # fmt: skip
        self._draft.carried(entry.line, "litellm_settings.cache", "the exact cache")

    def _redis(self, cache: Mapping[str, Entry]) -> None:
        host = scalar(cache, "host") or scalar(self._router, "redis_host")
        port = scalar(cache, "port") or scalar(self._router, "redis_port") or "6379"
        if host is None or host.startswith("os.environ/") or port.startswith("os.environ/"):
            line = cache["host"].line if "host" in cache else 0
            self._draft.left(line, "cache_params.host", "set REDIS_ADDR to host:port")
        else:
            self._draft.settings["redis_addr"] = f"{host}:{port}"
        password = cache.get("password") or self._router.get("redis_password")
        if password is not None and isinstance(password.value, str):
            self._draft.settings["redis_password"] = secret(
                self._draft, password.value, "REDIS_PASSWORD", password.line, "redis_password"
            )
        for field in ("redis_host", "redis_port", "redis_password"):
            self._router.pop(field, None)

    def _budget(self) -> None:
        entry = self._take("max_budget", self._litellm)
        if entry is None or not isinstance(entry.value, str):
            return
        duration = self._take("budget_duration", self._litellm)
        said = duration.value if duration is not None and isinstance(duration.value, str) else "30d"
        period = _PERIODS.get(said)
        if period is None:
            self._draft.left(entry.line, "litellm_settings.budget_duration",
                             f"{said}: budgets here are by day, week, month or in total")  # fmt: skip
            return
        budget = {"per": "tenant", "amount": entry.value, "period": period}
        self._draft.settings["tenants"] = {"default": {"policy": {"budgets": [budget]}}}
        self._draft.carried(
            entry.line, "litellm_settings.max_budget", f"{entry.value} dollars a {period}"
        )

    def _whole(self, name: str) -> int | None:
        entry = self._take(name, self._router, self._litellm)
        try:
            return int(str(entry.value)) if entry is not None else None
        except ValueError:
            return None

    def _remark_on_the_rest(self) -> None:
        for section, entries in (
            ("litellm_settings", self._litellm),
            ("router_settings", self._router),
            ("general_settings", self._general),
        ):
            for name, entry in entries.items():
                text = _WITHOUT_MEANING.get(name) or _WORDS.get(name, "has no counterpart here")
                remark: Callable[[int, str, str], None] = (
                    self._draft.carried if name in _WITHOUT_MEANING else self._draft.left
                )
                remark(entry.line, f"{section}.{name}", text)
        for name, entry in self._entries.items():
            if name == "environment_variables":
                self._draft.left(entry.line, name, "set them where the gateway is started")
            elif name not in (
                "model_list",
                "litellm_settings",
                "router_settings",
                "general_settings",
            ):
                self._draft.left(entry.line, name, _WORDS.get(name, "has no counterpart here"))


_CALLBACKS = "metrics, traces and audit are the gateway's own (docs/operations.md)"
_WORDS = {
    "callbacks": _CALLBACKS,
    "success_callback": _CALLBACKS,
    "failure_callback": _CALLBACKS,
    "service_callback": _CALLBACKS,
    "guardrails": "write them anew (docs/guardrails.md)",
    "max_parallel_requests": "max_in_flight of a key's or tenant's policy (docs/access.md)",
    "alerting": "alerts are Prometheus's (deploy/prometheus/rules)",
}
