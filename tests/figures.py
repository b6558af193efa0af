"""What a test measured, for the table that `make faults` writes."""

from collections.abc import Callable

import pytest

Figure = Callable[[str, object], None]
"""Notes a figure: what it is, and its value with its unit."""


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Figure:
    def note(what: str, value: object) -> None:
        record_property("figure", f"{what} {value}")

    return note
