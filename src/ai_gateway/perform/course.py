"""How the attempts of one call went so far, and what they come to."""

from msgspec import Struct

from ai_gateway.model.errors import GatewayError
from ai_gateway.model.route import Route
from ai_gateway.routing.router import Plan
from ai_gateway.routing.strategies import Candidate

from .attempt import Flow, Whole
from .failure import Failed


class Course(Struct, eq=False):
    """How the attempts of one call went so far."""

    deadline: float
    last: Failed | None = None
    refused: GatewayError | None = None
    """The first target's dialect could not express the call."""
    again: list[tuple[Candidate, Failed]] = []
    """May be asked once more."""
    full: list[Candidate] = []
    """Had no place for one call more."""
    settled: bool = False
    """The last failure would be any other target's too."""
    too_long_for: int | None = None
    """The call did not fit a context window of so many tokens."""
    spare: Whole | Flow | None = None
    """An answer for when nobody gives a better one."""
    hedged: bool = False
    """A second target was asked beside the first."""

    def keeps(self, won: Whole | Flow, route: Route) -> bool:
        """Whether to ask on: a filter stopped the answer, and another target may give a whole one."""
        if "content_filter" not in route.fallback_on or not filtered(won):
            return False
        self.spare = self.spare or won
        return True

    def failed(
        self, candidate: Candidate, failure: Failed, route: Route, *, asked_at_once: bool
    ) -> None:
        # The frames it came through hold this course: the call would outlive its end.
        self.last = failure.with_traceback(None)
        if failure.again and not asked_at_once:
            self.again.append((candidate, failure))
        if failure.refusal is None:
            self.settled = not failure.elsewhere
            return
        self.settled = failure.refusal not in route.fallback_on
        if failure.refusal == "context_window":
            self.too_long_for = candidate.destination.facts.context_tokens

    def verdict(self, plan: Plan, now: float) -> Failed | GatewayError:
        """What the caller is told where no target has answered."""
        if self.last is not None:
            return self.last
        if self.refused is not None:
            return self.refused
        if self.full:
            return GatewayError(
                "unavailable",
                "Every provider that could answer this has as many calls under way as it carries well. "
                "Try again.",
                code="targets_busy",
                retry_after=1,
            )
        opens = min(c.destination.vitals.breaker.retry_at for c in plan.order)
        return GatewayError(
            "unavailable",
            "Every provider that could answer this has been failing, and is left alone for a moment. "
            "Try again.",
            code="targets_unavailable",
            retry_after=max(1.0, opens - now),
        )


def filtered(won: Whole | Flow) -> bool:
    return isinstance(won, Whole) and won.answer.stop in ("content_filter", "refusal")
