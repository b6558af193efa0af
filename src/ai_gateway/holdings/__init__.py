"""Files and batches: whose they are, where they are kept, and those that the gateway runs itself."""
