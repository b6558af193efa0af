"""Several worker processes behind one port: started, watched, started anew, ended together.

Each worker has a listening socket of its own (SO_REUSEPORT), so that the kernel spreads connections
evenly. The supervisor opened it and keeps it: what waits in it when a worker dies is taken up by the
next one. A worker that keeps dying loses its socket while it is waited for, so that nothing waits there
in vain.
"""

import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from time import monotonic
from types import FrameType
from typing import NoReturn

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 10.0
_SETTLED = 10.0
"""Seconds after which a worker is held to have started well."""
_SPARE = 5.0
"""Seconds beyond the time to drain before a worker is killed."""

Say = Callable[[str], None]
Work = Callable[[int, socket.socket], int]
"""What a worker does, from its number and its socket to its exit code; it runs in a process of its own."""


class _Worker:
    def __init__(self, number: int, listener: socket.socket) -> None:
        self.number = number
        self.listener: socket.socket | None = listener
        self.pid = 0
        self.started = 0.0
        self.quick_deaths = 0
        self.start_at = 0.0
        """When it may be started again; it counts while `pid` is 0."""


class Supervisor:
    def __init__(
        self,
        work: Work,
        listeners: Sequence[socket.socket],
        *,
        open_listener: Callable[[], socket.socket],
        ended: Callable[[int], None],
        ending_seconds: float,
        say: Say,
    ) -> None:
        """`ended(number)` is told of a worker that died; `ending_seconds` are all that workers get to
        end; `say` takes a line for the operator."""
        self._work = work
        self._open_listener = open_listener
        self._ended = ended
        self._ending_seconds = ending_seconds
        self._say = say
        self._workers = [_Worker(n, listener) for n, listener in enumerate(listeners)]
        self._signals: list[int] = []
        self._ending = False
        self._deadline = float("inf")
        self._alive, self._keeper = os.pipe()
        """A worker reads the end of this pipe when the supervisor is gone, however it went."""

    def run(self) -> int:
        """Until told to end. 0 where every worker ended well."""
        wake, woken = socket.socketpair()
        for end in (wake, woken):
            end.setblocking(False)
        signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, self._note)
        status = 0
        while True:
            if not self._ending:
                self._start_due()
            readable, _, _ = select.select([wake], [], [], self._pause())
            if readable:
                wake.recv(4096)
            self._hand_on_signals()
            status = max(status, self._reap())
            if self._ending:
                if not any(worker.pid for worker in self._workers):
                    return status
                if monotonic() > self._deadline:
                    self._send(signal.SIGKILL)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self._signals.append(number)

    def _hand_on_signals(self) -> None:
        while self._signals:
            number = self._signals.pop(0)
            if number != signal.SIGHUP and not self._ending:
                self._ending = True
                self._deadline = monotonic() + self._ending_seconds + _SPARE
            self._send(number)

    def _send(self, number: int) -> None:
        for worker in self._workers:
            if worker.pid:
                os.kill(worker.pid, number)

    def _pause(self) -> float:
        waiting = [w.start_at for w in self._workers if not w.pid]
        if self._ending:
            waiting = [self._deadline]
        return max(0.0, min(1.0, min(waiting, default=monotonic() + 1.0) - monotonic()))

    def _start_due(self) -> None:
        now = monotonic()
        for worker in self._workers:
            if not worker.pid and worker.start_at <= now:
                self._start(worker)

    def _start(self, worker: _Worker) -> None:
        if worker.listener is None:
            worker.listener = self._open_listener()
        sys.stdout.flush()
        sys.stderr.flush()
        worker.started = monotonic()
        worker.pid = os.fork()
        if worker.pid == 0:
            self._become(worker, worker.listener)

    def _become(self, worker: _Worker, listener: socket.socket) -> NoReturn:
        """In the new process. It has a group of its own: a terminal's Ctrl-C reaches the supervisor
        alone, which hands it on once."""
        status = 1
        try:
            os.setpgrp()
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            os.close(self._keeper)
            for other in self._workers:
                if other is not worker and other.listener is not None:
                    other.listener.close()
            status = self._work(worker.number, listener)
        except BaseException as error:
            print(f"ai-gateway: worker {worker.number}: {type(error).__name__}", file=sys.stderr)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _reap(self) -> int:
        """The worst exit code of those that ended as they were told."""
        worst = 0
        for worker in self._workers:
            if not worker.pid:
                continue
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if pid == 0:
                continue
            worker.pid = 0
            self._ended(worker.number)
            code = os.waitstatus_to_exitcode(status)
            if self._ending:
                worst = max(worst, abs(code))
            else:
                self._wait_before_next(worker, code)
        return worst

    def _wait_before_next(self, worker: _Worker, code: int) -> None:
        lived = monotonic() - worker.started
        worker.quick_deaths = 0 if lived > _SETTLED else worker.quick_deaths + 1
        pause = 0.0
        if worker.quick_deaths:
            pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (worker.quick_deaths - 1))
        worker.start_at = monotonic() + pause
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        self._say(f"worker {worker.number} died ({how}); it is started again in {pause:.1f} s")
        if worker.quick_deaths > 1 and worker.listener is not None:
            worker.listener.close()
            worker.listener = None

    def watch(self, when_gone: Callable[[], None]) -> None:
        """In a worker, within its loop: `when_gone` is called once the supervisor is no more."""
        import asyncio

        loop = asyncio.get_running_loop()

        def gone() -> None:
            loop.remove_reader(self._alive)
            when_gone()

        loop.add_reader(self._alive, gone)
