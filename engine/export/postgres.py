"""An output as a table of PostgreSQL, with a column of pgvector's type `vector`.

    SELECT id, embedding <=> $1 AS distance FROM documents ORDER BY distance LIMIT 5;
    CREATE INDEX ON documents USING hnsw (embedding vector_cosine_ops);

A new table is filled by COPY and then takes the name, in one transaction. It has none of the
indexes and grants of the table that it replaces. PostgreSQL refuses to replace a table that a view
uses.
"""

import secrets
from collections.abc import Iterator
from typing import Any, LiteralString

import orjson
import psycopg
import pyarrow as pa
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from engine.errors import EngineError, InputError
from engine.export.tables import Tables, is_binary, values, vectors_of
from engine.jobs.options import EMBEDDING

WAIT_SECONDS = 10  # for a response of the server


def write_postgres(tables: Tables, url: str, table: str, replace: bool) -> None:
    """Write `table` in the first schema of the search path. InputError: it is there."""
    where = _without_password(url)
    try:
        with psycopg.connect(url, connect_timeout=WAIT_SECONDS) as connection:
            _write(connection, tables, table, replace)
    except psycopg.Error as error:
        raise EngineError(f"{where}: {error}") from error


def _without_password(url: str) -> str:
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:  # its message may show any part of the URL
        raise InputError(
            "the URL of PostgreSQL is not valid; give postgresql://user@host/database, where "
            "special characters are written like %40. A password may be in $PGPASSWORD instead."
        ) from None
    return f"database {parts.get('dbname')} on {parts.get('host') or 'this machine'}"


def _write(connection: psycopg.Connection[Any], tables: Tables, table: str, replace: bool) -> None:
    vector = _vector_type(connection, tables.dim)
    query = "SELECT to_regclass(format('%%I.%%I', current_schema(), %s::text))"
    there = connection.execute(query, [table]).fetchone() != (None,)
    if there and not replace:
        raise InputError(f"the table {table} is there already; give another --table, or --replace.")
    draft = sql.Identifier(f"{table}_new_{secrets.token_hex(4)}")
    types = {field.name: sql.SQL(_type(field.type)) for field in tables.columns}
    listed = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), kind)
        for name, kind in {**types, EMBEDDING: vector}.items()
    )
    connection.execute(sql.SQL("CREATE TABLE {} ({})").format(draft, listed))
    with connection.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(draft)) as copy:
        for part in tables:
            columns = [values(part.column(name)) for name in tables.columns.names]
            for row in zip(*columns, _texts(part), strict=True):
                copy.write_row(row)
    if there:
        connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(table)))
    rename = sql.SQL("ALTER TABLE {} RENAME TO {}")
    connection.execute(rename.format(draft, sql.Identifier(table)))


def _vector_type(connection: psycopg.Connection[Any], dim: int) -> sql.Composed:
    """The type in the schema where the extension is. EngineError: it is in none."""
    query = (
        "SELECT nspname FROM pg_extension JOIN pg_namespace AS n ON n.oid = extnamespace "
        "WHERE extname = 'vector'"
    )
    row = connection.execute(query).fetchone()
    if row is None:
        raise EngineError(
            "the database does not have the extension pgvector. Where it is installed on the "
            "server, CREATE EXTENSION vector adds it to the database."
        )
    return sql.SQL("{}({})").format(sql.Identifier(row[0], "vector"), sql.SQL(str(dim)))


def _texts(part: pa.Table) -> Iterator[str]:
    """Vectors as pgvector reads them: a list of numbers, as short as restores the same float32."""
    for row in vectors_of(part):
        yield orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY).decode()


def _type(kind: pa.DataType) -> LiteralString:
    types = pa.types
    if types.is_boolean(kind):
        return "boolean"
    if kind == pa.uint64() or types.is_decimal(kind):
        return "numeric"
    if types.is_integer(kind):
        return "bigint"
    if types.is_floating(kind):
        return "double precision"
    if types.is_date(kind):
        return "date"
    if types.is_timestamp(kind):
        return "timestamp" if kind.tz is None else "timestamptz"
    return "bytea" if is_binary(kind) else "text"
