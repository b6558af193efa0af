"""What every call used and cost, kept exactly once."""
