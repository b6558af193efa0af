"""Fixtures for every test."""

from tests.postgresql import database, postgresql

__all__ = ["database", "postgresql"]
