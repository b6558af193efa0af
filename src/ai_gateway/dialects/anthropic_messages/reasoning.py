"""How much to think, in Anthropic's words.

Newer models take `thinking: {type: adaptive}` with `output_config.effort`; older ones a budget of
tokens (docs.anthropic.com, "Extended thinking" and "Effort").
"""

from typing import Literal

from msgspec import Struct

from ai_gateway.dialects.dialect import RenderTarget
from ai_gateway.model.chat import Reasoning
from ai_gateway.model.errors import Untranslatable

_BUDGETS = {"low": 1024, "medium": 4096, "high": 16384, "xhigh": 32768, "max": 32768}
_EFFORTS = {"low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
_OFF = ("none", "minimal")


class Wanted(Struct, frozen=True, kw_only=True):
    thinking: dict[Literal["type", "budget_tokens", "display"], object] | None = None
    effort: str | None = None
    budget_tokens: int | None = None


def thinking_for(reasoning: Reasoning | None, target: RenderTarget) -> Wanted:
    if reasoning is None:
        return Wanted()
    effort = reasoning.effort
    if reasoning.mode is not None:
        return _as_given(reasoning)
    if effort is None:
        return Wanted()
    if effort in _OFF:
        return Wanted(thinking={"type": "disabled"})
    if effort not in _EFFORTS:
        raise Untranslatable("reasoning", "The reasoning effort must be none, low, medium or high.")
    if target.adaptive_thinking:
        return Wanted(thinking={"type": "adaptive"}, effort=_EFFORTS[effort])
    budget = _BUDGETS[effort]
    return Wanted(thinking={"type": "enabled", "budget_tokens": budget}, budget_tokens=budget)


def _as_given(reasoning: Reasoning) -> Wanted:
    thinking: dict[Literal["type", "budget_tokens", "display"], object] = {
        "type": reasoning.mode or "adaptive"
    }
    if reasoning.budget_tokens is not None:
        thinking["budget_tokens"] = reasoning.budget_tokens
    if reasoning.display is not None:
        thinking["display"] = reasoning.display
    return Wanted(thinking=thinking, effort=reasoning.effort, budget_tokens=reasoning.budget_tokens)
