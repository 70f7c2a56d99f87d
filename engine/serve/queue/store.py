"""The requests of the batch queue, stored, claimed and finished in two tables.

A process claims a request: it writes a token and a lease into the request's row. It renews the
lease while it works; when it dies, the lease runs out and another process can claim the request.
A write is refused unless its token is the last one, so every item has exactly one response.
"""

import hashlib
import os
import socket
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import orjson
import sqlalchemy as sa

from engine.errors import EngineError, InputError, Overloaded
from engine.serve.queue.database import open_database
from engine.serve.queue.responses import Item, Response, cut_into_slices, decode
from engine.serve.queue.tables import create_tables, requests, slices, unfinished

State = Literal["queued", "running", "done"]

LEASE_S = 10.0
DELETE_AT_ONCE = 20
R, S = requests.c, slices.c  # their columns


@dataclass(frozen=True)
class Status:
    """Where a request stands; responses in the order of the items, and usage, once done."""

    state: State
    model: str
    responses: list[Response] | None = None
    usage: dict[str, int] | None = None


class Load(NamedTuple):
    """An amount of work: the number of requests, of their items, and their size in bytes."""

    requests: int
    items: int
    bytes: int


class Claim(NamedTuple):
    """The right to compute a request, until another process claims it."""

    request_id: str
    model: str
    token: str
    attempt: int


class ClaimLost(EngineError):
    """The lease ran out, and another process has claimed the request."""


class Store:
    """The queue's tables. Methods block; EngineError when the database cannot be used."""

    def __init__(self, url: str | sa.URL) -> None:
        self.database = open_database(url)
        try:
            create_tables(self.database)
        except BaseException:
            self.database.close()
            raise

    def add(self, model: str, account: str, items: Sequence[Item], limits: Load) -> str:
        """Store a request and return its id, a UUID.

        Overloaded when it does not fit now, InputError when it never will.
        """
        parts, size = cut_into_slices(items)
        request_id = str(uuid.uuid4())
        rows = [{"request_id": request_id, "first": first, "input": text} for first, text in parts]
        with self.database.transaction() as connection:
            _admit(_load(connection), Load(1, len(items), size), limits)
            now = self.database.now(connection)
            request = sa.insert(requests).values(
                id=request_id,
                account=_account_key(account),
                model=model,
                item_count=len(items),
                byte_count=size,
                submitted_at=now,
                finished_at=None if parts else now,
            )
            connection.execute(request)
            if rows:
                connection.execute(sa.insert(slices), rows)
        return request_id

    def claim(self, limit: int) -> list[Claim]:
        """Claim up to `limit` requests that nobody computes, the oldest first."""
        query = (
            sa.select(R.id, R.model, R.attempts)
            .order_by(R.submitted_at, R.id)
            .limit(limit)
            .with_for_update(skip_locked=True)  # not on SQLite, which has one writer anyway
        )
        with self.database.transaction() as connection:
            now = self.database.now(connection)
            rows = connection.execute(query.where(unfinished, R.lease_until <= now))
            claims = [Claim(row.id, row.model, _token(), row.attempts + 1) for row in rows]
            for claim in claims:
                connection.execute(
                    sa.update(requests)
                    .where(R.id == claim.request_id)
                    .values(claim=claim.token, lease_until=now + LEASE_S, attempts=claim.attempt)
                )
        return claims

    def renew(self, claims: Collection[Claim], seconds: float = LEASE_S) -> None:
        """Make the leases of the claims run out `seconds` from now; 0 ends them at once."""
        held = unfinished & R.claim.in_([claim.token for claim in claims])
        with self.database.transaction() as connection:
            lease_until = self.database.now(connection) + seconds
            connection.execute(sa.update(requests).where(held).values(lease_until=lease_until))

    def next_slice(self, claim: Claim) -> tuple[int, list[Item]]:
        """The first slice without responses: the index of its first item, and its items."""
        query = (
            sa.select(S.first, S.input)
            .join(requests, R.id == S.request_id)
            .where(R.claim == claim.token, S.output.is_(None))
            .order_by(S.first)
            .limit(1)
        )
        with self.database.transaction() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise ClaimLost("another process has claimed it")
        return row.first, orjson.loads(row.input)

    def save(self, claim: Claim, first: int, responses: str) -> bool:
        """Store the responses of a slice; True when the request is finished by it."""
        held = sa.update(requests).where(unfinished, R.claim == claim.token)
        mine = S.request_id == claim.request_id
        with self.database.transaction() as connection:
            now = self.database.now(connection)
            if not connection.execute(held.values(lease_until=now + LEASE_S)).rowcount:
                raise ClaimLost("another process has claimed it")
            connection.execute(
                sa.update(slices).where(mine, S.first == first).values(output=responses)
            )
            rest = sa.select(S.first).where(mine, S.output.is_(None)).limit(1)
            finished = connection.execute(rest).first() is None
            if finished:
                connection.execute(held.values(finished_at=now))
        return finished

    def status(self, account: str, request_id: str, retention_seconds: float) -> Status | None:
        """The state and, once done, the responses; None for an id unknown to this account."""
        try:
            mine = R.id == str(uuid.UUID(request_id))
        except ValueError:
            return None
        query = sa.select(requests).where(mine, R.account == _account_key(account))
        with self.database.transaction() as connection:
            now = self.database.now(connection)
            row = connection.execute(query).first()
            if row is None or (row.finished_at or now) < now - retention_seconds:
                return None
            if row.finished_at is None:
                return Status("running" if row.lease_until > now else "queued", row.model)
            parts = sa.select(S.output).where(S.request_id == row.id).order_by(S.first)
            stored = connection.scalars(parts).all()
        if row.item_count and not stored:
            return None  # expired, and deleted between the two queries
        responses, tokens = decode(stored)
        usage = {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens}
        return Status("done", row.model, responses, usage)

    def waiting(self) -> dict[str, int]:
        """The number of unfinished requests by state, of all processes."""
        with self.database.transaction() as connection:
            held = sa.case((R.lease_until > self.database.now(connection), 1))
            query = sa.select(sa.func.count(), sa.func.count(held)).where(unfinished)
            every, running = connection.execute(query).one()
        return {"queued": every - running, "running": running}

    def delete_expired(self, retention_seconds: float) -> None:
        """Delete the requests that were finished longer ago than that, a few at once."""
        while True:
            with self.database.transaction() as connection:
                limit = self.database.now(connection) - retention_seconds
                query = sa.select(R.id).where(R.finished_at < limit).limit(DELETE_AT_ONCE)
                expired = connection.scalars(query.with_for_update(skip_locked=True)).all()
                connection.execute(sa.delete(requests).where(R.id.in_(expired)))
            if not expired:
                return
            self.database.erase_deleted()

    def close(self) -> None:
        """Close the connections, and let another process open the file."""
        self.database.close()


def _load(connection: sa.Connection) -> Load:
    """What is not finished."""
    sums = (sa.func.coalesce(sa.func.sum(column), 0) for column in (R.item_count, R.byte_count))
    query = sa.select(sa.func.count(), *sums).select_from(requests).where(unfinished)
    return Load(*map(int, connection.execute(query).one()))


def _admit(present: Load, new: Load, limits: Load) -> None:
    for what, there, more, limit in zip(Load._fields, present, new, limits, strict=True):
        if more > limit:
            raise InputError(f"a batch of {more} {what} never fits; at most {limit} do")
        if there + more > limit:
            raise Overloaded(
                f"the batch queue holds {there} {what} of at most {limit}, and {more} more "
                "do not fit; nothing was accepted, try again later"
            )


def _token() -> str:
    """Unlike any other, and it tells an operator which process computes the request."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4()}"


def _account_key(account: str) -> str:
    """An account as stored: any string, and not itself."""
    return hashlib.sha256(account.encode("utf-8", "surrogatepass")).hexdigest()[:32]
