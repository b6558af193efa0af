"""A call's attempts on one line."""

from ai_gateway.model.attempts import attempts_trace
from ai_gateway.model.call import Attempt, Target


def attempt(provider: str, model: str = "m", **more: object) -> Attempt:
    target = Target(provider=provider, model=model)
    return Attempt(target=target, started=0.0, **more)  # type: ignore[arg-type]


def test_each_attempt_is_told_in_order() -> None:
    assert attempts_trace(
        [
            attempt("a", "gpt-4o", seconds=0.0124, status=503, error="unavailable"),
            attempt("a", "gpt-4o", seconds=5, error="connect", credential=1),
            attempt("b", "org/model-1.5", seconds=0.84, status=200),
        ]
    ) == (
        "a/gpt-4o;ms=12;status=503;why=unavailable, a/gpt-4o;ms=5000;key=1;why=connect, "
        "b/org/model-1.5;ms=840;status=200"
    )


def test_no_name_breaks_out_of_the_header() -> None:
    told = attempts_trace([attempt("a", 'x, y;why="\r\nset-cookie: z\u00e9\ud800')])
    assert told == "a/x__y_why____set-cookie:_z__;ms=0"


def test_it_stays_short_however_many_there_were() -> None:
    told = attempts_trace([attempt("p", "m" * 500, status=n) for n in range(1, 200)])
    assert len(told) < 2500
    assert told.count(", ") == 16
    assert ", omitted;attempts=183, " in told
    assert told.startswith("p/mmm")
    assert told.endswith(";status=199")
