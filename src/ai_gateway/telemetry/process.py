"""What the process itself takes, under Prometheus's standard names; nothing where the system does not tell."""

import gc
import os
import resource
from collections.abc import Mapping
from time import time

from .series import Labels, Reading

_PAGE = resource.getpagesize()
_STARTED = time()


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _memory(field: int) -> Mapping[Labels, float]:
    """Linux: size and resident pages (proc(5), statm)."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return {(): float(file.read().split()[field]) * _PAGE}
    except OSError:
        return {}


def resident_bytes() -> float:
    """0 where the system does not tell."""
    return _memory(1).get((), 0.0)


def _open_files() -> Mapping[Labels, float]:
    try:
        return {(): float(len(os.listdir("/proc/self/fd")) - 1)}
    except OSError:
        return {}


def _collector(field: str) -> Mapping[Labels, float]:
    return {(str(age),): float(found[field]) for age, found in enumerate(gc.get_stats())}


PROCESS_READINGS: Mapping[str, Reading] = {
    "process_cpu_seconds_total": _cpu_seconds,
    "process_resident_memory_bytes": lambda: _memory(1),
    "process_virtual_memory_bytes": lambda: _memory(0),
    "process_open_fds": _open_files,
    "process_max_fds": lambda: float(resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
    "process_start_time_seconds": lambda: _STARTED,
    "python_gc_collections_total": lambda: _collector("collections"),
    "python_gc_objects_collected_total": lambda: _collector("collected"),
}
