"""Measuring the gateway. `python -m benchmarks` prints a table; nothing here is part of the product."""
