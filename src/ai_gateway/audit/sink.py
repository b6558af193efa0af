"""What the sinks share: records wait on a courier of the sink's own, bounded by number and by weight."""

from collections.abc import Callable

from ai_gateway.courier import Courier, Loss
from ai_gateway.model.audit import AuditRecord


class CourierSink:
    name: str

    def __init__(
        self,
        deliver: Callable[[list[AuditRecord]], None],
        *,
        batch: int,
        every: float,
        lost: Callable[[Loss, int], None],
        most: int = 10_000,
        most_weight: int = 64 * 1024 * 1024,
    ) -> None:
        self._courier: Courier[AuditRecord] = Courier(
            f"audit-{self.name}", deliver, most=most, batch=batch, every=every, lost=lost,
            weigh=_weight, most_weight=most_weight,
        )  # fmt: skip

    @property
    def trouble(self) -> str | None:
        return self._courier.trouble

    @property
    def waiting(self) -> int:
        return self._courier.waiting

    def start(self) -> None: ...

    def put(self, record: AuditRecord) -> None:
        self._courier.put(record)

    def close(self, seconds: float) -> None:
        self._courier.close(seconds)


def _weight(record: AuditRecord) -> int:
    return 2048 + len(record.request or "") + len(record.response or "")
