"""Chat -> Converse bytes, by way of Messages."""

# pyright: basic
# Free JSON of our own making is reworded here; typing each shape twice would say nothing more.

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec.json import decode, encode
from msgspec.structs import replace

from ai_gateway.dialects.anthropic_messages.render import render_request as render_messages
from ai_gateway.dialects.dialect import Rendered, RenderTarget
from ai_gateway.dialects.first_call import NOTE as FIRST_CALL_NOTE
from ai_gateway.model.chat import Chat
from ai_gateway.model.errors import Untranslatable

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9 ()\[\]-]+")
_MISSHAPEN = (AttributeError, KeyError, TypeError)
_NO_URLS = "Bedrock takes files as data only, not by URL. Send it as a data URL."


def render_request(chat: Chat, target: RenderTarget) -> Rendered:
    """Raises Untranslatable naming what Converse cannot express."""
    rendered = render_messages(chat, replace(target, structured_output=False))
    try:
        return _reworded(decode(rendered.body), [*rendered.notes])
    except _MISSHAPEN:
        # What only Anthropic knows comes as the caller wrote it, in whatever shape.
        raise Untranslatable(
            "messages", "A block or a tool is not of the shape that Messages has."
        ) from None


def _reworded(messages: dict[str, Any], notes: list[str]) -> Rendered:
    if _name_documents(messages["messages"]):
        notes.append("names of documents changed: the provider takes few signs, and each name once")
    out: dict[str, Any] = {
        "messages": [
            {"role": turn["role"], "content": _contents(turn["content"])}
            for turn in messages["messages"]
        ],
        "inferenceConfig": _inference(messages),
    }
    system = messages.get("system")
    if system is not None:
        out["system"] = [{"text": system}] if isinstance(system, str) else _contents(system)
    tools = _tools(messages, out["messages"], notes)
    if tools is not None:
        out["toolConfig"] = tools
    more = _model_fields(messages)
    if more:
        out["additionalModelRequestFields"] = more
    if "metadata" in messages:
        notes.append("user left out: the provider has no like of it")
    return Rendered(encode(out), tuple(notes))


def _inference(messages: Mapping[str, Any]) -> dict[str, Any]:
    names = {
        "max_tokens": "maxTokens",
        "temperature": "temperature",
        "top_p": "topP",
        "stop_sequences": "stopSequences",
    }
    return {new: messages[old] for old, new in names.items() if old in messages}


def _model_fields(messages: Mapping[str, Any]) -> dict[str, Any]:
    """What Converse hands on to the model in the model's own words (here Claude's)."""
    more = {name: messages[name] for name in ("top_k", "thinking") if name in messages}
    effort = messages.get("output_config", {}).get("effort")
    if effort is not None:
        more["output_config"] = {"effort": effort}
    return more


def _contents(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for block in blocks:
        out.append(_content(block))
        mark = block.get("cache_control") or _mark_within(block)
        if mark:
            out.append(_cache_point(mark))
    return out


def _mark_within(block: dict[str, Any]) -> dict[str, Any] | None:
    """A tool's result holds no cache points: one inside it is set right behind it."""
    content = block.get("content")
    if block.get("type") != "tool_result" or not isinstance(content, list):
        return None
    return next((b["cache_control"] for b in reversed(content) if "cache_control" in b), None)


def _cache_point(mark: dict[str, Any]) -> dict[str, Any]:
    point = {"type": "default"}
    if mark.get("ttl"):
        point["ttl"] = mark["ttl"]
    return {"cachePoint": point}


def _content(block: dict[str, Any]) -> dict[str, Any]:
    match block.get("type"):
        case "text":
            return {"text": block["text"]}
        case "image":
            source = block["source"]
            if source["type"] != "base64":
                raise Untranslatable("messages", _NO_URLS)
            kind = source["media_type"].removeprefix("image/")
            return {"image": {"format": kind, "source": {"bytes": source["data"]}}}
        case "document":
            return {"document": _document(block)}
        case "tool_use":
            call = {"toolUseId": block["id"], "name": block["name"], "input": block["input"]}
            return {"toolUse": call}
        case "tool_result":
            return {"toolResult": _tool_result(block)}
        case "thinking":
            thinking = {"text": block["thinking"], "signature": block["signature"]}
            return {"reasoningContent": {"reasoningText": thinking}}
        case "redacted_thinking":
            return {"reasoningContent": {"redactedContent": block["data"]}}
        case kind:
            raise Untranslatable("messages", f"Bedrock has nothing like {kind}. Leave it out.")


def _name_documents(turns: list[dict[str, Any]]) -> bool:
    """Gives each document a title that is a name to Bedrock: required, of letters, digits and a few
    signs, with single spaces, and no two the same. True where a caller's own was changed."""
    changed = False
    taken: set[str] = set()
    for block in _documents(block for turn in turns for block in turn["content"]):
        title = block.get("title")
        plain = " ".join(_NOT_IN_NAMES.sub(" ", title or "").split())[:190] or "document"
        name, number = plain, 1
        while name in taken:
            number += 1
            name = f"{plain} {number}"
        taken.add(name)
        changed |= bool(title) and title != name
        block["title"] = name
    return changed


def _documents(blocks: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for block in blocks:
        if block.get("type") == "document":
            yield block
        elif block.get("type") == "tool_result" and isinstance(block.get("content"), list):
            yield from _documents(block["content"])


def _document(block: dict[str, Any]) -> dict[str, Any]:
    source = block["source"]
    match source["type"]:
        case "base64":
            kind, data = source["media_type"].removeprefix("application/"), source["data"]
        case "text":
            kind, data = "txt", base64.b64encode(source["data"].encode()).decode()
        case _:
            raise Untranslatable("messages", _NO_URLS)
    out: dict[str, Any] = {"format": kind, "name": block["title"], "source": {"bytes": data}}
    if block.get("context"):
        out["context"] = block["context"]
    if block.get("citations"):
        out["citations"] = block["citations"]
    return out


def _tool_result(block: dict[str, Any]) -> dict[str, Any]:
    content = block.get("content", [])
    inner = [{"text": content}] if isinstance(content, str) else [_content(b) for b in content]
    out: dict[str, Any] = {"toolUseId": block["tool_use_id"], "content": inner}
    if block.get("is_error") is not None:
        out["status"] = "error" if block["is_error"] else "success"
    return out


def _tools(
    messages: Mapping[str, Any], turns: list[dict[str, Any]], notes: list[str]
) -> dict[str, Any] | None:
    tools = messages.get("tools")
    if not tools:
        return None
    choice = messages.get("tool_choice", {"type": "auto"})
    if choice.get("disable_parallel_tool_use"):
        notes.append(FIRST_CALL_NOTE)
    if choice["type"] == "none":
        used = any("toolUse" in c or "toolResult" in c for t in turns for c in t["content"])
        if used:
            # Bedrock wants the tools of earlier turns named, and has no way to forbid them.
            raise Untranslatable("tool_choice", "Bedrock has no tool_choice none. Leave it out.")
        notes.append("tools left out: none may be called, and the provider has no way to say so")
        return None
    specs: list[dict[str, Any]] = []
    for tool in tools:
        if "input_schema" not in tool or "name" not in tool:
            kind = str(tool.get("type"))
            raise Untranslatable("tools", f"Bedrock has no tool of type {kind}. Leave it out.")
        spec = {"name": tool["name"], "inputSchema": {"json": tool["input_schema"]}}
        if tool.get("description"):
            spec["description"] = tool["description"]
        if tool.get("strict"):
            spec["strict"] = True
        specs.append({"toolSpec": spec})
        if "cache_control" in tool:
            specs.append(_cache_point(tool["cache_control"]))
    match choice["type"]:
        case "tool":
            wanted: dict[str, Any] = {"tool": {"name": choice["name"]}}
        case kind:
            wanted = {kind: {}}
    return {"tools": specs, "toolChoice": wanted}
