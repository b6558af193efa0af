"""The state of a process: in memory, or in Redis with the memory to take over."""

from collections.abc import Callable

from ai_gateway.model.redis_address import RedisAddress, RedisLogin

from .connecting import RedisLink
from .gathering import Gathering
from .memory import MemoryState
from .redis_state import RedisState
from .takeover import TakeoverState


async def open_redis_state(
    address: RedisAddress,
    login: RedisLogin,
    *,
    timeout: float,
    refuse: bool = False,
    changed: Callable[[str | None], None] = lambda reason: None,
) -> TakeoverState:
    """Never fails for a Redis that is not there: it is then counted in memory until it is.

    `timeout`: seconds that a pipeline may take. `refuse`: rather refuse calls than count apart.
    `changed(reason)` is told when Redis is lost, and with None when it is back.
    """
    link = RedisLink(address, login)
    opened: list[TakeoverState] = []
    gathering = Gathering(link.lanes(), timeout=timeout, lost=lambda reason: opened[0].lose(reason))
    state = TakeoverState(
        RedisState(link, gathering), MemoryState(), refuse=refuse, changed=changed
    )
    opened.append(state)
    await state.open()
    return state
