"""How asking a provider can fail before it has answered, or while it does."""

from typing import Literal

FaultCause = Literal[
    "connect", "timeout", "reset", "too_large", "protocol", "credential", "exhausted"
]
"""`exhausted`: of the gateway's own machine, which can open no more; it says nothing of the provider."""


class UpstreamFault(Exception):
    """No usable answer came. The text is fit for a caller: it names no address, key or content."""

    def __init__(self, cause: FaultCause, message: str) -> None:
        super().__init__(message)
        self.cause: FaultCause = cause
        self.message = message
