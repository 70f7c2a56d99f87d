"""The two tables of the batch queue: requests, and the slices of their items."""

import sqlalchemy as sa

from engine.serve.queue.database import SCHEMA, Database

_CREATING = 0x6267655F71756575  # number of an advisory lock: replicas may start together

_metadata = sa.MetaData(schema=SCHEMA)

requests = sa.Table(
    "requests",
    _metadata,
    sa.Column("id", sa.Text, primary_key=True),  # a UUID
    sa.Column("account", sa.Text, nullable=False),  # a hash
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("item_count", sa.BigInteger, nullable=False),
    sa.Column("byte_count", sa.BigInteger, nullable=False),
    sa.Column("submitted_at", sa.Double, nullable=False),  # times are in seconds since 1970
    sa.Column("finished_at", sa.Double),
    sa.Column("claim", sa.Text, index=True),  # the token of the last claim
    sa.Column("lease_until", sa.Double, nullable=False, default=0.0),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),  # the number of claims
    sa.Index("requests_by_age", "finished_at", "submitted_at"),
)

slices = sa.Table(
    "slices",
    _metadata,
    sa.Column("request_id", sa.ForeignKey(requests.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("first", sa.Integer, primary_key=True),  # the index of its first item
    sa.Column("input", sa.Text, nullable=False),  # the items, as JSON
    sa.Column("output", sa.Text),  # the responses, as JSON; NULL until they are computed
)

unfinished = requests.c.finished_at.is_(None)


def create_tables(database: Database) -> None:
    """Make the tables that are not there yet."""
    with database.transaction() as connection:
        if database.shared:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_CREATING)))
            connection.execute(sa.schema.CreateSchema(SCHEMA, if_not_exists=True))
        _metadata.create_all(connection)
        if not database.shared:  # every claim in the file is of a process that has ended
            connection.execute(sa.update(requests).where(unfinished).values(lease_until=0.0))
