"""Asking providers: the plan's targets in turn, until one has answered."""
