"""docs/reference.md: every endpoint, section of gateway.yaml, error code and event, read out of the code itself.

A code or event that the source does not spell out must be spelt out here, or the page cannot be made.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import get_args
from unittest.mock import MagicMock

from ai_gateway.edge.admin.table import admin_table
from ai_gateway.edge.documents import openapi
from ai_gateway.holdings.store import Kind
from ai_gateway.load.turnstile import Reason
from ai_gateway.model.errors import STATUS
from ai_gateway.upstream.faults import FaultCause
from scripts.gateway_yaml import sections

SOURCE = Path(__file__).parents[1] / "src/ai_gateway"
EVENTS = {
    "access_database_back": "keys can be looked up again",
    "access_database_lost": "keys that are not in memory cannot be looked up",
    "admin": "an administrator's act that changed something",
    "attempt": "one attempt at a provider, at `LOG_LEVEL=debug`",
    "audit_head": "where a chain of the audit stands, for later comparison",
    "audit_index_failed": "audited calls cannot be written to the database for now",
    "audit_retention_failed": "old audited calls could not be deleted",
    "batch_failed": "a batch of the gateway's own failed for a reason of the gateway's",
    "breaker": "a circuit breaker changed its state",
    "budget_passed": "a soft budget has been passed",
    "call": "a call, see above",
    "draining": "no new connections are taken; what runs is ended",
    "error_budget_burning": "more calls fail than the error budget bears; shares, 0 to 1",
    "experiment_stopped": "an experiment was stopped by its guard",
    "experiments_database_lost": "the numbers of experiments cannot be read",
    "internal_error": "a fault of the gateway's own; `where` is file and line",
    "keys_found": "the first key came into the database of a gateway that ran without",
    "ledger_database_back": "the ledger's database is back",
    "ledger_database_lost": "the ledger's database is away; calls are kept in the spool",
    "ledger_days_failed": "sums of days could not be made; hours are added up instead",
    "ledger_retention_failed": "old calls could not be deleted",
    "probe": "a call of the gateway's own to see how a provider's model is doing; debug where it went well",
    "reload": "`gateway.yaml` was read anew: `good`, or why not",
    "route_left_out": "a route of the admin API's cannot be",
    "routes_database_back": "routes of the admin API's are followed again",
    "routes_database_lost": "changes to routes of the admin API's are not heard",
    "serving": "the gateway takes calls",
    "sign_in": "somebody signed in to the dashboard",
    "sign_in_failed": "somebody could not",
    "state_back": "Redis is back",
    "state_lost": "Redis is away: limits are counted by this process alone, or calls refused",
    "stopped": "the end",
}
_CAUSES = [cause for cause in get_args(FaultCause) if cause != "exhausted"]
"""That one is told as `gateway_exhausted`."""
_BY_WAY_OF = {
    "f'upstream_{fault.cause}'": [f"upstream_{cause}" for cause in _CAUSES],
    "f'{kind}_not_found'": [f"{kind}_not_found" for kind in get_args(Kind)],
    "reason": list(get_args(Reason)),
    "_OVER_LIMIT": ["too_many_calls"],
    "CREDENTIAL_REFUSED_CODE": ["upstream_credential_refused"],
    "'context_length_exceeded' if too_long else None": ["context_length_exceeded"],
}
"""Codes that the source makes of something else."""
_SAID = {
    **{f"{kind}_not_found": f"There is no {kind} … of yours" for kind in get_args(Kind)},
    "bad_upstream_answer": "The provider's answer cannot be read",
    "access_unavailable": "The key cannot be looked up now",
    "context_length_exceeded": "The provider found the prompt too long",
    "gateway_exhausted": "The gateway's machine can open no more connections or files",
    "invalid_line": "What is wrong with the line, which `line` names",
    "invalid_route": "What is wrong with the route",
    "unsupported_parameter": "A field, named, that the chosen model's API has no words for",
    "upstream_connect": "The provider could not be reached",
    "upstream_credential": "The gateway could not get its own credential for the provider",
    "upstream_protocol": "The provider answered with something that is not HTTP",
    "upstream_realtime": "The provider did not take the session",
    "upstream_redirect": "The provider answered with a redirect, which is not followed",
    "upstream_reset": "The provider broke off",
    "upstream_timeout": "The provider did not answer in time",
    "upstream_too_large": "The provider's answer was too large",
}
"""Where the message is made elsewhere, or one of many."""
_STATUS = {
    "context_length_exceeded": "400",
    **{f"upstream_{cause}": "502" for cause in _CAUSES},
    "upstream_timeout": "504",
}
_NOUN = "f\"{noun.replace(' ', '_')}_not_found\""
_RAISES = ("GatewayError", "ProviderError", "__init__", "invalid", "LineError")


def reference() -> str:
    return "\n".join(
        [
            "# Reference",
            "",
            "<!-- Made from the code by scripts/reference.py: do not edit. -->",
            "",
            "Variables are in [configuration](configuration.md), headers in [API](API.md), metrics, spans and the log's",
            "fields in [operations](operations.md).",
            "",
            "## Endpoints",
            "",
            "As `/openapi.json` has them, with every field. Beside them: `/mcp/<server>`, `/v1/realtime`, calls over",
            "a WebSocket and a provider's own paths ([API](API.md)), and the [dashboard](dashboard.md).",
            "",
            *_endpoints(),
            "",
            "## gateway.yaml",
            "",
            "What has no variable; the rest is in [configuration](configuration.md). A field without a default may be",
            "left out unless it is required.",
            "",
            *sections(),
            "",
            "## Error codes",
            "",
            "`code` in an error of OpenAI's dialect; what a provider itself says is handed on. `batch`: in a batch's",
            "`errors`, not an answer's. What varies is left out (…).",
            "",
            *_codes(),
            "",
            "## Events in the log",
            "",
            *_events(),
        ]
    ) + "\n"  # fmt: skip


def _endpoints() -> Iterator[str]:
    yield "| endpoint | | roles |"
    yield "| --- | --- | --- |"
    for path, methods in openapi(admin_table(MagicMock()))["paths"].items():
        for method, told in methods.items():
            roles = told.get("description", "").removeprefix("For the roles ").rstrip(".")
            yield f"| `{method.upper()} {path}` | {told['summary']} | {roles} |"


def _codes() -> Iterator[str]:
    found: dict[str, set[str]] = defaultdict(set)
    said: dict[str, str] = {}
    for call, name in _calls():
        code = next((k.value for k in call.keywords if k.arg == "code"), None)
        if code is None or name not in _RAISES or not (call.args or call.keywords[1:]):
            continue
        for each in _codes_of(code):
            found[each] |= set(_statuses(call, name))
            said.setdefault(each, _message(call, name))
            said[each] = said[each] or _message(call, name)
    for call, name in _calls():
        if name == "not_found" and isinstance(noun := call.args[0], ast.Constant):
            code = f"{str(noun.value).replace(' ', '_')}_not_found"
            found[code].add("404")
            said[code] = f"There is no {noun.value} …"
    yield "| code | status | what is said |"
    yield "| --- | --- | --- |"
    for code in sorted(found):
        status = ", ".join(sorted(found[code])) or _STATUS.get(code) or _unknown(code)
        message = _SAID.get(code) or said[code] or _unknown(code)
        yield f"| `{code}` | {status} | {message} |"


def _codes_of(code: ast.expr) -> list[str]:
    if isinstance(code, ast.Constant):
        return [str(code.value)] if code.value is not None else []
    text = ast.unparse(code)
    handed_on = isinstance(code, ast.Attribute | ast.IfExp | ast.BoolOp) or text in ("code", _NOUN)
    return _BY_WAY_OF.get(text) or ([] if handed_on else _unknown(f"the code {text}"))


def _statuses(call: ast.Call, name: str) -> Iterator[str]:
    if name == "LineError":
        yield "batch"
        return
    own = next((k.value for k in call.keywords if k.arg == "status"), None)
    if isinstance(own, ast.Constant) and own.value is not None:
        yield str(own.value)
        return
    if name == "invalid":
        yield str(STATUS["invalid_request"])
        return
    kind = next((k.value for k in call.keywords if k.arg == "kind"), None) or call.args[0]
    kinds = {str(node.value) for node in ast.walk(kind) if isinstance(node, ast.Constant)}
    yield from (str(status) for kind, status in STATUS.items() if kind in kinds)


def _message(call: ast.Call, name: str) -> str:
    """Its first sentence, without what varies."""
    given = next((k.value for k in call.keywords if k.arg == "message"), None)
    node = given or (call.args[1] if len(call.args) > 1 else None)
    match node:
        case ast.Constant():
            text = str(node.value)
        case ast.JoinedStr():
            text = "".join(
                str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values
            )
        case _:
            return ""
    if name == "invalid" and isinstance(field := call.args[0], ast.Constant) and field.value:
        text = f"{field.value}: {text}"
    return text.split(". ")[0].rstrip(".").replace("|", "\\|")


def _events() -> Iterator[str]:
    levels: dict[str, set[str]] = {"call": {"info", "warning"}, "attempt": {"debug"}}
    fields: dict[str, dict[str, None]] = {"call": {}, "attempt": {}}
    for call, name in _calls():
        if name not in ("event", "on_event", "_on_event") or len(call.args) < 2:
            continue
        event = call.args[1]
        if not isinstance(event, ast.Constant):
            # Handed on from an `on_event`, whose callers name it.
            if ast.unparse(event) != "event":
                _unknown(f"the event {ast.unparse(event)}")
            continue
        known = {n.value for n in ast.walk(call.args[0]) if isinstance(n, ast.Constant)}
        told = {str(v) for v in known} & {"debug", "info", "warning", "error"}
        levels.setdefault(str(event.value), set()).update(told or {"info", "warning"})
        named = [k.arg for k in call.keywords if k.arg] + (["why"] if len(call.args) > 2 else [])
        fields.setdefault(str(event.value), {}).update(dict.fromkeys(named))
    if set(levels) != set(EVENTS):
        _unknown(f"the meaning of {set(levels) ^ set(EVENTS)}")
    yield "| event | level | fields | |"
    yield "| --- | --- | --- | --- |"
    for event in sorted(levels):
        names = " ".join(f"`{name}`" for name in fields[event])
        yield f"| `{event}` | {', '.join(sorted(levels[event]))} | {names} | {EVENTS[event]} |"


def _calls() -> Iterator[tuple[ast.Call, str]]:
    for path in sorted(SOURCE.rglob("*.py")):
        if "simulator" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                function = node.func
                yield node, getattr(function, "attr", None) or getattr(function, "id", "")


def _unknown(what: str) -> list[str]:
    raise ValueError(f"scripts/reference.py does not know {what}")
