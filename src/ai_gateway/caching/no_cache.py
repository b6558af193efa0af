"""What stands in the cache's place where there is none."""

from ai_gateway.dialects.exchange import Exchange
from ai_gateway.model.call import Outcome
from ai_gateway.model.route import Route
from ai_gateway.reply import Reply

from .asking import Ask, Asking


class NoCache:
    """Every call is asked."""

    def asking(self, exchange: Exchange, outcome: Outcome, route: Route) -> Asking | None:
        return None

    def look_up(self, asking: Asking | None) -> str | None:
        return None

    async def answer(
        self,
        asking: Asking | None,
        exchange: Exchange,
        outcome: Outcome,
        reply: Reply,
        ask: Ask,
        looked_up: bytes | None = None,
    ) -> None:
        await ask(exchange, reply)

    async def recall(self, asking: Asking, outcome: Outcome, reply: Reply) -> bool:
        return False

    async def purge(self, tenant: str | None = None, model: str | None = None) -> int:
        return 0

    async def forget(self, key: str) -> bool:
        return False

    async def report_bad_hit(self, tenant: str, call_id: str) -> bool:
        return False

    def start(self) -> None: ...

    async def close(self) -> None: ...
