"""Fixtures for every test."""

# Its pytest plugin would import it only when it writes the summary, where CPython 3.11 may die of a
# finalizer that runs within ast.parse ("AST constructor recursion depth mismatch").
import hypothesis
import pytest

from tests.figures import figure
from tests.postgresql import database, opened, postgresql

# How long an example takes says how busy the machine is, not whether it holds.
hypothesis.settings.register_profile(
    "gateway", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("gateway")

__all__ = ["database", "figure", "opened", "postgresql"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where tests run in several processes, a file's stay together: what it starts is started once.
    Those marked `apart` are long and share nothing."""
    for item in items:
        if item.get_closest_marker("apart") is None:
            item.add_marker(pytest.mark.xdist_group(str(item.path)))
        if item.get_closest_marker("slow") is not None:
            item.add_marker(pytest.mark.timeout(1800))
