"""Each decision has a number of its own, and says it."""

from pathlib import Path

DECISIONS = sorted((Path(__file__).parents[2] / "docs/decisions").glob("*.md"))


def test_decisions_are_numbered_in_order_each_once() -> None:
    numbers = [int(path.name[:4]) for path in DECISIONS]
    assert numbers == list(range(1, len(DECISIONS) + 1))
    for number, path in zip(numbers, DECISIONS, strict=True):
        assert path.read_text("utf-8").startswith(f"# {number}. ")
