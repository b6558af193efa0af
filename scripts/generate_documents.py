"""Writes what derives from the code: env.example, documents, and tables within documents.

.venv/bin/python scripts/generate_documents.py
"""

import re
import sys
from functools import partial
from itertools import groupby
from pathlib import Path

from ai_gateway.catalogue.provider import CUSTOM_DIALECTS, load_providers
from ai_gateway.settings.declared import SETTINGS, Setting
from ai_gateway.telemetry.declared import METRICS
from ai_gateway.telemetry.spans import ATTRIBUTES

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
TITLES = {
    "server": "Server",
    "access": "Access",
    "state": "State",
    "limits": "Limits",
    "caching": "Caching",
    "time-outs": "Time-outs",
    "telemetry": "Telemetry",
    "models": "Models",
}


def default_of(setting: Setting) -> str:
    match setting.default:
        case None:
            return ""
        case float() as number:
            return f"{number:g}"
        case bool() as flag:
            return str(flag).lower()
        case tuple() as names:
            return ",".join(names)
        case value:
            return str(value)


def env_example() -> str:
    lines = [
        "# Every variable the gateway reads, with its default. Made from the code: do not edit.",
        "# Set none and the built-in simulator is served.",
    ]
    for group, settings in groupby(SETTINGS, key=lambda s: s.group):
        lines += ["", f"# {TITLES[group]}"]
        for setting in settings:
            note = "" if setting.in_effect else " (not yet in effect)"
            lines += [f"# {setting.doc}{note}", f"#{setting.variable}={default_of(setting)}"]
    lines += ["", "# Providers: a key, or the address of a server of your own, switches one on."]
    for provider in load_providers().values():
        if provider.name.startswith("simulator"):
            continue
        name = provider.switch
        lines.append(f"#{name}=")
    return "\n".join(lines) + "\n"


def configuration() -> str:
    lines = [
        "# Configuration",
        "",
        "<!-- Made from the code by scripts/generate_documents.py: do not edit. -->",
        "",
        "Settings come from environment variables and from `gateway.yaml` (or the file that `CONFIG`",
        "names); a variable wins. `ai-gateway check` reads both and names every problem by file and",
        "line. A key the gateway does not know is an error; a variable that looks like a misspelt one",
        "is a warning. Secrets in the file are given by reference: `env:NAME` or `file:/path`.",
        "",
        "Settings marked *not yet* are read and checked, but what they are for is not part of this",
        "version; the gateway says so at its start if one is set.",
        "",
    ]
    for group, settings in groupby(SETTINGS, key=lambda s: s.group):
        lines += [
            f"## {TITLES[group]}",
            "",
            "| variable | in gateway.yaml | default | meaning |",
            "| --- | --- | --- | --- |",
        ]
        for setting in settings:
            names = " or ".join(f"`{v}`" for v in (setting.variable, *setting.aliases))
            shown = default_of(setting)
            default = f"`{shown}`" if shown else "unset"
            meaning = setting.doc if setting.in_effect else f"*Not yet.* {setting.doc}"
            lines.append(f"| {names} | `{setting.name}` | {default} | {meaning} |")
        lines.append("")
    lines += [
        "## Providers",
        "",
        "`<PROVIDER>_API_KEY` switches a provider on, `<PROVIDER>_BASE_URL` points it elsewhere; an",
        "address without a path gets the provider's own (`https://host` and `https://host/v1` both",
        "work). The names are in [providers](providers.md). In `gateway.yaml`:",
        "",
        "```yaml",
        "providers:",
        "  openai:",
        "    key: env:TEAM_OPENAI_KEY",
        "  acme: # any other name: a provider of your own",
        "    base_url: https://llm.acme.example/v1",
        "    key: file:/run/secrets/acme",
        f"    dialect: {CUSTOM_DIALECTS[0]} # or {', '.join(CUSTOM_DIALECTS[1:])}",
        "    auth: bearer # or x-api-key, api-key, x-goog-api-key, none; else as the dialect's maker wants",
        "    embeddings: true # with openai_chat, gemini and cohere",
        "    responses: true # it takes OpenAI's Responses beside Chat",
        "  anthropic:",
        "    keys: # several are used in turn; one that is refused or throttled rests for a while",
        "      - env:FIRST_KEY",
        "      - {key: file:/run/secrets/second, weight: 3} # three times its share",
        "  vertex: {region: global, project: my-project} # bedrock: region alone",
        "```",
        "",
        "Its other sections (routes, tenants, keys, limits and more) are listed field by field in",
        "[reference](reference.md#gatewayyaml).",
        "",
        "Models of it are called as `acme/<model>`. Several keys (`keys: [env:ONE, env:TWO]`, or a",
        "variable with commas) are used in turn. Routes are described in [routing](routing.md).",
        "Tenants, keys, tokens and signing in by an OpenID provider are in [access](access.md).",
        "",
        "### Clouds",
        "",
        "| cloud | set | models |",
        "| --- | --- | --- |",
        "| Azure OpenAI | `AZURE_API_KEY`, `AZURE_BASE_URL=https://NAME.openai.azure.com` "
        "| `azure/<deployment>` |",
        "| the same, older API | `AZURE_API_KEY`, `AZURE_DEPLOYMENTS_BASE_URL` likewise "
        "| `azure-deployments/<deployment>` |",
        "| Amazon Bedrock | `BEDROCK_REGION`; `AWS_BEARER_TOKEN_BEDROCK`, or AWS's own credentials "
        "| `bedrock/<model id>` |",
        "| Google Vertex AI | `VERTEX_REGION` (or `global`), `VERTEX_PROJECT`; Google's own "
        "credentials | `vertex/<gemini model>`, `vertex-anthropic/<claude model>` |",
        "",
        "*Own credentials* are found as the cloud's own tools find them: variables, files, the",
        "instance's or pod's identity. Requests are signed (AWS) or carry a token that is renewed in",
        "time (Google).",
    ]
    return "\n".join(lines) + "\n"


def providers() -> str:
    lines = [
        "# Providers",
        "",
        "<!-- Made from the code by scripts/generate_documents.py: do not edit. -->",
        "",
        "A provider that speaks OpenAI's dialect is a row in",
        "`src/ai_gateway/catalogue/providers.toml`, nothing else. A model is called by a name only one",
        "provider can mean (its prefix), by a name the catalogue lists for a configured provider, or",
        "as `provider/model`.",
        "",
        "| provider | switched on by | operations | prefixes of its models |",
        "| --- | --- | --- | --- |",
    ]
    for provider in load_providers().values():
        if provider.name.startswith("simulator"):
            continue
        on = provider.switch
        operations = ", ".join(f"{name} ({e.dialect})" for name, e in provider.operations.items())
        prefixes = " ".join(f"`{p}`" for p in provider.model_prefixes)
        lines.append(
            f"| [{provider.title}]({provider.docs}) `{provider.name}` | `{on}` | {operations} | {prefixes} |"
        )
    return "\n".join(lines) + "\n"


def metrics_table() -> str:
    lines = ["| metric | labels | meaning |", "| --- | --- | --- |"]
    for metric in METRICS:
        labels = ", ".join(metric.labels)
        lines.append(f"| `{metric.name}` ({metric.kind}) | {labels} | {metric.help} |")
    return "\n".join(lines)


def spans_table() -> str:
    lines = ["| span | attribute | meaning |", "| --- | --- | --- |"]
    lines += [f"| {a.span} | `{a.name}` | {a.help} |" for a in ATTRIBUTES]
    return "\n".join(lines)


TABLES = {"metrics": metrics_table, "spans": spans_table}


def operations() -> str:
    """The page as it is, its tables anew: each between `<!-- table: NAME -->` and `<!-- end -->`."""
    page = (ROOT / "docs/operations.md").read_text("utf-8")
    for name, write in TABLES.items():
        begin = f"<!-- table: {name} (made from the code by `make documents`) -->"
        if page.count(begin) != 1:
            raise ValueError(f"docs/operations.md needs one line {begin}")
        within = re.compile(re.escape(begin) + r"\n.*?<!-- end -->", re.S)
        table = f"{begin}\n{write()}\n<!-- end -->"
        page = within.sub(lambda _, table=table: table, page, count=1)
    return page


def dialect_matrix() -> str:
    from tests.unit.dialects.matrix import page

    return page()


def reference() -> str:
    from scripts.reference import reference as page

    return page()


def board(name: str) -> str:
    from scripts.dashboards import dashboard

    return dashboard(name)


BOARDS = ("overview", "cost", "providers", "cache", "limits", "slo")
DOCUMENTS = {
    "env.example": env_example,
    "docs/configuration.md": configuration,
    "docs/providers.md": providers,
    "docs/operations.md": operations,
    "docs/dialect-matrix.md": dialect_matrix,
    "docs/reference.md": reference,
    **{f"deploy/grafana/dashboards/{name}.json": partial(board, name) for name in BOARDS},
}


def main() -> None:
    for name, write in DOCUMENTS.items():
        (ROOT / name).write_text(write(), "utf-8")


if __name__ == "__main__":
    main()
