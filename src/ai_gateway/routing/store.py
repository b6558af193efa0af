"""The database as the routes see it; the heavy part is imported when it is first asked."""

from ai_gateway.model.route import Route
from ai_gateway.storage.database import Database


class DatabaseRoutes:
    """`RouteStore` and `StopStore`. Raises DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def exists(self) -> bool:
        return self._database.exists()

    async def load(self) -> dict[str, Route]:
        await self._database.open()
        from .stored import load_routes

        return await load_routes(self._database)

    async def put(self, name: str, route: Route, actor: str) -> None:
        await self._database.open()
        from .stored import put_route

        await put_route(self._database, name, route, actor)

    async def delete(self, name: str, actor: str) -> None:
        await self._database.open()
        from .stored import delete_route

        await delete_route(self._database, name, actor)

    async def stops(self) -> dict[tuple[str, str], str]:
        await self._database.open()
        from .stored import load_stops

        return await load_stops(self._database)

    async def stop(self, route: str, experiment: str, reason: str, actor: str) -> None:
        await self._database.open()
        from .stored import stop_experiment

        await stop_experiment(self._database, route, experiment, reason, actor)

    async def start(self, route: str, experiment: str, actor: str) -> None:
        await self._database.open()
        from .stored import start_experiment

        await start_experiment(self._database, route, experiment, actor)
