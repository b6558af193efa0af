"""Ports for the servers that tests start as processes of their own."""

import os
import socket
from itertools import count
from random import randrange

_LOWEST, _MOST = 12_000, 10_000
"""Redis Cluster's nodes take the port 10,000 above theirs, too: both lie below those that systems
give to connections (32,768 and on), and no test's port is another's upper one."""
_PROCESSES = 16
"""Processes of one run that choose ports at once, each from a slice of its own: none is taken
between the asking and the listening."""
_EACH = _MOST // _PROCESSES
_FIRST = _LOWEST + _EACH * (
    int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _PROCESSES
)
_numbers = count(randrange(_EACH))
_CLUSTER = 10_000


def free_port() -> int:
    for number in _numbers:
        port = _FIRST + number % _EACH
        if _free(port) and _free(port + _CLUSTER):
            return port
    raise AssertionError


def _free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
