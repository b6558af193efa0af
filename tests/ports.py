"""Ports for the servers that tests start as processes of their own."""

import socket
from itertools import count
from random import randrange

_LOWEST, _MOST = 12_000, 20_000
"""Below the ports that systems give to connections: none of another test's takes one between our
asking and our listening. Redis Cluster's nodes need the port 10,000 above theirs, too."""
_numbers = count(randrange(_MOST))


def free_port() -> int:
    for number in _numbers:
        port = _LOWEST + number % _MOST
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError
