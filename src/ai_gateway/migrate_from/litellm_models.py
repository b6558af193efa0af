"""LiteLLM's `model_list`: deployments -> providers and the targets of routes."""

import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from msgspec import Struct

from ai_gateway.catalogue.provider import Provider
from ai_gateway.settings.yaml_file import Entry

from .draft import Draft

PROVIDERS = {
    "together_ai": "together",
    "fireworks_ai": "fireworks",
    "nvidia_nim": "nvidia",
    "cohere_chat": "cohere",
    "dashscope": "qwen",
    "jina_ai": "jina",
    "ollama_chat": "ollama",
    "hosted_vllm": "vllm",
    "lm_studio": "lmstudio",
    "text-completion-openai": "openai",
    "custom_openai": "openai",
    "openai_like": "openai",
}
"""LiteLLM's prefix -> the provider's name here, where they differ."""
_TRANSLATED = {"model", "api_key", "api_base", "base_url", "weight", "rpm", "tpm", "timeout"}
_PRICES = ("input_cost_per_token", "output_cost_per_token", "input_cost_per_second")
_HARMLESS = {"id", "mode", "base_model", "description", "db_model"}
_NO_KEY = ("none", "null", "fake", "fake-key", "dummy", "anything")
_SECRET_NAME = re.compile(r"os\.environ/([A-Za-z_][A-Za-z0-9_]*)")


class Deployment(Struct, frozen=True, kw_only=True):
    """One entry of `model_list` that could be read."""

    group: str
    """The name that callers use."""
    line: int
    provider: str
    model: str
    """As the provider names it."""
    weight: float | None
    timeout: float | None

    @property
    def target(self) -> str:
        return f"{self.provider}/{self.model}"


def scalar(entries: Mapping[str, Entry], name: str) -> str | None:
    entry = entries.get(name)
    return entry.value if entry is not None and isinstance(entry.value, str) else None


def secret(draft: Draft, text: str, variable: str, line: int, name: str) -> str:
    """A reference to a secret. One that stands in the file itself is never repeated."""
    found = _SECRET_NAME.fullmatch(text)
    if found is None:
        draft.changed(
            line, name, f"the secret stands in the file; put it into the variable {variable}"
        )
    else:
        variable = found[1]
    draft.variables.add(variable)
    return f"env:{variable}"


class ModelList:
    """Reads deployments, and gathers what they say of providers into the draft."""

    def __init__(self, draft: Draft, known: Mapping[str, Provider]) -> None:
        self._draft = draft
        self._known = known

    def read(self, entries: Sequence[Entry]) -> list[Deployment]:
        found = [self._deployment(at, entry) for at, entry in enumerate(entries)]
        return [deployment for deployment in found if deployment is not None]

    def _deployment(self, at: int, entry: Entry) -> Deployment | None:
        name = f"model_list[{at}]"
        if not isinstance(entry.value, dict):
            self._draft.left(entry.line, name, "is not a mapping")
            return None
        group = scalar(entry.value, "model_name")
        params = entry.value.get("litellm_params")
        if not group or params is None or not isinstance(params.value, dict):
            self._draft.left(entry.line, name, "has no model_name and litellm_params")
            return None
        name = f"model_list[{at}] ({group})"
        given = params.value
        model = scalar(given, "model") or ""
        if "*" in group or "*" in model:
            return self._wildcard(entry.line, name, model, given)
        placed = self._place(entry.line, name, model, given)
        if placed is None:
            return None
        self._remark_on_the_rest(name, given, entry.value.get("model_info"))
        provider, model = placed
        weight = next((w for n in ("weight", "rpm", "tpm") if (w := _number(given, n))), None)
        return Deployment(
            group=group,
            line=entry.line,
            provider=provider,
            model=model,
            weight=weight,
            timeout=_number(given, "timeout"),
        )

    def _wildcard(
        self, line: int, name: str, model: str, given: Mapping[str, Entry]
    ) -> Deployment | None:
        prefix = PROVIDERS.get(model.split("/")[0], model.split("/")[0])
        if prefix in self._known:
            self._provider(line, name, prefix, given)
            self._draft.carried(
                line,
                name,
                f"nothing is needed: every model of {prefix} is called as {prefix}/<model>",
            )
        else:
            self._draft.left(line, name, "which provider a wildcard means must be said")
        return None

    def _place(
        self, line: int, name: str, model: str, given: Mapping[str, Entry]
    ) -> tuple[str, str] | None:
        """The provider here, and the model as it names it."""
        prefix, slash, rest = model.partition("/")
        prefix = PROVIDERS.get(prefix, prefix)
        if prefix == "vertex_ai":
            prefix = "vertex-anthropic" if rest.startswith("claude") else "vertex"
        if slash and prefix in self._known:
            for variable in self._known[prefix].variables.values():
                self._draft.changed(line, name, f"{prefix} wants the variable {variable}")
                self._draft.variables.add(variable)
            placed = self._provider(line, name, prefix, given)
            return (placed, rest) if placed is not None else None
        if slash and not (scalar(given, "api_base") or scalar(given, "base_url")):
            self._draft.left(
                line,
                name,
                f"the provider {prefix} is not one of this gateway's (docs/providers.md)",
            )
            return None
        if slash and prefix in ("azure", "azure_ai", "bedrock", "vertex_ai", "sagemaker"):
            self._draft.left(line, name, f"{prefix} is not spoken to by this version")
            return None
        for provider in self._known.values():
            if not slash and model.startswith(provider.model_prefixes or ("\0",)):
                placed = self._provider(line, name, provider.name, given)
                return (placed, model) if placed is not None else None
        if scalar(given, "api_base") or scalar(given, "base_url"):
            placed = self._provider(line, name, "openai", given)
            return (placed, model) if placed is not None else None
        self._draft.left(line, name, f"which provider serves {model or 'it'} is not known")
        return None

    def _provider(
        self, line: int, name: str, provider: str, given: Mapping[str, Entry]
    ) -> str | None:
        """Writes what a deployment says of its provider into the draft, and names it."""
        known = self._known[provider]
        base = (scalar(given, "api_base") or scalar(given, "base_url") or "").rstrip("/")
        if base.startswith("os.environ/"):
            self._draft.left(
                line, f"{name}.api_base",
                f"an address by variable: set {known.base_url_env} to what {base[11:]} holds",
            )  # fmt: skip
            base = ""
        elif base.endswith("/chat/completions"):
            base = base.removesuffix("/chat/completions")
        placed = provider
        if base and base != known.base_url:
            found = self._at(provider, base)
            if found is None:
                self._draft.left(
                    line, f"{name}.api_base", f"{provider} can have one address; this is another"
                )
                return None
            placed = found
            self._draft.providers.setdefault(placed, {})["base_url"] = base
        self._key(name, placed, given)
        return placed

    def _at(self, provider: str, base: str) -> str | None:
        """The provider at this address: itself, or one of its own that speaks OpenAI's dialect."""
        chat = self._known[provider].operations.get("chat")
        entry = self._draft.providers.get(provider)
        if provider != "openai" and (entry is None or entry.get("base_url") == base):
            return provider
        return self._named_after(base) if chat and chat.dialect == "openai_chat" else None

    def _key(self, name: str, provider: str, given: Mapping[str, Entry]) -> None:
        entry = self._draft.providers.setdefault(provider, {})
        key = scalar(given, "api_key")
        if not key or key.lower() in _NO_KEY:
            return
        variable = f"{provider.upper().replace('-', '_')}_API_KEY"
        reference = secret(self._draft, key, variable, given["api_key"].line, f"{name}.api_key")
        keys: list[str] = entry.pop("keys", [])
        if "key" in entry:
            keys.append(entry.pop("key"))
        if reference not in keys:
            keys.append(reference)
        if len(keys) > 1:
            entry["keys"] = keys
        else:
            entry["key"] = reference

    def _named_after(self, base: str) -> str:
        """A name for an address: the same address, the same name."""
        for name, entry in self._draft.providers.items():
            if entry.get("base_url") == base:
                return name
        host = urlsplit(base).hostname or "own"
        words = [w for w in host.split(".") if w not in ("api", "www", "com", "net", "org", "io")]
        name = re.sub(r"[^a-z0-9]+", "-", "-".join(words[:2]).lower()).strip("-")
        if not name or name[0].isdigit():
            name = f"own-{name}".rstrip("-")
        taken = {*self._known, *self._draft.providers}
        return next(n for n in (name, *(f"{name}-{i}" for i in range(2, 1000))) if n not in taken)

    def _remark_on_the_rest(
        self, name: str, given: Mapping[str, Entry], info: Entry | None
    ) -> None:
        draft = self._draft
        for field, entry in given.items():
            if field in _TRANSLATED:
                continue
            if field in _PRICES:
                draft.left(
                    entry.line, f"{name}.{field}", "prices of your own go into a PRICES file"
                )
            else:
                draft.left(entry.line, f"{name}.{field}", "has no counterpart for one deployment")
        for field, entry in info.value.items() if info and isinstance(info.value, dict) else ():
            if field in _PRICES:
                draft.left(
                    entry.line, f"{name}.{field}", "prices of your own go into a PRICES file"
                )
            elif field not in _HARMLESS:
                draft.left(entry.line, f"{name}.model_info.{field}", "is known from the catalogue")


def _number(entries: Mapping[str, Entry], name: str) -> float | None:
    text = scalar(entries, name)
    try:
        value = float(text) if text else None
    except ValueError:
        return None
    return value if value is not None and value > 0 else None
