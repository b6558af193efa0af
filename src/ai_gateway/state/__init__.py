"""What changes with every call and may be shared by replicas: in memory, or in Redis."""
