"""Chat -> generateContent bytes, for a caller of another dialect."""

import mimetypes

from msgspec import Struct
from msgspec.json import decode, encode

from ai_gateway.dialects.arguments import as_object
from ai_gateway.dialects.dialect import Rendered, RenderTarget
from ai_gateway.dialects.first_call import NOTE as FIRST_CALL_NOTE
from ai_gateway.dialects.inexpressible import HARMLESS_EXTRAS, refuse_inexpressible
from ai_gateway.dialects.signatures import is_marked, own
from ai_gateway.model.chat import Chat, OpaqueTool, Tool, ToolChoice
from ai_gateway.model.content import (
    Document,
    Image,
    Message,
    Opaque,
    Part,
    RedactedThinking,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from ai_gateway.model.errors import Untranslatable

from .parts import DIALECT, NO_SIGNATURE, as_text_document, result_to_wire
from .reasoning import thinking_for

_NOT_EXPRESSIBLE: dict[str, tuple[object, ...]] = {
    # What Gemini has no like of, or whose answer the other dialects could not be given.
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
}


class _Turn(Struct):
    role: str
    parts: list[dict[str, object]]


class RequestRenderer:
    """Collects one request and the notes on it."""

    def __init__(self, chat: Chat, target: RenderTarget) -> None:
        self._chat = chat
        self._target = target
        self._notes: dict[str, None] = {}
        self._names: dict[str, str] = {}
        """Names of the functions called so far, by call id: a result must name its function."""

    def render(self) -> Rendered:
        chat = self._chat
        refuse_inexpressible(chat, _NOT_EXPRESSIBLE, HARMLESS_EXTRAS, self._note)
        system, turns = self._split()
        out: dict[str, object] = {"contents": turns}
        if system:
            out["systemInstruction"] = {"parts": system}
        self._tools(out)
        config = self._config()
        if config:
            out["generationConfig"] = config
        if chat.user is not None:
            self._note("user left out: the provider has no like of it")
        if chat.service_tier not in (None, "auto", "default", "standard_only"):
            raise Untranslatable("service_tier", "The chosen model's API takes only auto.")
        return Rendered(encode(out), tuple(self._notes))

    def _note(self, note: str) -> None:
        self._notes[note] = None

    def _split(self) -> tuple[list[dict[str, object]], list[_Turn]]:
        """The system instruction, and the turns: neighbours of one role joined."""
        system: list[dict[str, object]] = []
        turns: list[_Turn] = []
        for message in self._chat.messages:
            if message.role in ("system", "developer"):
                if turns:
                    raise Untranslatable(
                        message.path or "messages",
                        "The chosen model takes system messages at the beginning only.",
                    )
                system += self._system(message)
                continue
            if message.name is not None:
                self._note("message names left out: the provider has no like of them")
            if message.role == "assistant":
                role, parts = "model", self._said(message)
            else:
                role, parts = "user", [p for part in message.parts for p in self._asked(part)]
            if turns and turns[-1].role == role:
                turns[-1].parts.extend(parts)
            elif parts:
                turns.append(_Turn(role, parts))
        if not turns:
            raise Untranslatable("messages", "The chosen model needs at least one user message.")
        for turn in turns:
            # A result must come before what else the turn says.
            turn.parts.sort(key=lambda part: "functionResponse" not in part)
            if not turn.parts:
                turn.parts.append({"text": ""})
        return system, turns

    def _system(self, message: Message) -> list[dict[str, object]]:
        out: list[dict[str, object]] = []
        for part in message.parts:
            if not isinstance(part, Text):
                raise Untranslatable(
                    message.path or "messages",
                    "The chosen model takes only text in system messages.",
                )
            self._look_at_cache(part)
            if part.text:
                out.append({"text": part.text})
        return out

    def _look_at_cache(self, part: Part | Tool) -> None:
        if getattr(part, "cache", None) is not None:
            self._note("cache_control ignored: the provider caches by itself")

    def _asked(self, part: Part) -> list[dict[str, object]]:
        self._look_at_cache(part)
        match part:
            case Text():
                return [{"text": part.text}]
            case Image():
                return [self._image(part)]
            case Document():
                return [self._document(part)]
            case ToolResult():
                return self._result(part)
            case Opaque(dialect="gemini"):
                return [decode(part.raw, type=dict[str, object])]
            case Opaque():
                raise self._unknown(part)
            case _:
                raise Untranslatable("messages", "A turn of this role cannot hold such a part.")

    def _unknown(self, part: Opaque) -> Untranslatable:
        return Untranslatable(
            part.path, f"The chosen model's API has nothing like {part.kind}. Leave it out."
        )

    def _image(self, part: Image) -> dict[str, object]:
        if part.detail not in (None, "auto"):
            self._note("image detail left out: the provider has no like of it")
        if part.url is not None:
            return _file(part.url, part.media_type, "image/jpeg")
        return _blob(part.media_type or "image/png", part.data or "")

    def _document(self, part: Document) -> dict[str, object]:
        if part.name is not None or part.context is not None:
            self._note("names of documents left out: the provider has no like of them")
        if part.citations:
            self._note("citations of documents left out: the provider has no like of them")
        if part.url is not None:
            return _file(part.url, part.media_type, "application/pdf")
        if part.text is not None:
            return _blob(part.media_type or "text/plain", as_text_document(part.text))
        return _blob(part.media_type or "application/pdf", part.data or "")

    def _result(self, part: ToolResult) -> list[dict[str, object]]:
        name = self._names.get(part.call_id)
        if name is None:
            raise Untranslatable(
                "messages",
                f"The tool result {part.call_id[:64]!a} answers no tool call before it; "
                "the chosen model must know the function's name.",
            )
        text = "".join(p.text for p in part.parts if isinstance(p, Text))
        others = [p for p in part.parts if not isinstance(p, Text)]
        beside = [each for p in others for each in self._asked(p)]
        response: dict[str, object] = {
            "id": part.call_id,
            "name": name,
            "response": result_to_wire(text, is_error=bool(part.is_error)),
        }
        if beside and self._target.thinking_level:
            # Pictures inside a result: from Gemini 3 on.
            response["parts"] = beside
            beside = []
        return [{"functionResponse": response}, *beside]

    def _said(self, message: Message) -> list[dict[str, object]]:
        """What the model said. A signature goes back on the call it came with, else on the text."""
        out: list[dict[str, object]] = []
        signatures: list[tuple[int, str]] = []
        for part in message.parts:
            self._look_at_cache(part)
            match part:
                case Text() | Refusal():
                    if part.text:
                        out.append({"text": part.text})
                case ToolCall():
                    out.append(self._call(part))
                case Thinking():
                    signature = self._signature(part)
                    if signature is None:
                        continue
                    if part.text:
                        out.append({"text": part.text, "thought": True})
                    signatures.append((len(out), signature))
                case RedactedThinking():
                    self._note("thinking left out of the history: the provider takes only its own")
                case Image():
                    out.append(self._image(part))
                case Opaque(dialect="gemini"):
                    out.append(decode(part.raw, type=dict[str, object]))
                case Opaque():
                    raise self._unknown(part)
                case _:
                    raise Untranslatable(
                        message.path or "messages", "The model's own turns hold no such part."
                    )
        for position, signature in signatures:
            _sign(out, position, signature)
        if self._target.thinking_level:
            calls = [part for part in out if "functionCall" in part]
            if calls and not any("thoughtSignature" in part for part in calls):
                calls[0]["thoughtSignature"] = NO_SIGNATURE
        return out

    def _signature(self, part: Thinking) -> str | None:
        found = own(part.signature, DIALECT)
        if part.signature is None or found is None or not is_marked(part.signature):
            self._note("thinking left out of the history: the provider takes only its own")
            return None
        return found

    def _call(self, part: ToolCall) -> dict[str, object]:
        arguments = as_object(part.arguments)
        if arguments is None:
            raise Untranslatable(
                "messages",
                f"The arguments of the tool call to {part.name[:64]!a} are no JSON object.",
            )
        self._names[part.id] = part.name
        return {"functionCall": {"id": part.id, "name": part.name, "args": arguments}}

    def _tools(self, out: dict[str, object]) -> None:
        tools: list[object] = []
        declarations: list[dict[str, object]] = []
        for tool in self._chat.tools:
            if isinstance(tool, OpaqueTool):
                if tool.dialect != DIALECT:
                    raise Untranslatable(
                        tool.path,
                        f"The chosen model's API has no tool of type {tool.kind}. Leave it out.",
                    )
                tools.append(tool.raw)
                continue
            self._look_at_cache(tool)
            declared: dict[str, object] = {"name": tool.name}
            if tool.description is not None:
                declared["description"] = tool.description
            if tool.parameters is not None:
                declared["parametersJsonSchema"] = tool.parameters
            if tool.strict:
                self._note("strict left out of tools: the provider has no like of it")
            declarations.append(declared)
        if declarations:
            tools.append({"functionDeclarations": declarations})
        if not tools:
            return
        out["tools"] = tools
        if self._chat.parallel_tool_calls is False:
            self._note(FIRST_CALL_NOTE)
        if self._chat.tool_choice is not None:
            out["toolConfig"] = {"functionCallingConfig": _calling(self._chat.tool_choice)}

    def _config(self) -> dict[str, object]:
        chat = self._chat
        given: dict[str, object | None] = {
            "maxOutputTokens": chat.max_tokens,
            "temperature": chat.temperature,
            "topP": chat.top_p,
            "topK": chat.top_k,
            "stopSequences": list(chat.stop) or None,
            "seed": chat.seed,
            "frequencyPenalty": chat.frequency_penalty,
            "presencePenalty": chat.presence_penalty,
            "thinkingConfig": thinking_for(chat.reasoning, self._target, self._notes),
        }
        wanted = chat.response_format
        if wanted is not None and wanted.kind != "text":
            given["responseMimeType"] = "application/json"
            given["responseJsonSchema"] = wanted.schema
            if wanted.name is not None or wanted.description is not None:
                self._note("the name of the JSON schema was left out: the API takes none")
        return {name: value for name, value in given.items() if value is not None}


def _sign(parts: list[dict[str, object]], position: int, signature: str) -> None:
    def fits(part: dict[str, object], kind: str) -> bool:
        return kind in part and "thoughtSignature" not in part and "thought" not in part

    after, before = parts[position:], parts[:position]
    for part in (
        *(p for p in after if fits(p, "functionCall")),
        *(p for p in reversed(before) if fits(p, "text")),
        *(p for p in after if fits(p, "text")),
    ):
        part["thoughtSignature"] = signature
        return
    parts.append({"text": "", "thoughtSignature": signature})


def _blob(media_type: str, data: str) -> dict[str, object]:
    return {"inlineData": {"mimeType": media_type, "data": data}}


def _file(url: str, media_type: str | None, otherwise: str) -> dict[str, object]:
    """Gemini fetches public addresses itself, and wants to be told what is there."""
    guessed = mimetypes.guess_type(url.split("?")[0])[0]
    return {"fileData": {"mimeType": media_type or guessed or otherwise, "fileUri": url}}


def _calling(choice: ToolChoice) -> dict[str, object]:
    match choice.mode:
        case "none":
            return {"mode": "NONE"}
        case "tool":
            return {"mode": "ANY", "allowedFunctionNames": [choice.name]}
        case "required":
            mode = "ANY"
        case _:
            mode = "VALIDATED" if choice.allowed else "AUTO"
    if choice.allowed:
        return {"mode": mode, "allowedFunctionNames": list(choice.allowed)}
    return {"mode": mode}


def render_request(chat: Chat, target: RenderTarget) -> Rendered:
    """Raises Untranslatable naming what Gemini cannot express."""
    return RequestRenderer(chat, target).render()
