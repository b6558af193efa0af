"""How much to think, as the one word OpenAI's dialects and Gemini's newer models take."""

from ai_gateway.model.chat import Reasoning

_LOW_BUDGET, _MEDIUM_BUDGET = 2048, 8192
"""Budgets in tokens up to which `low` and `medium` are meant."""


def effort_of(reasoning: Reasoning | None, notes: dict[str, None]) -> str | None:
    """None where the model shall decide by itself."""
    if reasoning is None:
        return None
    if reasoning.effort is not None:
        if reasoning.effort == "max":
            notes["reasoning effort max sent as high"] = None
            return "high"
        return reasoning.effort
    if reasoning.mode != "enabled":
        if reasoning.mode == "disabled":
            # Not every model takes the effort `none`.
            notes["thinking disabled left out: the model's own default holds"] = None
        return None
    budget = reasoning.budget_tokens or 0
    effort = "low" if budget <= _LOW_BUDGET else "medium" if budget <= _MEDIUM_BUDGET else "high"
    notes[f"a thinking budget of {budget} tokens sent as effort {effort}"] = None
    return effort
