"""The ledger in the database: batches of records in, roll-ups with them, sums out.

A batch goes in as one JSON parameter and is taken apart by the database: the process spends next to
nothing on a record, and records and sums are one transaction. A record whose id is there already is
left out of both.
"""

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from ai_gateway.storage.tables import usage, usage_hourly

_TYPES = {"BIGINT": "bigint", "INTEGER": "integer", "BOOLEAN": "boolean"}
_COLUMNS = [column.name for column in usage.columns]
_NAMES = ", ".join(f'"{name}"' for name in _COLUMNS)
_KEY = ["scope", "tenant", "subject", "hour", "provider", "model"]
_SUMS = [c.name for c in usage_hourly.columns if c.name not in _KEY]
_ADDED = ", ".join(f"{name} = usage_hourly.{name} + excluded.{name}" for name in _SUMS)
_HOUR_MS = 3_600_000
_DAY = "at / 86400000"
"""Its sums, if it has them, are then no longer those of its hours (see `daily`)."""

_MOST_TAGS = 8
"""Of a call that are summed up: a key's own come first."""
_EACH = ", ".join(f"f.{name}" for name in _SUMS)

# From rows of `usage` to rows of `usage_hourly`: one for each scope the calls belong to. Summed by the
# finest key first: a batch is hundreds of calls, and few keys.
_ROLL_UP = f"""
    WITH summed AS (
        SELECT tenant, "user", key_id, route, tags, at / {_HOUR_MS} AS hour, provider, model,
               COUNT(*) AS calls, COUNT(error) AS errors,
               SUM(CASE WHEN cache IN ('hit', 'semantic', 'joined') THEN 1 ELSE 0 END) AS cached,
               {", ".join(f"SUM(COALESCE({name}, 0)) AS {name}" for name in _SUMS[3:])}
        FROM {{fresh}} AS r
        GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
    )
    SELECT f.scope, f.tenant, f.subject, f.hour, f.provider, f.model,
           {", ".join(f"SUM(f.{name})" for name in _SUMS)}
    FROM (
        SELECT s.scope, CASE WHEN s.scope = 'all' THEN '' ELSE f.tenant END AS tenant,
               CASE s.scope WHEN 'key' THEN f.key_id WHEN 'user' THEN f."user"
                            WHEN 'route' THEN f.route ELSE '' END AS subject,
               f.hour, f.provider, f.model, {_EACH}
        FROM summed AS f CROSS JOIN {{scopes}}
        WHERE (s.scope <> 'key' OR f.key_id IS NOT NULL)
          AND (s.scope <> 'route' OR f.route IS NOT NULL)
        UNION ALL
        SELECT 'tag', f.tenant, t.value, f.hour, f.provider, f.model, {_EACH}
        FROM summed AS f {{tags}}
        WHERE f.tags IS NOT NULL
    ) AS f
    GROUP BY 1, 2, 3, 4, 5, 6
    ORDER BY 1, 2, 3, 4, 5, 6
"""
_INTO_HOURLY = f"INSERT INTO usage_hourly ({', '.join(_KEY + _SUMS)})"
_ON_CONFLICT = f"ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET {_ADDED}"
_SCOPES = ("all", "tenant", "key", "user", "route")


def roll_up_of(rows: str, dialect: str) -> str:
    """The statement that adds rows of the form of `usage` to the sums. In order of key, so that two
    replicas' batches never wait for each other in a circle."""
    if dialect == "postgresql":
        each = ", ".join(f"('{scope}')" for scope in _SCOPES)
        scopes = f"(VALUES {each}) AS s(scope)"
        tags = (
            "CROSS JOIN LATERAL (SELECT value FROM json_array_elements_text(CAST(f.tags AS json)) "
            f"WITH ORDINALITY AS t(value, place) WHERE place <= {_MOST_TAGS}) AS t"
        )
    else:
        each = " UNION ".join(f"SELECT '{scope}' AS scope" for scope in _SCOPES)
        scopes = f"({each}) AS s"
        tags = f"JOIN json_each(f.tags) AS t ON t.key < {_MOST_TAGS}"
    select = _ROLL_UP.format(fresh=rows, scopes=scopes, tags=tags)
    return f"{_INTO_HOURLY} {select} {_ON_CONFLICT}"


def _postgresql() -> list[TextClause]:
    types = ", ".join(
        f'"{column.name}" {_TYPES.get(str(column.type), "text")}' for column in usage.columns
    )
    return [
        text(f"""
            WITH fresh AS (
                INSERT INTO usage ({_NAMES})
                SELECT DISTINCT ON (id) {_NAMES}
                FROM json_to_recordset(CAST(:batch AS json)) AS r({types})
                ORDER BY id
                ON CONFLICT (id) DO NOTHING
                RETURNING *
            ), stale AS (
                DELETE FROM usage_days WHERE day IN (
                    SELECT day FROM usage_days WHERE day IN (SELECT {_DAY} FROM fresh)
                    ORDER BY day FOR UPDATE
                )
            )
            {roll_up_of("fresh", "postgresql")}
        """)
    ]


def _sqlite() -> list[TextClause]:
    """The batch is read once, into a table of the connection's own; what is in `usage` already leaves
    it; then the sums, and the rows. The transaction holds the only write lock."""
    own = ", ".join(f'"{name}"' for name in _COLUMNS)
    fields = ", ".join(f"json_extract(value, '$.{name}')" for name in _COLUMNS)
    return [
        text(f"CREATE TEMP TABLE IF NOT EXISTS fresh ({own}, PRIMARY KEY (id)) WITHOUT ROWID"),
        text("DELETE FROM temp.fresh"),
        # Grouped, a row's JSON is taken apart once and not once a column.
        text(
            f"INSERT INTO temp.fresh SELECT {fields} FROM json_each(:batch) "
            "GROUP BY json_extract(value, '$.id')"
        ),
        text("DELETE FROM temp.fresh WHERE id IN (SELECT id FROM usage)"),
        text(roll_up_of("temp.fresh", "sqlite")),
        text(f"DELETE FROM usage_days WHERE day IN (SELECT {_DAY} FROM temp.fresh)"),
        text(f"INSERT INTO usage ({_NAMES}) SELECT {_NAMES} FROM temp.fresh"),
    ]


_STATEMENTS: dict[str, list[TextClause]] = {"postgresql": _postgresql(), "sqlite": _sqlite()}


async def keep(connection: AsyncConnection, batch: str) -> None:
    """`batch` is a JSON array of `UsageRecord`s. All of it or, by an exception, nothing."""
    for statement in _STATEMENTS[connection.dialect.name]:
        given = {"batch": batch} if ":batch" in statement.text else None
        await connection.execute(statement, given)
