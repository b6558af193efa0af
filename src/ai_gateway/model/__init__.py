"""The nouns of the gateway. Plain msgspec Structs; this package imports nothing of the project."""
