"""Stopping an experiment: by its guard, by hand, in every process, whatever the database does."""

import asyncio

from ai_gateway.model.call import Outcome, Request
from ai_gateway.model.route import Experiment, ExperimentGuard, Route, Variant
from ai_gateway.routing.experiments import Experiments

TONE = Experiment(
    name="tone",
    variants=(Variant(name="old"), Variant(name="new")),
    guard=ExperimentGuard(least_calls=50),
)
ROUTE = Route(targets=(), experiment=TONE)


class Store:
    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.away = False

    def exists(self) -> bool:
        return True

    async def stops(self) -> dict[tuple[str, str], str]:
        if self.away:
            raise RuntimeError("away")
        return dict(self.kept)

    async def stop(self, route: str, experiment: str, reason: str, actor: str) -> None:
        if self.away:
            raise RuntimeError("away")
        self.kept[route, experiment] = reason

    async def start(self, route: str, experiment: str, actor: str) -> None:
        self.kept.pop((route, experiment), None)


class Processes:
    """Two that share a database and tell each other."""

    def __init__(self) -> None:
        self.store = Store()
        self.events: list[str] = []
        self.both = [self._process(), self._process()]

    def _process(self) -> Experiments:
        return Experiments(
            self.store,
            on_stop=lambda route, experiment, why: None,
            on_event=lambda level, event, why: self.events.append(event),
            tell=lambda message: [other.hear(message) for other in self.both] and None,
        )

    def running(self) -> list[bool]:
        return [e.running("smart", ROUTE) is not None for e in self.both]


def settle(experiments: Experiments, variant: str, count: int, error: str | None = None) -> None:
    request = Request(
        id="r", operation="chat", dialect="openai_chat", endpoint="/v1/chat/completions",
        body=b"", headers={}, received=0.0,
    )  # fmt: skip
    for _ in range(count):
        outcome = Outcome(request=request, route="smart", variant=variant, error=error)
        experiments.settled(outcome, TONE)


def fail(experiments: Experiments) -> None:
    settle(experiments, "old", 400)
    settle(experiments, "new", 400, "upstream")


async def test_the_guards_verdict_in_one_process_holds_in_all() -> None:
    processes = Processes()
    fail(processes.both[0])
    assert processes.running() == [False, False]
    await asyncio.sleep(0)
    assert "new fails" in processes.store.kept["smart", "tone"]


async def test_a_stop_and_a_start_by_hand_hold_in_all() -> None:
    processes = Processes()
    one, two = processes.both
    await one.stop("smart", "tone", "enough", "admin")
    assert processes.running() == [False, False]
    await two.start("smart", "tone", "admin")
    assert processes.running() == [True, True]


async def test_the_guards_verdict_outlasts_a_database_that_is_away() -> None:
    processes = Processes()
    one = processes.both[0]
    processes.store.away = True
    fail(one)
    for _ in range(3):
        await one.look()
    assert processes.running() == [False, False]
    assert processes.events == ["experiments_database_lost"]
    processes.store.away = False
    await one.look()
    assert processes.store.kept
    assert processes.running() == [False, False]


async def test_a_message_that_cannot_be_read_changes_nothing() -> None:
    processes = Processes()
    for message in (b"", b"{}", b'["smart","tone",1]', b"\xff"):
        processes.both[0].hear(message)
    assert processes.running() == [True, True]
