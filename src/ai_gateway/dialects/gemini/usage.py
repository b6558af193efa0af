"""Gemini's usage, which counts thoughts beside the answer, <-> Usage."""

from ai_gateway.model.usage import Usage

from .wire import ModalityCount, WireUsage


def usage_from_wire(wire: WireUsage) -> Usage:
    thoughts = wire.thoughts_token_count or 0
    return Usage(
        # What a hosted tool put into the prompt is counted, and billed, beside it.
        input_tokens=(wire.prompt_token_count or 0) + (wire.tool_use_prompt_token_count or 0),
        output_tokens=(wire.candidates_token_count or 0) + thoughts,
        cache_read_tokens=wire.cached_content_token_count or 0,
        reasoning_tokens=thoughts,
        input_audio_tokens=_audio(wire.prompt_tokens_details),
        output_audio_tokens=_audio(wire.candidates_tokens_details),
    )


def _audio(details: list[ModalityCount] | None) -> int:
    return sum(d.token_count or 0 for d in details or () if d.modality == "AUDIO")


def usage_to_wire(usage: Usage) -> dict[str, object]:
    out: dict[str, object] = {
        "promptTokenCount": usage.input_tokens,
        "candidatesTokenCount": usage.output_tokens - usage.reasoning_tokens,
        "totalTokenCount": usage.total_tokens,
    }
    if usage.reasoning_tokens:
        out["thoughtsTokenCount"] = usage.reasoning_tokens
    if usage.cache_read_tokens:
        out["cachedContentTokenCount"] = usage.cache_read_tokens
    if usage.input_audio_tokens:
        out["promptTokensDetails"] = _details(usage.input_tokens, usage.input_audio_tokens)
    if usage.output_audio_tokens:
        made = usage.output_tokens - usage.reasoning_tokens
        out["candidatesTokensDetails"] = _details(made, usage.output_audio_tokens)
    return out


def _details(total: int, audio: int) -> list[dict[str, object]]:
    return [
        {"modality": "TEXT", "tokenCount": total - audio},
        {"modality": "AUDIO", "tokenCount": audio},
    ]
