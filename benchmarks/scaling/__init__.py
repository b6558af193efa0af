"""What the autoscaler that is shipped would do with a day's load. `python -m benchmarks.scaling`."""
