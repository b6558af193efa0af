"""One database for the process: opened when first needed, brought to its newest form, and closed.

Everything here may wait; nothing on the path of a call does, but for the look-up of an unknown key.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

_READ_ONLY = {"gateway_read_only": True}
_POOL = 4
_WAIT_SECONDS = 5.0
"""For a connection; and SQLite's for another's write."""
_STATEMENT_SECONDS = 30.0
_CACHE_KIB = 512
"""Of pages that an SQLite connection keeps, beside the system's own cache: four times as many (SQLite's own
choice) make the ledger no faster."""
_LOST_STATES = frozenset({"08", "25", "53", "57", "58", "XX"})
"""Classes of PostgreSQL's codes that are its own want, not the statement's fault: no connection, read-only
as after a fail-over, out of disk or memory, shutting down, a broken file."""


class DatabaseUnavailable(Exception):
    """The database cannot be reached now; what was to be done can be tried again."""


class Database:
    """SQLite or PostgreSQL behind SQLAlchemy's asyncio engine.

    `read` and `write` open the database first, if that is still to be done. Both raise
    DatabaseUnavailable where it cannot be reached; errors in statements are SQLAlchemy's own.
    """

    def __init__(self, url: str, audit_key: bytes | None = None) -> None:
        """`audit_key`: what the chain over administrators' acts is made with (`hash_chain`)."""
        self._url = url
        self._audit_key = audit_key
        self._engine: AsyncEngine | None = None
        self._opening = asyncio.Lock()

    @property
    def is_postgresql(self) -> bool:
        return self._url.startswith("postgresql")

    def exists(self) -> bool:
        """False only for an SQLite file that is not there yet."""
        return self.is_postgresql or Path(self._url.partition(":///")[2]).exists()

    async def open(self) -> "AsyncEngine":
        """Connects and migrates, once. Raises DatabaseUnavailable."""
        if self._engine is not None:
            return self._engine
        async with self._opening:
            if self._engine is None:
                loop = asyncio.get_running_loop()
                # The import takes a quarter of a second, which calls should not wait.
                await loop.run_in_executor(None, _import)
                engine = _make_engine(self._url, {"gateway_audit_key": self._audit_key})
                try:
                    await _migrate(engine)
                except BaseException:
                    await engine.dispose()
                    raise
                self._engine = engine
        return self._engine

    @asynccontextmanager
    async def write(self) -> "AsyncGenerator[AsyncConnection, None]":
        """One transaction: committed at the end, rolled back by an exception."""
        engine = await self.open()
        with _unavailable():
            async with engine.begin() as connection:
                yield connection

    @asynccontextmanager
    async def read(self) -> "AsyncGenerator[AsyncConnection, None]":
        """For SELECTs alone; on SQLite it holds no lock."""
        engine = await self.open()
        with _unavailable():
            async with engine.connect() as connection:
                yield await connection.execution_options(**_READ_ONLY)

    async def close(self) -> None:
        if self._engine is not None:
            await self._engine.dispose()
            self._engine = None


def database_url(given: str | None, data_directory: Path) -> str:
    """SQLAlchemy's form of DATABASE_URL; SQLite in the data directory where none is given.

    Raises ValueError saying what is expected.
    """
    if given is None:
        return f"sqlite+aiosqlite:///{data_directory / 'gateway.db'}"
    scheme, colon, rest = given.partition("://")
    if colon and scheme in ("sqlite", "sqlite+aiosqlite") and rest.startswith("/"):
        return f"sqlite+aiosqlite://{rest}"
    if colon and scheme in ("postgres", "postgresql", "postgresql+asyncpg"):
        parts = urlsplit(f"postgresql+asyncpg://{rest}")
        # asyncpg takes libpq's sslmode under the name of ssl.
        query = [("ssl" if n == "sslmode" else n, v) for n, v in parse_qsl(parts.query)]
        return urlunsplit(parts._replace(query=urlencode(query)))
    raise ValueError("postgresql://user:password@host/database or sqlite:///path")


def _import() -> None:
    for name in ("sqlalchemy.ext.asyncio", "ai_gateway.storage.tables"):
        import_module(name)


def _make_engine(url: str, options: Mapping[str, Any]) -> "AsyncEngine":
    from sqlalchemy.ext.asyncio import create_async_engine

    if url.startswith("postgresql"):
        return create_async_engine(
            url,
            pool_size=_POOL,
            max_overflow=0,
            pool_timeout=_WAIT_SECONDS,
            pool_pre_ping=True,
            connect_args={"timeout": _WAIT_SECONDS, "command_timeout": _STATEMENT_SECONDS},
            execution_options=dict(options),
        )
    path = Path(url.partition(":///")[2])
    path.parent.mkdir(parents=True, exist_ok=True)
    # The connection used last comes first: what the others hold in memory stays small. A database in
    # memory has only one.
    pool = {} if path.name == ":memory:" else {"pool_use_lifo": True}
    engine = create_async_engine(
        url,
        **pool,
        connect_args={"timeout": _WAIT_SECONDS},
        execution_options=dict(options),
    )
    _prepare_sqlite(engine)
    return engine


def _prepare_sqlite(engine: "AsyncEngine") -> None:
    """Transactions as SQLAlchemy's documents advise for SQLite: begun by us, for writing at once, so
    that two writers wait for each other instead of failing."""
    from sqlalchemy import event

    def connected(connection: Any, record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", f"cache_size=-{_CACHE_KIB}",
        ):  # fmt: skip
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    def begun(connection: "Connection") -> None:
        if "gateway_read_only" not in connection.get_execution_options():
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(engine.sync_engine, "connect", connected)
    event.listen(engine.sync_engine, "begin", begun)


async def _migrate(engine: "AsyncEngine") -> None:
    from .migrate import is_current, upgrade

    with _unavailable():
        async with engine.connect() as connection:
            reading = await connection.execution_options(**_READ_ONLY)
            if await reading.run_sync(is_current):
                return
        async with engine.begin() as connection:
            await connection.run_sync(upgrade)


class _unavailable:  # noqa: N801
    """Turns what a lost database raises into DatabaseUnavailable."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None and _is_loss(error):
            raise DatabaseUnavailable(type(error).__name__) from error


def _state_of(error: "DBAPIError") -> str:
    """PostgreSQL's code; nothing where there is none."""
    return str(getattr(error.orig, "sqlstate", None) or "")


def _is_loss(error: BaseException) -> bool:
    """Whether it is the database that failed, not what it was asked."""
    from sqlalchemy import exc

    if isinstance(error, exc.IntegrityError | exc.DataError | exc.ProgrammingError):
        return error.connection_invalidated
    if isinstance(error, exc.DBAPIError) and _state_of(error)[:2] in _LOST_STATES:
        return True
    if isinstance(error, OSError | TimeoutError | exc.TimeoutError | exc.DatabaseError):
        return True
    # While connecting, asyncpg's own errors come through: refused, starting, too many connections.
    return isinstance(error, exc.InterfaceError) or type(error).__module__.startswith("asyncpg")
