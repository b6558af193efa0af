"""Stored answers in the process's own memory: bounded by bytes, the least recently used go first."""

from collections import OrderedDict
from collections.abc import Callable

from msgspec import Struct

from .entry import Entry
from .forms import Form, Told

SLOT_BYTES = 700
"""What a slot takes beside the bytes of its answers: objects, the key, a place in the table."""
_LOOKED_AT = 2
"""Old answers that are looked at for each new one, so that they go twice as fast as they come."""
DOMINANT_SHARE = 8
"""An answer larger than this part of the whole is not kept: it would push too much out."""


class Slot(Struct, eq=False):
    """One answer, in every form in which it has been asked for."""

    entry: Entry
    expires: float = 0.0
    size: int = 0
    """Bytes, where it is kept in memory."""
    _others: dict[Form, Told] | None = None

    def told(self, form: Form) -> Told | None:
        """The answer in this form, where it has been told in it."""
        if form == self.entry.form:
            return Told(self.entry.body, self.entry.notes)
        return None if self._others is None else self._others.get(form)

    def keep(self, form: Form, told: Told) -> None:
        if self._others is None:
            self._others = {}
        self._others[form] = told
        self.size += len(told.body)


class MemoryStore:
    """Keys are scope + digest. `clock` must not jump: `time.monotonic`."""

    def __init__(self, max_bytes: int, clock: Callable[[], float]) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._slots: OrderedDict[str, Slot] = OrderedDict()
        self.bytes = 0
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._slots)

    def get(self, key: str) -> Slot | None:
        slot = self._slots.get(key)
        if slot is None:
            return None
        if slot.expires <= self._clock():
            self.delete(key)
            return None
        self._slots.move_to_end(key)
        return slot

    def put(self, key: str, entry: Entry, ttl: float) -> None:
        size = SLOT_BYTES + len(entry.body)
        if size * DOMINANT_SHARE > self._max_bytes:
            return
        now, slots = self._clock(), self._slots
        if key in slots:
            self.delete(key)
        slots[key] = Slot(entry, now + ttl, size)
        self.bytes += size
        if self.bytes > self._max_bytes:
            self._shrink()
        if next(iter(slots.values())).expires <= now:
            self._drop_expired(now)

    def keep_told(self, key: str, slot: Slot, form: Form, told: Told) -> None:
        """Keeps another form of an answer at hand, as long as the answer itself."""
        if self._slots.get(key) is slot and slot.told(form) is None:
            slot.keep(form, told)
            self.bytes += len(told.body)
            self._shrink()

    def delete(self, key: str) -> bool:
        slot = self._slots.pop(key, None)
        if slot is None:
            return False
        self.bytes -= slot.size
        return True

    def purge(self, tenant: str | None = None, model: str | None = None) -> int:
        """Forgets what matches; everything where neither is named. Gives how many."""
        found = [
            key
            for key, slot in self._slots.items()
            if (tenant is None or slot.entry.tenant == tenant)
            and (model is None or model in (slot.entry.model, slot.entry.requested_model))
        ]
        for key in found:
            self.delete(key)
        return len(found)

    def _drop_expired(self, now: float) -> None:
        """Looks at the oldest alone, which as a rule are the first to expire: what nobody asks for again
        does not stay until its place is needed."""
        for _ in range(_LOOKED_AT):
            oldest = next(iter(self._slots))
            if self._slots[oldest].expires > now:
                return
            self.delete(oldest)
            if not self._slots:
                return

    def _shrink(self) -> None:
        while self.bytes > self._max_bytes:
            _, slot = self._slots.popitem(last=False)
            self.bytes -= slot.size
            self.evicted += 1
