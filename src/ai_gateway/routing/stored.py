"""Routes and stopped experiments in the database. Imports SQLAlchemy: loaded where first needed."""

from time import time

import msgspec
from msgspec import Raw
from sqlalchemy import ColumnElement, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ai_gateway.model.route import Route
from ai_gateway.storage.admin_audit import record_action
from ai_gateway.storage.database import Database
from ai_gateway.storage.tables import experiment_stops, routes

_read = msgspec.json.Decoder(Route).decode
_write = msgspec.json.Encoder().encode


async def load_routes(database: Database) -> dict[str, Route]:
    """Raises DatabaseUnavailable. A route that a newer version wrote and this one cannot read is left
    to it."""
    async with database.read() as connection:
        rows = (await connection.execute(select(routes.c.name, routes.c.body))).all()
    found: dict[str, Route] = {}
    for row in rows:
        try:
            found[row.name] = _read(row.body)
        except msgspec.DecodeError:
            continue
    return found


async def put_route(database: Database, name: str, route: Route, actor: str) -> None:
    body = _write(route).decode()
    async with database.write() as connection:
        before = await _taken_out(connection, name)
        row = {"name": name, "body": body, "updated_at": int(time()), "updated_by": actor}
        await connection.execute(insert(routes).values(row))
        await record_action(
            connection, actor=actor, action="put route", tenant=None, target=name,
            detail={"before": before, "after": Raw(body.encode("utf-8"))},
        )  # fmt: skip


async def delete_route(database: Database, name: str, actor: str) -> None:
    async with database.write() as connection:
        before = await _taken_out(connection, name)
        await record_action(
            connection, actor=actor, action="delete route", tenant=None, target=name,
            detail={"before": before},
        )  # fmt: skip


async def _taken_out(connection: AsyncConnection, name: str) -> Raw | None:
    """The route as it stood; None where there was none."""
    found = delete(routes).where(routes.c.name == name).returning(routes.c.body)
    body = (await connection.execute(found)).scalar()
    return None if body is None else Raw(body.encode("utf-8"))


async def load_stops(database: Database) -> dict[tuple[str, str], str]:
    """(route, experiment) -> why it was stopped."""
    async with database.read() as connection:
        rows = (await connection.execute(select(experiment_stops))).all()
    return {(row.route, row.experiment): row.reason for row in rows}


async def stop_experiment(
    database: Database, route: str, experiment: str, reason: str, actor: str
) -> None:
    where = (experiment_stops.c.route == route) & (experiment_stops.c.experiment == experiment)
    async with database.write() as connection:
        before = await _stop_taken_out(connection, where)
        row = {"route": route, "experiment": experiment, "at": int(time()), "reason": reason}
        await connection.execute(insert(experiment_stops).values(row))
        await record_action(
            connection, actor=actor, action="stop experiment", tenant=None,
            target=f"{route}/{experiment}",
            detail={"before": {"stopped": before}, "after": {"stopped": reason}},
        )  # fmt: skip


async def start_experiment(database: Database, route: str, experiment: str, actor: str) -> None:
    where = (experiment_stops.c.route == route) & (experiment_stops.c.experiment == experiment)
    async with database.write() as connection:
        before = await _stop_taken_out(connection, where)
        await record_action(
            connection, actor=actor, action="start experiment", tenant=None,
            target=f"{route}/{experiment}",
            detail={"before": {"stopped": before}, "after": {"stopped": None}},
        )  # fmt: skip


async def _stop_taken_out(connection: AsyncConnection, where: ColumnElement[bool]) -> str | None:
    """Why it had been stopped; None where it had not."""
    found = delete(experiment_stops).where(where).returning(experiment_stops.c.reason)
    return (await connection.execute(found)).scalar()
