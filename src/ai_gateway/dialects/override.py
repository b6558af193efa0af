"""A request with other parameters or another system prompt, in the dialect it came in."""

from typing import Any

from msgspec.json import decode, encode

from ai_gateway.model.route import Parameters


def overridden(dialect: str, body: bytes, parameters: Parameters, system: str | None) -> bytes:
    """`body` has been checked as a chat request of the dialect. The same bytes where nothing changes."""
    given = {
        name: value
        for name in ("temperature", "top_p", "max_tokens")
        if (value := getattr(parameters, name)) is not None
    }
    if not given and system is None:
        return body
    request: dict[str, Any] = decode(body)
    match dialect:
        case "gemini":
            _gemini(request, given, system)
        case "openai_responses":
            _rename(given, "max_tokens", "max_output_tokens")
            request.update(given)
            if system is not None:
                request["instructions"] = system
        case "anthropic_messages":
            request.update(given)
            if system is not None:
                request["system"] = system
        case _:
            if "max_completion_tokens" in request:
                _rename(given, "max_tokens", "max_completion_tokens")
            request.update(given)
            if system is not None:
                rest = [
                    m for m in request["messages"] if m.get("role") not in ("system", "developer")
                ]
                request["messages"] = [{"role": "system", "content": system}, *rest]
    return encode(request)


def _gemini(request: dict[str, Any], given: dict[str, Any], system: str | None) -> None:
    names = {"temperature": "temperature", "top_p": "topP", "max_tokens": "maxOutputTokens"}
    config: dict[str, Any] = (
        request.pop("generation_config", None) or request.get("generationConfig") or {}
    )
    if given:
        request["generationConfig"] = {**config, **{names[n]: v for n, v in given.items()}}
    if system is not None:
        request.pop("system_instruction", None)
        request["systemInstruction"] = {"parts": [{"text": system}]}


def _rename(given: dict[str, Any], name: str, other: str) -> None:
    if name in given:
        given[other] = given.pop(name)
