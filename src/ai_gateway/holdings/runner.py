"""Runs the gateway's own batches: each line a call like any other, on behalf of who made the batch.

Limits and budgets hold; a line that is refused for now is asked again later. Results are appended as
they come, so that a batch goes on where it stopped after a restart: a line whose answer had been
written is not asked again, one that was under way is.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from random import getrandbits
from threading import Lock
from time import perf_counter
from typing import Any

import msgspec
from msgspec import Raw
from msgspec.json import encode

from ai_gateway.background import end
from ai_gateway.model.call import Caller, Outcome, Request
from ai_gateway.model.errors import GatewayError
from ai_gateway.reply import KeptReply, Reply
from ai_gateway.state.store import State
from ai_gateway.storage.database import DatabaseUnavailable

from .batch import (
    ENDED,
    ENDPOINTS,
    Batch,
    Job,
    Line,
    LineError,
    LineErrors,
    LineResponse,
    Result,
    decode_job,
    read_lines,
)
from .files import FileShelf, new_file_id, on_thread
from .store import GATEWAY, Held, HoldingStore, now

Run = Callable[[Request, Reply, Caller], Awaitable[Outcome]]
"""The path of a call, for a caller who is known already."""

_AT_ONCE = 8
_LEASE_SECONDS = 30.0
_LOOK_SECONDS = 10.0
_LONGEST_WAIT = 60.0
_WATCH_SECONDS = 1.0
_NO_KEY = LineError(
    code="key_not_valid",
    message="The key that made this batch is no longer valid: what was not asked by then is not here.",
)
_NO_ANSWER = LineError(code="no_answer", message="The call was not answered.")
_INTERNAL = LineError(code="internal_error", message="The gateway failed; its log names the batch.")
_NOT_NOW = frozenset({429, 503})
_decode_result = msgspec.json.Decoder(Result)


class BatchRunner:
    def __init__(
        self,
        store: HoldingStore,
        shelf: FileShelf,
        state: State,
        run: Run,
        again: Callable[[Caller], Awaitable[Caller | None]],
        failed: Callable[[str, BaseException], None],
    ) -> None:
        """`again`: a caller of before, as its key is now; None where it may call no more. `failed` is
        told of a batch, or a line of one, that could not be run, and why."""
        self._store = store
        self._shelf = shelf
        self._state = state
        self._run = run
        self._again = again
        self._failed = failed
        self._running: dict[str, asyncio.Task[None]] = {}
        self._looking: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Looks for batches that nobody runs: those of a replica that is gone, or of before a restart."""
        self._looking = asyncio.get_running_loop().create_task(self._look())

    async def close(self) -> None:
        await end(self._looking, *self._running.values())

    def take(self, job: Job) -> None:
        """Begins, or goes on with, a batch."""
        id = job.batch.id
        if id not in self._running:
            task = self._running[id] = asyncio.get_running_loop().create_task(self._lease(job))
            task.add_done_callback(lambda _: self._running.pop(id, None))

    async def _look(self) -> None:
        while True:
            try:
                if not self._store.exists():
                    await asyncio.sleep(_LOOK_SECONDS)
                    continue
                for held in await self._store.unfinished():
                    self.take(decode_job.decode(held.data))
            except Exception as error:
                self._failed("looking for batches", error)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _lease(self, job: Job) -> None:
        """One process at a time runs a batch; it holds it by a lease that it renews."""
        id = job.batch.id
        lease = f"gw:batch:{{{id}}}"
        if not await self._state.add(lease, b"1", _LEASE_SECONDS):
            return
        renewing = asyncio.get_running_loop().create_task(self._renew(lease))
        try:
            # Another may have brought it further since it was read.
            held = await self._store.find("batch", id, job.caller.tenant)
            await self._work(decode_job.decode(held.data))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._failed(id, error)
        finally:
            renewing.cancel()
            self._state.delete(lease)

    async def _renew(self, lease: str) -> None:
        while True:
            await asyncio.sleep(_LEASE_SECONDS / 3)
            self._state.set(lease, b"1", _LEASE_SECONDS)

    async def _work(self, job: Job) -> None:
        batch = job.batch
        if batch.status in ENDED:
            return
        data = b"".join([piece async for piece in self._shelf.read(batch.input_file_id)])
        lines, errors = await on_thread(lambda: read_lines(data, batch.endpoint))
        if errors:
            batch.errors = LineErrors(data=errors)
            batch.status, batch.failed_at = "failed", now()
            await self._save(job)
            return
        if batch.output_file_id is None or batch.error_file_id is None:
            batch.output_file_id, batch.error_file_id = new_file_id(), new_file_id()
            batch.request_counts.total = len(lines)
        if batch.status == "validating":
            batch.status, batch.in_progress_at = "in_progress", now()
        files = _ResultFiles(self._shelf, batch)
        done = await on_thread(files.done)
        batch.request_counts.completed = files.completed
        batch.request_counts.failed = files.failed
        if not await self._should_stop(job):
            await self._ask_all(job, [line for line in lines if line.custom_id not in done], files)
        await self._finish(job, files)

    async def _ask_all(self, job: Job, lines: list[Line], files: "_ResultFiles") -> None:
        waiting = iter(lines)
        stop = asyncio.Event()

        async def worker() -> None:
            for line in waiting:
                if stop.is_set():
                    return
                result = await self._ask(job, line)
                await on_thread(lambda result=result: files.append(result))
                job.batch.request_counts.completed = files.completed
                job.batch.request_counts.failed = files.failed

        async def watch() -> None:
            while True:
                await asyncio.sleep(_WATCH_SECONDS)
                with suppress(DatabaseUnavailable):
                    if await self._should_stop(job):
                        stop.set()
                        return

        loop = asyncio.get_running_loop()
        watching = loop.create_task(watch())
        workers = [loop.create_task(worker()) for _ in range(_AT_ONCE)]
        try:
            await asyncio.gather(*workers)
        finally:
            await end(watching, *workers)

    async def _should_stop(self, job: Job) -> bool:
        """Whether the batch was cancelled, is out of time, or its key is no longer good; else it is
        written down how far it is. What is stored is looked at first: the caller cancels there, maybe
        through another replica."""
        batch = job.batch
        while True:
            held = await self._store.find("batch", batch.id, job.caller.tenant)
            stored = decode_job.decode(held.data).batch
            if stored.status == "cancelling":
                batch.status, batch.cancelling_at = "cancelling", stored.cancelling_at
                return True
            if batch.expires_at is not None and now() > batch.expires_at:
                batch.status = "expired"
                return True
            try:
                caller = await self._again(job.caller)
            except GatewayError:
                # Whether it is good cannot be said: known keys are believed for a while, too.
                caller = job.caller
            if caller is None:
                batch.status = "failed"
                batch.errors = LineErrors(data=[_NO_KEY])
                return True
            job.caller = caller
            if await self._store.change(batch.id, encode(job).decode(), held.data):
                return False

    async def _ask(self, job: Job, line: Line) -> Result:
        operation, dialect = ENDPOINTS[job.batch.endpoint]
        wait = 1.0
        while True:
            reply = KeptReply()
            request = Request(
                id=f"batch_req_{getrandbits(96):024x}",
                operation=operation,
                dialect=dialect,
                endpoint=job.batch.endpoint,
                body=bytes(line.body),
                headers={},
                received=perf_counter(),
            )
            try:
                outcome = await self._run(request, reply, job.caller)
            except Exception as error:
                # One line that fails of the gateway's own fault must not keep the others.
                self._failed(job.batch.id, error)
                return Result(id=request.id, custom_id=line.custom_id, error=_INTERNAL)
            late = job.batch.expires_at is not None and now() > job.batch.expires_at
            if outcome.status in _NOT_NOW and not late and job.batch.status == "in_progress":
                await asyncio.sleep(min(wait, _LONGEST_WAIT))
                wait *= 2
                continue
            return _result(line, request.id, outcome.status, reply.body)

    async def _finish(self, job: Job, files: "_ResultFiles") -> None:
        batch = job.batch
        await self._shelve(job, files)
        match batch.status:
            case "cancelling":
                batch.status, batch.cancelled_at = "cancelled", now()
            case "expired":
                batch.expired_at = now()
            case "failed":
                batch.failed_at = now()
            case _:
                batch.status, batch.completed_at = "completed", now()
        batch.finalizing_at = batch.finalizing_at or now()
        await self._save(job)

    async def _shelve(self, job: Job, files: "_ResultFiles") -> None:
        """The results become files of the caller's; an empty one is left out."""
        batch = job.batch
        if not files.failed:
            batch.error_file_id = None
        if not files.completed:
            batch.output_file_id = None
        for id in (batch.output_file_id, batch.error_file_id):
            if id is not None:
                size = self._shelf.path(id).stat().st_size
                name = f"{batch.id}_{'output' if id == batch.output_file_id else 'errors'}.jsonl"
                await self._store.keep(held_file(id, job.caller.tenant, name, "batch_output", size))

    async def _save(self, job: Job) -> None:
        await self._store.change(job.batch.id, encode(job).decode())


class _ResultFiles:
    """The output and error files under way: a line is whole or, cut by a crash, not there."""

    def __init__(self, shelf: FileShelf, batch: Batch) -> None:
        assert batch.output_file_id is not None
        assert batch.error_file_id is not None
        self._good = shelf.path(batch.output_file_id)
        self._bad = shelf.path(batch.error_file_id)
        self._lock = Lock()
        self.completed = 0
        self.failed = 0

    def done(self) -> set[str]:
        good, bad = _results(self._good), _results(self._bad)
        self.completed, self.failed = len(good), len(bad)
        return good | bad

    def append(self, result: Result) -> None:
        """On any thread."""
        good = result.response is not None and result.response.status_code == 200
        line = encode(result) + b"\n"
        with self._lock:
            with (self._good if good else self._bad).open("ab") as file:
                file.write(line)
            if good:
                self.completed += 1
            else:
                self.failed += 1


def _results(path: Path) -> set[str]:
    """The custom_ids that have their result; what a crash cut off is cut away."""
    done: set[str] = set()
    if not path.exists():
        return done
    whole = 0
    with path.open("r+b") as file:
        for line in file:
            if not line.endswith(b"\n"):
                break
            done.add(_decode_result.decode(line).custom_id)
            whole += len(line)
        file.truncate(whole)
    return done


def _result(line: Line, request_id: str, status: int, body: bytes) -> Result:
    if body[:1] != b"{":
        return Result(id=request_id, custom_id=line.custom_id, error=_NO_ANSWER)
    try:
        # In one line, whatever line breaks the provider puts between its members.
        compact = msgspec.json.format(body, indent=-1)
    except msgspec.DecodeError:
        return Result(id=request_id, custom_id=line.custom_id, error=_NO_ANSWER)
    response = LineResponse(status_code=status, request_id=request_id, body=Raw(compact))
    return Result(id=request_id, custom_id=line.custom_id, response=response)


def held_file(id: str, tenant: str, name: str, purpose: str, size: int) -> Held:
    """In OpenAI's shape of a file."""
    at = now()
    shape: dict[str, Any] = {
        "id": id, "object": "file", "bytes": size, "created_at": at, "filename": name,
        "purpose": purpose, "status": "processed",
    }  # fmt: skip
    return Held(
        id=id, kind="file", tenant=tenant, provider=GATEWAY, created_at=at,
        data=encode(shape).decode(),
    )  # fmt: skip
