"""Callers that keep at it while the gateway dies, and know what they were answered."""

import asyncio
import json
import random
from collections.abc import Sequence
from datetime import timedelta
from itertools import count

from msgspec import Struct
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import RequestError

CHAT = "/v1/chat/completions"
MODELS = ("gpt-4o", "gpt-4o-mini")


class Answered(Struct, frozen=True):
    status: int
    seconds: float
    at: float
    """The loop's time when the answer was whole."""


class Callers:
    """So many at once. Each call has an id of its own, which the provider is told as the user and the
    gateway as `x-request-id`; half of them are streams."""

    def __init__(self, url: str, key: str | None, *, at_once: int) -> None:
        self.url = url
        self.answered: dict[str, Answered] = {}
        """By the call's id, of those whose answer came whole."""
        self.asked = 0
        self._key = key
        self._at_once = at_once
        self._numbers = count(1)
        self._tasks: list[asyncio.Task[None]] = []
        self._running = False

    @property
    def good(self) -> list[str]:
        return [id for id, answer in self.answered.items() if answer.status == 200]

    def start(self) -> None:
        self._running = True
        self._tasks = [asyncio.ensure_future(self._call()) for _ in range(self._at_once)]

    async def stop(self) -> None:
        self._running = False
        await asyncio.gather(*self._tasks)

    def statuses(self) -> dict[int, int]:
        found: dict[int, int] = {}
        for answer in self.answered.values():
            found[answer.status] = found.get(answer.status, 0) + 1
        return found

    def seconds(self, since: float = 0, until: float = float("inf")) -> list[float]:
        """How long the calls took that ended in that time, sorted."""
        return sorted(a.seconds for a in self.answered.values() if since <= a.at < until)

    async def _call(self) -> None:
        builder = (
            ClientBuilder().connect_timeout(timedelta(seconds=2)).timeout(timedelta(seconds=30))
        )
        async with builder.build() as client:
            while self._running:
                id = f"call-{next(self._numbers)}"
                self.asked += 1
                try:
                    await self._one(client, id)
                except RequestError:
                    # The gateway was killed: this call may be in the ledger or not.
                    await asyncio.sleep(0.02)

    async def _one(self, client: Client, id: str) -> None:
        loop = asyncio.get_running_loop()
        stream = random.random() < 0.5
        body = {
            "model": random.choice(MODELS),
            "messages": [{"role": "user", "content": "word " * random.randint(1, 50)}],
            "user": id,
            "stream": stream,
        }
        headers = {"content-type": "application/json", "x-request-id": id}
        if self._key is not None:
            headers["authorization"] = f"Bearer {self._key}"
        started = loop.time()
        request = client.post(self.url + CHAT).headers(headers)
        response = await request.body_bytes(json.dumps(body).encode()).build().send()
        answer = (await response.bytes()).to_bytes()
        status = response.status
        if status == 200 and stream and not answer.endswith(b"data: [DONE]\n\n"):
            status = 0
        self.answered[id] = Answered(status, loop.time() - started, loop.time())


def percentile(values: Sequence[float], share: float) -> float:
    """Of sorted values."""
    return values[min(len(values) - 1, int(len(values) * share))] if values else 0.0
