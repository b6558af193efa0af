"""Tasks beside the calls, and how they end."""

import asyncio
from typing import Any

_AGAIN_SECONDS = 1.0


async def end(*tasks: "asyncio.Task[Any] | None") -> None:
    """Cancels them and waits until they are over.

    A cancellation can get lost: where it comes as a database's connection is let go of, the fault that
    causes takes its place, and a loop that goes on after any fault goes on. So it is said again.
    """
    left = {task for task in tasks if task is not None}
    while left:
        for task in left:
            task.cancel()
        over, left = await asyncio.wait(left, timeout=_AGAIN_SECONDS)
        for task in over:
            if not task.cancelled():
                # Looked at, so that asyncio does not complain of it.
                task.exception()
