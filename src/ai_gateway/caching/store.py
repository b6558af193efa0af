"""Where answers are kept: in the process's memory, or in the state that the replicas share."""

from collections.abc import Sequence
from time import time

from .directives import Directives
from .entry import Entry
from .forms import Form, Told
from .memory import MemoryStore, Slot
from .shared import SharedStore


class Store:
    def __init__(self, memory: MemoryStore, shared: SharedStore | None) -> None:
        """With `shared`, answers are there and not in memory, so that a purge is a purge."""
        self.memory = memory
        self.shared = shared

    async def find(self, key: str) -> Slot | None:
        return self.memory.get(key) if self.shared is None else await self.shared.get(key)

    async def find_many(self, keys: Sequence[str]) -> list[Slot | None]:
        if self.shared is not None:
            return await self.shared.get_many(keys)
        return [self.memory.get(key) for key in keys]

    def keep(self, key: str, entry: Entry, ttl: float) -> None:
        (self.memory if self.shared is None else self.shared).put(key, entry, ttl)

    def keep_told(self, key: str, slot: Slot, form: Form, told: Told) -> None:
        if self.shared is None:
            self.memory.keep_told(key, slot, form, told)

    def delete(self, key: str) -> None:
        if self.shared is not None:
            self.shared.delete(key)
        self.memory.delete(key)

    def start(self) -> None:
        if self.shared is not None:
            self.shared.live.start()

    async def close(self) -> None:
        if self.shared is not None:
            await self.shared.live.close()

    async def purge(self, tenant: str | None, model: str | None) -> int:
        """Forgets what matches; everything where neither is named. Gives how many answers."""
        if self.shared is not None:
            return await self.shared.purge(tenant, model)
        return self.memory.purge(tenant, model)


def fresh(entry: Entry, directives: Directives) -> bool:
    return directives.max_age is None or entry.age(time()) <= directives.max_age
