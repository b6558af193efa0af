"""All figures in one run, and docs/performance.md made from them. `python -m benchmarks.report`."""
