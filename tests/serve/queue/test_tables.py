"""The tables are made once, beside whatever else is in the database."""

from concurrent.futures import ThreadPoolExecutor

import sqlalchemy as sa

from engine.serve.queue.database import SCHEMA, Database, open_database
from engine.serve.queue.tables import create_tables
from tests.serve.queue import postgres


def names(database: Database) -> set[str]:
    schema = SCHEMA if database.shared else None
    return set(sa.inspect(database.engine).get_table_names(schema))


def test_tables_are_made_once_and_others_left_alone(queue_url: str) -> None:
    database = open_database(queue_url)
    schema = f"{SCHEMA}." if database.shared else ""
    with database.transaction() as connection:
        if schema:
            connection.execute(sa.schema.CreateSchema(SCHEMA))
        connection.execute(sa.text(f"CREATE TABLE {schema}workflow_status (id TEXT)"))
        connection.execute(sa.text(f"INSERT INTO {schema}workflow_status VALUES ('old')"))
    for _ in range(2):
        create_tables(database)
        assert names(database) == {"workflow_status", "requests", "slices"}
    with database.transaction() as connection:
        old = connection.scalars(sa.text(f"SELECT id FROM {schema}workflow_status")).all()
    assert old == ["old"]
    database.close()


def test_replicas_may_start_together(postgres_server: postgres.Server) -> None:
    url = postgres_server.database("together")
    databases = [open_database(url) for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(create_tables, databases))
    assert names(databases[0]) == {"requests", "slices"}
    for database in databases:
        database.close()
