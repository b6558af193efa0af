"""The routes in force: those of `gateway.yaml` and those made by the admin API, checked, then swapped.

A name in `gateway.yaml` belongs to the file. Routes made by the admin API live in the database, where it
is reached, and every replica looks there for changes; while it is away, those known stay in force.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Literal, Protocol

from ai_gateway.background import end
from ai_gateway.model.errors import GatewayError
from ai_gateway.model.route import Route

from .check import RouteProblem, all_problems, route_problems
from .destinations import Directory
from .router import Router

_LOOK_SECONDS = 3.0
OnEvent = Callable[[Literal["info", "error"], str, str], None]
"""`on_event(level, event, why)`"""


class RouteStore(Protocol):
    """Where made routes last. Its methods raise whatever their database raises when it is away."""

    def exists(self) -> bool: ...
    async def load(self) -> dict[str, Route]: ...
    async def put(self, name: str, route: Route, actor: str) -> None: ...
    async def delete(self, name: str, actor: str) -> None: ...


class RouteBook:
    def __init__(
        self,
        router: Router,
        own: Mapping[str, Route],
        store: RouteStore,
        *,
        on_event: OnEvent,
    ) -> None:
        """`own`: the file's, already checked."""
        self._router = router
        self._own = dict(own)
        self._made: dict[str, Route] = {}
        self._store = store
        self._on_event = on_event
        self._lost = False
        self._task: asyncio.Task[None] | None = None

    @property
    def own(self) -> Mapping[str, Route]:
        return self._own

    @property
    def made(self) -> Mapping[str, Route]:
        return self._made

    def note(self) -> str | None:
        if self._lost:
            return "routes: the database cannot be reached; the routes known so far are in force"
        return None

    async def start(self) -> None:
        """Reads what there is, and goes on looking for changes made by others."""
        if self._store.exists():
            await self._look()
        self._task = asyncio.get_running_loop().create_task(self._follow())

    async def close(self) -> None:
        await end(self._task)

    def replace_own(self, own: Mapping[str, Route], directory: Directory) -> list[RouteProblem]:
        """Those of a new `gateway.yaml`, with the directory it makes: all in force, or none."""
        problems = all_problems({**self._made, **own}, directory)
        if not problems:
            self._own = dict(own)
            self._router.swap(self._merged(), directory)
        return problems

    async def put(self, name: str, route: Route, actor: str) -> None:
        """Raises GatewayError(invalid_request | conflict)."""
        self._require_ours(name)
        merged = {**self._merged(), name: route}
        problems = route_problems(name, route, merged, self._router.directory)
        if problems:
            raise GatewayError(
                "invalid_request",
                " ".join(map(str, problems)),
                field=problems[0].field.partition(".")[2] or "name",
                code="invalid_route",
            )
        await self._store.put(name, route, actor)
        self._made[name] = route
        self._router.swap(self._merged())

    async def delete(self, name: str, actor: str) -> bool:
        """False where there is none. Raises GatewayError(conflict)."""
        self._require_ours(name)
        if name not in self._made:
            return False
        await self._store.delete(name, actor)
        del self._made[name]
        self._router.swap(self._merged())
        return True

    def _require_ours(self, name: str) -> None:
        if name in self._own:
            raise GatewayError(
                "conflict",
                f"The route {name} is written in gateway.yaml. Change it there.",
                field="name",
                code="route_in_file",
            )

    def _merged(self) -> dict[str, Route]:
        return {**self._made, **self._own}

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if self._store.exists():
                await self._look()

    async def _look(self) -> None:
        """Whatever the database throws while it comes and goes, it is looked at again."""
        try:
            self._take(await self._store.load())
        except Exception as error:
            if not self._lost:
                self._lost = True
                self._on_event("error", "routes_database_lost", type(error).__name__)
            return
        if self._lost:
            self._lost = False
            self._on_event("info", "routes_database_back", "")

    def _take(self, made: Mapping[str, Route]) -> None:
        """What does not hold any more, a provider being gone, is left out and said."""
        good: dict[str, Route] = {}
        merged = {**made, **self._own}
        for name, route in made.items():
            problems = route_problems(name, route, merged, self._router.directory)
            if problems:
                self._on_event("error", "route_left_out", " ".join(map(str, problems))[:500])
            else:
                good[name] = route
        if good != self._made:
            self._made = good
            self._router.swap(self._merged())
