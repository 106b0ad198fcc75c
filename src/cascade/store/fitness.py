"""What a PostgreSQL lets us do: asked by whoever sets a gateway up, never on a message's way."""

from typing import Final, NamedTuple

from cascade.store import postgres

# has_table_privilege is asked for each right, since of several in one text it says whether there is any.
LACKING: Final = """
    SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p')
        AND NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
            AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))
    ORDER BY c.relname
"""
LIMITS: Final = """
    SELECT current_user::text, coalesce(current_schema()::text, ''),
        coalesce(has_schema_privilege(current_schema(), 'CREATE'), FALSE),
        current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
        (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user),
        (SELECT datconnlimit FROM pg_database WHERE datname = current_database()),
        current_setting('synchronous_commit'), floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint
"""


class Fitness(NamedTuple):
    """`user` and `schema`: who we are there, and where our tables are; empty: nowhere. `may_create`: the role
    may make tables, as an upgrade must. `lacking`: tables that it may not read or write. `connections`: how many it may
    have at once."""

    user: str
    schema: str
    may_create: bool
    lacking: list[str]
    connections: int
    synchronous_commit: str
    now_ms: int


async def of_postgres(url: str) -> Fitness:
    """Whether or not there is a store yet. `ConfigError` where it cannot be asked."""
    async with postgres.connected(url) as connection:
        user, schema, may_create, most, *limits, synchronous_commit, now_ms = await connection.fetchrow(LIMITS)
        lacking = [name for (name,) in await connection.fetch(LACKING)]
    connections = min([most, *(limit for limit in limits if limit >= 0)])
    return Fitness(user, schema, may_create, lacking, connections, synchronous_commit, now_ms)
