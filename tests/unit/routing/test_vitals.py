"""What is kept of a provider's model."""

from ai_gateway.routing.vitals import Vitals, VitalsBook


def fail(vitals: Vitals, now: float, count: int) -> None:
    for _ in range(count):
        era = vitals.breaker.enter(now)
        if era:
            vitals.breaker.failed(now, era)


def told(vitals: Vitals) -> list[tuple[float, str, str, str]]:
    return [(c.at, c.before, c.after, c.cause) for c in vitals.changes]


def test_a_breakers_changes_are_kept_with_when_and_why() -> None:
    wall = 1000.0
    vitals = VitalsBook(wall=lambda: wall).of("a", "m")
    fail(vitals, 1, 20)
    wall = 1005.0
    for _ in range(4):
        vitals.breaker.succeeded(7, vitals.breaker.enter(7))
    wall = 1010.0
    vitals.breaker.force("open")
    vitals.breaker.force("closed")
    vitals.breaker.force(None)
    assert told(vitals) == [
        (1000.0, "closed", "open", "failures"),
        (1005.0, "open", "half-open", "failures"),
        (1005.0, "half-open", "closed", "recovered"),
        (1010.0, "closed", "open", "admin"),
        (1010.0, "open", "closed", "admin"),
        (1010.0, "closed", "closed", "admin"),
    ]


def test_only_the_last_changes_are_kept() -> None:
    vitals = VitalsBook(wall=lambda: 1.0).of("a", "m")
    for _ in range(100):
        vitals.breaker.force("open")
        vitals.breaker.force("closed")
    assert len(vitals.changes) == 32
    assert vitals.changes[-1].after == "closed"
