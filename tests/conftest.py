"""Fixtures for every test."""

# Its pytest plugin would import it only when it writes the summary, where CPython 3.11 may die of a
# finalizer that runs within ast.parse ("AST constructor recursion depth mismatch").
import hypothesis  # noqa: F401  # pyright: ignore[reportUnusedImport]

from tests.postgresql import database, postgresql

__all__ = ["database", "postgresql"]
