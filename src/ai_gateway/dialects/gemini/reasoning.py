"""How much to think, in Gemini's words.

From Gemini 3 on a level (`thinkingLevel`), before that a budget of tokens
(ai.google.dev/gemini-api/docs/thinking).
"""

from ai_gateway.dialects.dialect import RenderTarget
from ai_gateway.dialects.efforts import effort_of
from ai_gateway.model.chat import Reasoning
from ai_gateway.model.errors import Untranslatable

_BUDGETS = {"minimal": 512, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576}
"""As Google's own OpenAI-compatible endpoint maps them (`minimal` apart)."""
_LEVELS = {"minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH", "xhigh": "HIGH"}
_BY_ITSELF = -1
"""The budget that leaves it to the model."""


def thinking_for(
    reasoning: Reasoning | None, target: RenderTarget, notes: dict[str, None]
) -> dict[str, object] | None:
    """`thinkingConfig`. Whoever asks for reasoning in another dialect is shown it."""
    if reasoning is None:
        return None
    off = reasoning.effort == "none" or reasoning.mode == "disabled"
    return (
        _level(reasoning, notes, off=off)
        if target.thinking_level
        else _budget(reasoning, notes, off=off)
    )


def _level(reasoning: Reasoning, notes: dict[str, None], *, off: bool) -> dict[str, object]:
    if off:
        notes["reasoning cannot be turned off for this model: asked for the least"] = None
        return {"thinkingLevel": "MINIMAL"}
    effort = effort_of(reasoning, notes)
    out: dict[str, object] = {"includeThoughts": True}
    if effort is not None:
        _check(effort, notes)
        out["thinkingLevel"] = _LEVELS[effort]
    return out


def _budget(reasoning: Reasoning, notes: dict[str, None], *, off: bool) -> dict[str, object]:
    if off:
        return {"thinkingBudget": 0}
    budget = reasoning.budget_tokens
    effort = effort_of(reasoning, notes) if budget is None else None
    if effort is not None:
        _check(effort, notes)
        budget = _BUDGETS[effort]
    elif budget is None and reasoning.mode == "adaptive":
        budget = _BY_ITSELF
    out: dict[str, object] = {"includeThoughts": True}
    if budget is not None:
        out["thinkingBudget"] = budget
    return out


def _check(effort: str, notes: dict[str, None]) -> None:
    if effort == "xhigh":
        notes["reasoning effort xhigh sent as high"] = None
    if effort not in _LEVELS:
        raise Untranslatable(
            "reasoning", f"The reasoning effort must be one of none, {', '.join(_LEVELS)}."
        )
