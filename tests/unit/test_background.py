"""Ending what runs beside the calls."""

import asyncio

from ai_gateway.background import end


async def test_a_loop_that_lost_its_cancellation_ends_all_the_same() -> None:
    turns = 0

    async def careless() -> None:
        """What a driver may make of a cancellation, and what a loop must make of a fault."""
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise OSError("the connection is gone") from None

    async def loop() -> None:
        nonlocal turns
        while True:
            try:
                turns += 1
                await (careless() if turns == 1 else asyncio.sleep(60))
            except OSError:
                continue

    task = asyncio.get_running_loop().create_task(loop())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await end(task, None)
    assert (task.cancelled(), turns) == (True, 2)


async def test_what_failed_or_is_over_is_no_trouble() -> None:
    async def failing() -> None:
        raise ValueError

    async def quick() -> None: ...

    tasks = [asyncio.ensure_future(failing()), asyncio.ensure_future(quick())]
    await asyncio.wait(tasks)
    await end(*tasks)
    await end()
