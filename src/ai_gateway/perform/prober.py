"""Probes: small calls of the gateway's own by which it sees how providers' models are doing.

Each asks the very model for a few tokens: a list of models answers well while the model behind it does
not. They are nobody's calls: neither in the ledger nor in what strategies know of pace and errors.
"""

import asyncio
from collections.abc import Callable
from random import Random
from time import time

from msgspec.json import encode

from ai_gateway.background import end
from ai_gateway.dialects.dialect import BadAnswer
from ai_gateway.dialects.exchange import open_exchange
from ai_gateway.model.errors import GatewayError
from ai_gateway.routing.destinations import Destination
from ai_gateway.routing.patterns import named_in
from ai_gateway.routing.probing import ProbeOutcome, ProbeResult
from ai_gateway.routing.router import Router
from ai_gateway.routing.vitals import Vitals
from ai_gateway.upstream.client import UpstreamClient, UpstreamRequest
from ai_gateway.upstream.faults import UpstreamFault

from .failure import Failed, from_bad_answer, from_fault, from_status

_LOOK_SECONDS = 0.25
_MOST_AT_ONCE = 16
_DIALECT = "openai_chat"
_TOKENS = 16
"""The least that every provider takes for a limit."""

Told = Callable[[str, str, ProbeOutcome, str | None], None]
"""`told(provider, model, outcome, what failed)`"""


class Prober:
    """`clock` is the path's; `told` counts."""

    def __init__(
        self,
        client: UpstreamClient,
        router: Router,
        *,
        random: Random,
        clock: Callable[[], float],
        told: Told,
    ) -> None:
        self._client = client
        self._router = router
        self._random = random
        self._clock = clock
        self._told = told
        self._task: asyncio.Task[None] | None = None
        self._probes: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._follow())

    async def close(self) -> None:
        await end(self._task, *self._probes)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Sends the probes that are due."""
        now = self._clock()
        named = self._named()
        for vitals in self._router.directory.vitals.all():
            probing = vitals.probing
            if probing is None or len(self._probes) >= _MOST_AT_ONCE:
                continue
            breaker, idle = vitals.breaker, probing.settings.idle
            wanted = breaker.forced is None and (
                breaker.state == "open"
                or (
                    breaker.state == "closed"
                    and idle is not None
                    and now - vitals.told_at >= idle
                    and (vitals.provider, vitals.model) in named
                )
            )
            if probing.is_due(wanted, now, self._random):
                probing.under_way = True
                task = asyncio.get_running_loop().create_task(self._probe(vitals))
                self._probes.add(task)
                task.add_done_callback(self._probes.discard)

    def _named(self) -> set[tuple[str, str]]:
        """The providers' models that routes name. Callers may name any: what they name is not probed."""
        directory = self._router.directory
        found: set[tuple[str, str]] = set()
        for model in named_in(self._router.routes):
            try:
                vitals = directory.destination("chat", model).vitals
            except GatewayError:
                continue
            found.add((vitals.provider, vitals.model))
        return found

    async def _probe(self, vitals: Vitals) -> None:
        probing = vitals.probing
        assert probing is not None
        began = self._clock()
        detail: str | None = None
        outcome: ProbeOutcome = "good"
        try:
            await self._ask(vitals, probing.settings.timeout)
        except Failed as failure:
            outcome = "bad" if failure.health in ("failed", "connect") else "unknown"
            detail = failure.detail
        except GatewayError as error:
            # The provider is gone from the settings, or has no chat.
            outcome, detail = "unknown", str(error)
        except Exception as error:
            # A cloud that gives no signature, say.
            outcome, detail = "unknown", type(error).__name__
        finally:
            probing.under_way = False
        now = self._clock()
        result = ProbeResult(
            at=round(time(), 3), outcome=outcome, seconds=round(now - began, 4), detail=detail
        )
        self._told(vitals.provider, vitals.model, outcome, detail)
        probing.told(result, vitals.breaker, now, self._random)

    async def _ask(self, vitals: Vitals, timeout: float) -> None:
        """Raises Failed, and GatewayError where it cannot be asked."""
        model = f"{vitals.provider}/{vitals.model}"
        destination: Destination = self._router.directory.destination("chat", model, _DIALECT)
        body = encode(
            {
                "model": model,
                "max_tokens": _TOKENS,
                "messages": [{"role": "user", "content": "Say ok."}],
            }
        )
        exchange = open_exchange("chat", _DIALECT, body, now=int(time()))
        rendered = exchange.request(destination.dialect, destination.render)
        door = destination.doors.pick(self._clock())
        headers = [(n, default) for n, default in destination.forwarded if default is not None]
        if door.signer is not None:
            headers += await door.signer.headers(door.address.url, rendered.body)
        request = UpstreamRequest(
            address=door.address, body=rendered.body, headers=headers, timeout=timeout
        )
        try:
            answer = await self._client.fetch(request)
            if answer.status != 200:
                raise from_status(
                    answer.status, answer.body, answer.header, destination, door.key.secret,
                    _DIALECT, time(),
                )  # fmt: skip
            exchange.answer(destination.dialect, answer.body)
        except UpstreamFault as fault:
            raise from_fault(fault, destination, patient=True) from None
        except BadAnswer as bad:
            raise from_bad_answer(str(bad), destination) from None
