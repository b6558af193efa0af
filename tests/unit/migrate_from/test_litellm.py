"""From LiteLLM: what becomes of each setting, and that nothing is lost in silence."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from ai_gateway.cli import main
from ai_gateway.migrate_from.draft import Draft
from ai_gateway.migrate_from.litellm import convert
from ai_gateway.settings.load import load_settings


def converted(tmp_path: Path, text: str) -> Draft:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return convert(path)


def result(tmp_path: Path, text: str) -> dict[str, Any]:
    """The `gateway.yaml`, which the gateway itself must take."""
    draft = converted(tmp_path, text)
    written = tmp_path / "gateway.yaml"
    written.write_text(draft.text("config.yaml"))
    load_settings(dict.fromkeys(draft.variables, "set"), written)
    return dict(yaml.safe_load(written.read_text()) or {})


def deployment(name: str, model: str, **params: object) -> dict[str, object]:
    return {"model_name": name, "litellm_params": {"model": model, **params}}


def config(*deployments: dict[str, object], **sections: object) -> str:
    return yaml.safe_dump({"model_list": list(deployments), **sections}, sort_keys=False)


KEY = "os.environ/OPENAI_API_KEY"


@pytest.mark.parametrize(
    ("model", "params", "provider"),
    [
        ("openai/gpt-4o", {"api_key": KEY}, {"openai": {"key": "env:OPENAI_API_KEY"}}),
        ("gpt-4o", {"api_key": KEY}, {"openai": {"key": "env:OPENAI_API_KEY"}}),
        ("together_ai/x", {"api_key": "os.environ/T"}, {"together": {"key": "env:T"}}),
        ("dashscope/qwen-max", {"api_key": "os.environ/Q"}, {"qwen": {"key": "env:Q"}}),
        ("ollama/qwen3", {"api_base": "http://h:11434/v1"}, {"ollama": {"base_url": "http://h:11434/v1"}}),
        ("hosted_vllm/m", {"api_base": "http://h:8000/v1/"}, {"vllm": {"base_url": "http://h:8000/v1"}}),
        ("openai/m", {"api_base": "https://llm.acme.example/v1", "api_key": "os.environ/A"},
         {"llm-acme": {"base_url": "https://llm.acme.example/v1", "key": "env:A"}}),
        ("openai/m", {"api_base": "http://10.0.0.7:8000/v1", "api_key": "none"},
         {"own-10-0": {"base_url": "http://10.0.0.7:8000/v1"}}),
    ],
)  # fmt: skip
def test_a_deployment_becomes_its_provider(
    tmp_path: Path, model: str, params: dict[str, object], provider: dict[str, object]
) -> None:
    assert result(tmp_path, config(deployment("m", model, **params)))["providers"] == provider


@pytest.mark.parametrize(
    ("model", "target", "variable"),
    [
        ("bedrock/anthropic.claude-x", "bedrock/anthropic.claude-x", "BEDROCK_REGION"),
        ("vertex_ai/gemini-2.5-pro", "vertex/gemini-2.5-pro", "VERTEX_PROJECT"),
        ("vertex_ai/claude-sonnet-4-5", "vertex-anthropic/claude-sonnet-4-5", "VERTEX_REGION"),
    ],
)
def test_clouds_are_named_with_the_variables_they_want(
    tmp_path: Path, model: str, target: str, variable: str
) -> None:
    draft = converted(tmp_path, config(deployment("m", model)))
    assert draft.routes["m"]["targets"] == [{"model": target}]
    assert variable in draft.variables


def test_several_keys_of_one_provider_are_used_in_turn(tmp_path: Path) -> None:
    made = result(
        tmp_path,
        config(
            *(deployment("gpt-4o", "openai/gpt-4o", api_key=f"os.environ/K{n}") for n in (1, 2, 3))
        ),
    )
    assert made == {"providers": {"openai": {"keys": ["env:K1", "env:K2", "env:K3"]}}}


@pytest.mark.parametrize(
    ("strategy", "ours"),
    [
        (None, "weighted"),
        ("simple-shuffle", "weighted"),
        ("least-busy", "least-busy"),
        ("latency-based-routing", "fastest"),
        ("cost-based-routing", "cheapest"),
        ("usage-based-routing-v2", "least-busy"),
    ],
)
def test_several_deployments_become_a_route(
    tmp_path: Path, strategy: str | None, ours: str
) -> None:
    two = (
        deployment("smart", "openai/gpt-4o", api_key=KEY, rpm=300),
        deployment("smart", "anthropic/claude-sonnet-4-5", api_key="os.environ/A", rpm=100),
    )
    sections = {"router_settings": {"routing_strategy": strategy}} if strategy else {}
    route = result(tmp_path, config(*two, **sections))["routes"]["smart"]
    assert route["strategy"] == ours
    assert [t["model"] for t in route["targets"]] == [
        "openai/gpt-4o",
        "anthropic/claude-sonnet-4-5",
    ]
    if ours == "weighted":
        assert [t["weight"] for t in route["targets"]] == [300, 100]


def test_fall_backs_come_after_in_order(tmp_path: Path) -> None:
    made = result(
        tmp_path,
        config(
            deployment("a", "openai/gpt-4o", api_key=KEY),
            deployment("b", "groq/llama-3.3-70b-versatile", api_key="os.environ/G"),
            deployment("c", "mistral/mistral-large-latest", api_key="os.environ/M"),
            litellm_settings={
                "fallbacks": [{"a": ["b", "c"]}],
                "content_policy_fallbacks": [{"b": ["c"]}],
                "num_retries": 4,
            },
            router_settings={"model_group_alias": {"old-name": "a"}, "timeout": 30},
        ),
    )
    routes = made["routes"]
    assert [t["model"].split("/")[0] for t in routes["a"]["targets"]] == [
        "openai",
        "groq",
        "mistral",
    ]
    assert routes["a"]["retries"] == 4
    assert routes["a"]["attempt_timeout"] == 30
    assert routes["b"]["fallback_on"] == ["context_window", "content_filter"]
    assert routes["old-name"] == routes["a"]


def test_settings_find_their_places(tmp_path: Path) -> None:
    made = result(
        tmp_path,
        config(
            litellm_settings={
                "request_timeout": 90,
                "cache": True,
                "cache_params": {"type": "redis", "host": "h", "port": 6380, "ttl": 120,
                                 "password": "os.environ/RP"},
                "max_budget": 12.5,
                "budget_duration": "7d",
            },
            general_settings={"master_key": "os.environ/MASTER"},
        ),
    )  # fmt: skip
    assert made == {
        "admin_key": "env:MASTER",
        "cache_ttl": 2.0,
        "redis_addr": "h:6380",
        "redis_password": "env:RP",
        "tenants": {"default": {"policy": {"budgets": [
            {"per": "tenant", "amount": "12.5", "period": "week"}]}}},
        "total_timeout": 90.0,
    }  # fmt: skip


CANARY = "sk-canary-1234567890"


def test_a_secret_in_the_file_is_not_repeated_but_its_variable_is_named(tmp_path: Path) -> None:
    draft = converted(
        tmp_path,
        config(
            deployment("m", "openai/gpt-4o", api_key=CANARY),
            general_settings={"master_key": CANARY, "database_url": f"postgresql://u:{CANARY}@h/d"},
            litellm_settings={"cache": True, "cache_params": {"host": "h", "password": CANARY}},
            environment_variables={"X": CANARY},
        ),
    )
    said = draft.text("config.yaml") + "\n".join(draft.report())
    assert CANARY not in said
    assert draft.variables == {"OPENAI_API_KEY", "ADMIN_KEY", "REDIS_PASSWORD"}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (config(deployment("m", "sagemaker/x", api_key=KEY)), "model_list[0] (m)"),
        (config(deployment("m", "nobody/x", api_key=KEY)), "model_list[0] (m)"),
        (config(deployment("m", "openai/x", api_key=KEY, temperature=0.1)), "temperature"),
        (config({"model_name": "m"}), "model_list[0]"),
        (config(litellm_settings={"success_callback": ["x"]}), "litellm_settings.success_callback"),
        (config(litellm_settings={"invented": 1}), "litellm_settings.invented"),
        (config(router_settings={"invented": 1}), "router_settings.invented"),
        (config(general_settings={"invented": 1}), "general_settings.invented"),
        (config(general_settings={"database_url": "x"}), "general_settings.database_url"),
        (config(guardrails=[]), "guardrails"),
        (config(litellm_settings={"fallbacks": [{"a": ["b"]}]}), "fallbacks.a"),
        (config(litellm_settings={"cache": True, "cache_params": {"type": "s3"}}), "cache_params.type"),
        (config(litellm_settings={"max_budget": 1, "budget_duration": "36h"}), "budget_duration"),
        (config(router_settings={"routing_strategy": "own"}), "router_settings.routing_strategy"),
    ],
)  # fmt: skip
def test_what_is_not_carried_over_is_named_with_its_line(
    tmp_path: Path, text: str, name: str
) -> None:
    left = [r for r in converted(tmp_path, text).remarks if r.fate == "left"]
    assert any(name in remark.name and remark.line > 0 for remark in left), left


def test_every_setting_of_the_file_is_accounted_for(tmp_path: Path) -> None:
    """Whatever stands in a section is in the report, by name."""
    sections = {
        "litellm_settings": {
            "set_verbose": True,
            "drop_params": True,
            "zeta": 1,
            "json_logs": True,
        },
        "router_settings": {"allowed_fails": 3, "eta": 2, "routing_strategy": "least-busy"},
        "general_settings": {"theta": 3, "store_model_in_db": True},
    }
    names = {r.name for r in converted(tmp_path, config(**sections)).remarks}
    assert {f"{s}.{n}" for s, given in sections.items() for n in given} <= names


def test_the_command_writes_and_reports_and_overwrites_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "config.yaml", tmp_path / "made.yaml"
    source.write_text(
        config(deployment("m", "sagemaker/x"), deployment("gpt-4o", "gpt-4o", api_key=KEY))
    )
    given = ["import", "litellm", str(source), "--output", str(target)]
    assert main(given) == 0
    said = capsys.readouterr().err
    assert "Not carried over:" in said
    assert "1 carried over, 0 with a difference, 1 not" in said
    assert "env:OPENAI_API_KEY" in target.read_text()
    assert main(given) == 2
    assert main(["import", "litellm", str(source), "--strict"]) == 1
    assert main(["import", "litellm", str(tmp_path / "none.yaml")]) == 2


@pytest.mark.parametrize(
    "text", ["", "[]", "model_list: 3", "model_list: [1, {a: b}]", "a: *b", "\t"]
)
def test_odd_files_end_in_a_word_and_not_in_a_fault(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    assert main(["import", "litellm", str(path)]) in (0, 2)
    capsys.readouterr()
