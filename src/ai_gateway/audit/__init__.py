"""Who asked what and what was answered, as far as it is to be kept."""
