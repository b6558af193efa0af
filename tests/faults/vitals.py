"""What the kernel says of a process."""

import os
from pathlib import Path

from tests.clients.conftest import Process


def resident(process: Process) -> int:
    """Its resident memory, in KiB."""
    for line in Path(f"/proc/{process.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def open_files(process: Process) -> int:
    return len(os.listdir(f"/proc/{process.process.pid}/fd"))


def cpu_seconds(process: Process) -> float:
    """Spent so far, in user and kernel mode."""
    fields = Path(f"/proc/{process.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
