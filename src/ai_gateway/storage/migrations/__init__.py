"""Alembic's directory."""
