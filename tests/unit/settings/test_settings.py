from pathlib import Path

import pytest

from ai_gateway.access.listening import listening_is_safe
from ai_gateway.settings.check import check
from ai_gateway.settings.load import load_settings
from ai_gateway.settings.tree import SettingsError


def problems(text: str, tmp_path: Path, **environ: str) -> list[str]:
    path = tmp_path / "gateway.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_settings(environ, path)
    return [str(p) for p in caught.value.problems]


def test_nothing_set_is_a_good_setting() -> None:
    settings = load_settings({})
    assert (settings.host, settings.port, settings.providers) == ("127.0.0.1", 8080, {})


def test_variables_win_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text("port: 1\nlog_level: error\n")
    settings = load_settings({"PORT": "2"}, path)
    assert (settings.port, settings.log_level) == (2, "error")


def test_routes_are_read_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text("routes:\n  smart:\n    targets:\n    - {model: openai/gpt-4o, weight: 2}\n")
    route = load_settings({}, path).routes["smart"]
    assert (route.targets[0].model, route.targets[0].weight) == ("openai/gpt-4o", 2.0)


def test_gin_mode_is_an_alias_and_debug_logs_more() -> None:
    settings = load_settings({"GIN_MODE": "debug"})
    assert (settings.mode, settings.log_level) == ("debug", "debug")


BAD = [
    ("prot: 1", "gateway.yaml:1: prot: there is no such setting. Did you mean port?"),
    ("\n\nport: x", "gateway.yaml:3: port: must be a whole number from 0 to 65535"),
    ("port: 70000", "gateway.yaml:1: port: must be a whole number"),
    ("mode: fast", "one of release, debug"),
    ("port: 1\nport: 2", "gateway.yaml:2: gateway.yaml: port is given twice"),
    ("a: &x 1\nb: *x", "gateway.yaml:2: gateway.yaml: holds an alias"),
    ("[1, 2]", "is not a mapping"),
    ("a: [", "is not YAML"),
    ("port: [1]", "must be a single value"),
    ("providers:\n  opanai:\n    key: env:X", "gateway.yaml:2: providers.opanai: is not a known provider. Did you mean openai?"),
    ("providers:\n  openai:\n    kee: env:X", "gateway.yaml:3: kee: there is no such setting. Did you mean key?"),
    ("providers:\n  openai:\n    key: sk-secret", "a secret is given by reference"),
    ("providers:\n  openai:\n    key: env:NOT_SET", "the environment variable NOT_SET is not set"),
    ("providers:\n  openai:\n    key: file:/no/such", "the file such cannot be read"),
    ("providers:\n  openai:\n    key: env:ODD", "gateway.yaml:3: providers.openai.key: is no key: it holds odd characters"),
    ("providers:\n  acmé:\n    base_url: http://x", "acmé: is no name for a provider"),
    ("providers:\n  acme:\n    base_url: ftp://x", "must be an http or https address"),
    ("providers:\n  acme:\n    base_url: http://x/a b", "must be an http or https address"),
    ("providers:\n  acme:\n    base_url: http://bücher.example", "must be an http or https address"),
    ("providers:\n  acme:\n    base_url: http://u:p@x/", "must be an http or https address"),
    ("providers:\n  acme:\n    base_url: http://x\n    dialect: klingon", "gateway.yaml:4: providers.acme.dialect: must be one of openai_chat, openai_responses, anthropic_messages, gemini, cohere"),
    ("providers:\n  acme:\n    base_url: http://x\n    auth: magic", "gateway.yaml:4: providers.acme.auth: must be one of bearer"),
    ("providers:\n  acme:\n    base_url: http://x\n    dialect: gemini\n    responses: true", "gateway.yaml:5: providers.acme.responses: is nothing that gemini has"),
    ("providers:\n  acme:\n    base_url: http://x\n    dialect: anthropic_messages\n    embeddings: true", "providers.acme.embeddings: is nothing that anthropic_messages has"),
    ("providers:\n  openai:\n    key: env:ODD\n    dialect: gemini", "gateway.yaml:4: providers.openai.dialect: is known of OpenAI, and cannot be changed"),
    ("routes:\n  smart:\n    targets:\n    - model: a\n      wieght: 1", "gateway.yaml:5: routes.smart.targets[0].wieght: there is no such setting. Did you mean weight?"),
    ("routes:\n  smart:\n    targets:\n    - model: a\n      weight: x", "gateway.yaml:5: routes.smart.targets[0].weight: expected `float`"),
    ("routes:\n  a:\n    strategy: best\n  b: 1", "gateway.yaml:3: routes.a.strategy: "),
    ("routes:\n  a: 1\n  b: 1", "gateway.yaml:3: routes.b: expected `object`"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), BAD)
def test_each_problem_names_file_line_and_remedy(text: str, expected: str, tmp_path: Path) -> None:
    found = problems(text, tmp_path, ODD="clé")
    assert any(expected in problem for problem in found), found
    assert not any("secret" in problem and "sk-" in problem for problem in found)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    assert len(problems("prot: 1\nhots: 2\nport: x", tmp_path)) == 3


ADDRESSES = [
    ("OPENAI", "https://host", "https://host/v1"),
    ("OPENAI", "https://host/", "https://host/v1"),
    ("OPENAI", "https://host/v1/", "https://host/v1"),
    ("ANTHROPIC", "https://host", "https://host/v1"),
    ("ANTHROPIC", "https://host/v1", "https://host/v1"),
    ("GROQ", "http://localhost:9", "http://localhost:9/openai/v1"),
    ("OLLAMA", "http://localhost:11434", "http://localhost:11434/v1"),
    ("OPENAI", "https://host/custom/path", "https://host/custom/path"),
]


@pytest.mark.parametrize(("name", "given", "expected"), ADDRESSES)
def test_base_urls_work_with_and_without_their_path(name: str, given: str, expected: str) -> None:
    settings = load_settings({f"{name}_API_KEY": "k", f"{name}_BASE_URL": given})
    assert settings.providers[name.lower()].base_url == expected


def test_an_own_server_needs_no_key_and_a_made_up_one_only_its_address(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text("providers:\n  acme:\n    base_url: http://localhost:1/v1\n    key: env:ACME\n")
    settings = load_settings({"OLLAMA_BASE_URL": "http://localhost:2", "ACME": "s"}, path)
    assert set(settings.providers) == {"ollama", "acme"}
    assert settings.providers["ollama"].keys == ()


OWN = [
    ("", "http://host/v1", "bearer", {"chat": "/chat/completions"}),
    ("embeddings: true", "http://host/v1", "bearer", {"chat": "/chat/completions", "embeddings": "/embeddings"}),
    ("dialect: openai_responses", "http://host/v1", "bearer", {"chat": "/responses"}),
    ("dialect: anthropic_messages", "http://host/v1", "x-api-key", {"chat": "/messages", "count_tokens": "/messages/count_tokens"}),
    ("dialect: anthropic_messages, auth: bearer", "http://host/v1", "bearer", {"chat": "/messages", "count_tokens": "/messages/count_tokens"}),
    ("dialect: gemini", "http://host/v1beta", "x-goog-api-key", {"chat": "/models/{model}:generateContent", "count_tokens": "/models/{model}:countTokens"}),
    ("dialect: cohere, embeddings: yes", "http://host", "bearer", {"chat": "/v2/chat", "embeddings": "/v2/embed"}),
]  # fmt: skip


@pytest.mark.parametrize(("more", "url", "auth", "paths"), OWN)
def test_a_provider_of_ones_own_speaks_the_dialect_that_it_is_said_to(
    more: str, url: str, auth: str, paths: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "gateway.yaml"
    fields = "".join(f"    {field}\n" for field in ["base_url: http://host", *more.split(", ")])
    path.write_text(f"providers:\n  acme:\n{fields}")
    acme = load_settings({}, path).providers["acme"]
    assert (acme.base_url, acme.provider.auth) == (url, auth)
    assert {name: e.path for name, e in acme.provider.operations.items()} == paths
    assert acme.provider.model_prefixes == ()


def test_a_provider_of_ones_own_may_take_responses_too(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text("providers:\n  acme:\n    base_url: http://host\n    responses: true\n")
    acme = load_settings({}, path).providers["acme"].provider
    assert acme.chat_in["openai_responses"].path == "/responses"


def test_near_misses_are_warned_of() -> None:
    settings = load_settings({"RATE_LIMIT_CAPCITY": "5", "OPENAI_APIKEY": "k"})
    text = " ".join(settings.warnings)
    assert "RATE_LIMIT_CAPACITY" in text
    assert "OPENAI_API_KEY" in text


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "http_proxy"])
def test_a_proxy_that_is_not_heeded_is_named_and_not_shown(name: str) -> None:
    status, lines = check({name: "http://user:canary@proxy:3128"}, None)
    assert status == 0
    (warning,) = [line for line in lines if line.startswith("warning:")]
    assert f"{name} is not heeded" in warning
    assert "canary" not in warning
    assert load_settings({name: ""}).warnings == ()


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    environ = {
        "OPENAI_API_KEY": "canary-1",
        "ADMIN_KEY": "canary-2",
        "REDIS_PASSWORD": "canary-3",
        "DATABASE_URL": "postgres://u:canary-4@h/d",
    }
    settings = load_settings(environ)
    status, lines = check(environ, None)
    assert status == 0
    assert "canary" not in repr(settings)
    assert "canary" not in str(settings)
    assert "canary" not in " ".join(lines)
    assert "OPENAI_API_KEY" in " ".join(lines)


@pytest.mark.parametrize(
    ("host", "safe"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("[::1]", True), ("localhost", True),
     ("0.0.0.0", False), ("::", False), ("192.168.1.4", False), ("example.org", False), ("", False)],
)  # fmt: skip
def test_only_loopback_is_safe_without_keys(host: str, safe: bool) -> None:
    assert listening_is_safe(host) is safe


def test_an_upstream_that_no_provider_answers_to_is_told(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text("upstreams:\n  opneai: {probe: {}}\n  openai/gpt-*: {probe: {idle: 60}}\n")
    settings = load_settings({"OPENAI_API_KEY": "sk-x"}, path)
    assert [w for w in settings.warnings if "upstreams" in w] == [
        "upstreams.opneai holds for nothing: no provider of that name is configured."
    ]


SEMANTIC = "semantic: {embedder: text-embedding-3-small}"


@pytest.mark.parametrize(
    ("written", "ttl", "expected"),
    [
        ("cache: {mode: semantic}", "5", ["cache.mode is semantic, but `cache.semantic` names no embedder: only exact repeats are answered."]),
        ("routes: {r: {targets: [{model: gpt-4o}], cache: {mode: semantic}}}", "5", ["routes.r.cache.mode is semantic, but `cache.semantic` names no embedder: only exact repeats are answered."]),
        ("tenants: {t: {policy: {cache: {mode: semantic}}}}", "5", ["tenants.t.policy.cache.mode is semantic, but `cache.semantic` names no embedder: only exact repeats are answered."]),
        (f"cache: {{mode: semantic, {SEMANTIC}}}", "0", ["cache.mode is semantic, but the cache is off (CACHE_TTL=0): nothing is cached."]),
        (f"cache: {{mode: semantic, {SEMANTIC}}}", "5", []),
        ("cache: {mode: exact}", "5", []),
    ],
)  # fmt: skip
def test_a_semantic_cache_that_cannot_be_had_is_told(
    written: str, ttl: str, expected: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(written)
    settings = load_settings({"OPENAI_API_KEY": "sk-x", "CACHE_TTL": ttl}, path)
    assert [w for w in settings.warnings if "semantic" in w] == expected
