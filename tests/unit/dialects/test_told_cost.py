"""What an answer itself says it cost."""

from decimal import Decimal

import msgspec
import pytest

from ai_gateway.dialects.openai_chat.usage import usage_from_wire
from ai_gateway.dialects.openai_chat.wire import WireUsage

COUNTS = '"prompt_tokens":10,"completion_tokens":5'
TOLD = [
    ("", None),
    ('"cost":0.00076', Decimal("0.00076")),
    ('"cost":0', Decimal(0)),
    ('"cost":1.1e-5,"is_byok":false,"cost_details":{"upstream_inference_cost":9}', Decimal("0.000011")),
    ('"cost":0.01,"is_byok":true,"cost_details":{"upstream_inference_cost":0.2}', Decimal("0.21")),
    ('"cost":0.01,"is_byok":true,"cost_details":{"upstream_inference_cost":null}', Decimal("0.01")),
    ('"cost":0.01,"is_byok":true,"cost_details":null', Decimal("0.01")),
    ('"cost":null', None),
    ('"cost":-1', None),
    ('"cost":1e300', None),
    ('"cost":"a lot"', None),
    ('"cost":{"total_cost":0.1}', None),
    ('"cost":"NaN"', None),
    ('"cost":"sNaN","is_byok":true,"cost_details":{"upstream_inference_cost":"sNaN"}', None),
    ('"cost":0.01,"is_byok":true,"cost_details":[]', None),
]  # fmt: skip


@pytest.mark.parametrize(("told", "dollars"), TOLD)
def test_a_told_cost_is_a_sum_of_dollars_or_none_and_never_breaks_an_answer(
    told: str, dollars: Decimal | None
) -> None:
    text = f"{{{COUNTS}{',' if told else ''}{told}}}"
    usage = usage_from_wire(msgspec.json.decode(text.encode(), type=WireUsage))
    assert usage.told_cost == dollars
    assert (usage.input_tokens, usage.output_tokens) == (10, 5)
