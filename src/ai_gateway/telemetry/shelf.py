"""Where workers leave what they have counted, so that whichever is scraped can tell it all.

A directory with a file a worker, written anew a few times a second. Of a worker that died the counters
stay (a sum that falls would look like a restart to Prometheus); its gauges go with it.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

from msgspec import msgpack

from ai_gateway.background import end

from .declared import METRICS
from .series import Snapshot, merged

_SECONDS = 0.5
_MOST_PAST = 16
_GAUGES = frozenset(metric.name for metric in METRICS if metric.kind == "gauge")
_decode = msgpack.Decoder(Snapshot).decode
_encode = msgpack.Encoder().encode


class Shelf:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._task: asyncio.Task[None] | None = None

    def start(self, worker: int, snapshot: Callable[[], bytes]) -> None:
        """Begins leaving this worker's; needs a running loop."""
        self._task = asyncio.get_running_loop().create_task(self._run(worker, snapshot))

    async def close(self) -> None:
        await end(self._task)

    def others(self, worker: int) -> list[bytes]:
        """The snapshots of all workers but this one, of the dead ones too."""
        found: list[bytes] = []
        for path in self._directory.iterdir():
            try:
                if path.name.startswith("worker-") and path != self._path(worker):
                    found.append(path.read_bytes())
                elif path.name.startswith("past-"):
                    found.append(_encode(_without_gauges(_decode(path.read_bytes()))))
            except FileNotFoundError:
                # Its worker has just died: it is found under its new name at the next scrape.
                continue
        return found

    def retire(self, worker: int) -> None:
        """The worker is dead; to be called by the supervisor."""
        past = sorted(self._directory.glob("past-*"))
        last = int(past[-1].name.partition("-")[2]) if past else 0
        if len(past) >= _MOST_PAST:
            every = merged(METRICS, [_without_gauges(_decode(path.read_bytes())) for path in past])
            _put(past[-1], _encode(every))
            for path in past[:-1]:
                path.unlink()
        try:
            self._path(worker).rename(self._directory / f"past-{last + 1:012d}")
        except FileNotFoundError:
            # It died before it had counted anything.
            return

    def _path(self, worker: int) -> Path:
        return self._directory / f"worker-{worker}"

    async def _run(self, worker: int, snapshot: Callable[[], bytes]) -> None:
        while True:
            _put(self._path(worker), snapshot())
            await asyncio.sleep(_SECONDS)


def _without_gauges(snapshot: Snapshot) -> Snapshot:
    return {name: points for name, points in snapshot.items() if name not in _GAUGES}


def _put(path: Path, data: bytes) -> None:
    """At once: a reader sees the old or the new."""
    new = path.with_name(f"new-{path.name}")
    new.write_bytes(data)
    new.rename(path)
