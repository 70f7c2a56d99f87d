"""Who may compute a request, what is admitted, and what is deleted."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from engine.errors import InputError, Overloaded
from engine.serve.queue import store as module
from engine.serve.queue.responses import encode
from engine.serve.queue.store import Claim, ClaimLost, Load, Store
from engine.serve.queue.tables import requests, slices
from tests.serve.queue.local import everything

NO_LIMITS = Load(1000, 100_000, 1 << 30)
ITEMS = [{"text": str(n), "external_reference": n} for n in range(70)]  # three slices
Add = Callable[..., str]


@pytest.fixture
def store(queue_url: str) -> Iterator[Store]:
    opened = Store(queue_url)
    yield opened
    opened.close()


def add(store: Store, items: list[dict[str, Any]] = ITEMS) -> str:
    return store.add("model", "account", items, NO_LIMITS)


def compute_slice(store: Store, claim: Claim, tokens: int = 1) -> bool:
    first, items = store.next_slice(claim)
    outcome = {"success": True, "result": {"by": claim.attempt}, "prompt_tokens": tokens}
    return store.save(claim, first, encode(first, items, [outcome] * len(items)))


def state(store: Store, request_id: str) -> str | None:
    status = store.status("account", request_id, 60.0)
    return status and status.state


def test_a_request_is_queued_then_running_then_done(store: Store) -> None:
    request_id = add(store)
    assert state(store, request_id) == "queued"
    assert store.waiting() == {"queued": 1, "running": 0}
    (claim,) = store.claim(8)
    assert (claim.request_id, claim.model, claim.attempt) == (request_id, "model", 1)
    assert state(store, request_id) == "running"
    add(store)
    assert store.waiting() == {"queued": 1, "running": 1}
    store.claim(8)
    assert [compute_slice(store, claim) for _ in range(3)] == [False, False, True]
    status = store.status("account", request_id, 60.0)
    assert status is not None and (status.state, status.model) == ("done", "model")
    assert status.responses is not None
    assert [response["external_reference"] for response in status.responses] == list(range(70))
    assert status.usage == {"prompt_tokens": 70, "completion_tokens": 0, "total_tokens": 70}
    assert store.claim(8) == []
    assert store.waiting() == {"queued": 0, "running": 1}


def test_the_oldest_requests_are_claimed_first_and_each_once(store: Store) -> None:
    ids = [add(store) for _ in range(5)]
    assert [claim.request_id for claim in store.claim(2)] == ids[:2]
    assert [claim.request_id for claim in store.claim(8)] == ids[2:]
    assert store.claim(8) == []


def test_a_request_is_free_again_when_the_lease_is_over(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id = add(store)
    monkeypatch.setattr(module, "LEASE_S", 0.2)
    (dead,) = store.claim(8)
    assert store.claim(8) == []
    time.sleep(0.25)
    assert state(store, request_id) == "queued"
    (heir,) = store.claim(8)
    assert heir.request_id == request_id and heir.attempt == 2 and heir.token != dead.token


def test_a_renewed_lease_holds_and_one_of_no_seconds_is_over(store: Store) -> None:
    add(store), add(store)
    first, second = store.claim(8)
    store.renew([first], 60.0)
    store.renew([second], 0.0)
    assert [claim.request_id for claim in store.claim(8)] == [second.request_id]


def test_a_process_that_lost_its_claim_stores_nothing(store: Store) -> None:
    request_id = add(store)
    (late,) = store.claim(1)
    compute_slice(store, late)
    first, items = store.next_slice(late)
    store.renew([late], 0.0)
    (heir,) = store.claim(1)
    with pytest.raises(ClaimLost):
        store.save(late, first, encode(first, items, [{"success": True, "result": 0}] * 32))
    with pytest.raises(ClaimLost):
        store.next_slice(late)
    store.renew([late], 0.0)  # does not end the heir's lease
    assert store.claim(1) == []
    assert store.next_slice(heir)[0] == 32  # work that was stored is not repeated
    assert [compute_slice(store, heir) for _ in range(2)] == [False, True]
    with pytest.raises(ClaimLost):
        store.save(heir, first, "[]")  # finished: nothing changes any more
    status = store.status("account", request_id, 60.0)
    assert status is not None and status.responses is not None
    assert [r["result"]["by"] for r in status.responses] == [1] * 32 + [2] * 38


def test_whoever_opens_a_sqlite_file_inherits_its_claims(queue_file: str) -> None:
    store = Store(queue_file)
    request_id = add(store)
    assert store.claim(8)
    store.close()
    store = Store(queue_file)
    assert [claim.request_id for claim in store.claim(8)] == [request_id]
    store.close()


def test_old_versions_of_sqlite_understand_every_statement(queue_file: str) -> None:
    """RETURNING needs SQLite 3.35, and Python 3.11 runs with 3.7.15."""
    statements: list[str] = []
    store = Store(queue_file)

    @sa.event.listens_for(store.database.engine, "before_cursor_execute")
    def executed(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    add(store)
    (claim,) = store.claim(8)
    while not compute_slice(store, claim):
        store.renew([claim])
    store.delete_expired(-1.0)
    store.close()
    assert {statement.split()[0] for statement in statements} == {
        "BEGIN", "INSERT", "SELECT", "UPDATE", "DELETE",
    }  # fmt: skip
    newer = ("RETURNING", "CONFLICT", "OVER", "FILTER", "WITH", "->", "STRICT")
    assert not [word for word in newer if word in " ".join(statements)]


def test_a_request_without_items_is_done(store: Store) -> None:
    request_id = add(store, [])
    status = store.status("account", request_id, 60.0)
    assert status is not None and (status.state, status.responses) == ("done", [])


def test_a_request_is_known_to_its_account_only(store: Store) -> None:
    request_id = add(store)
    assert state(store, request_id.upper()) == "queued"
    assert store.status("other", request_id, 60.0) is None
    for unknown in ("", "x", "\0", request_id + "\0", "768f15b7-4fd6-4498-906e-ad94ffc7f8d2"):
        assert store.status("account", unknown, 60.0) is None


@pytest.mark.parametrize("field", Load._fields)
def test_admission_counts_requests_items_and_bytes(store: Store, field: str) -> None:
    items = [{"t": "x" * (10 - len('{"t":""}'))}]
    present = Load(2, 6, 60)
    for _ in range(2):
        store.add("model", "account", items * 3, NO_LIMITS)
    more = getattr(Load(1, 3, 30), field)
    held = getattr(present, field)
    store.add("model", "account", items * 3, NO_LIMITS._replace(**{field: held + more}))
    (claim,) = store.claim(1)  # what runs counts like what waits
    limits = NO_LIMITS._replace(**{field: held + 2 * more - 1})
    message = f"holds {held + more} {field} of at most {held + 2 * more - 1}, and {more} more"
    with pytest.raises(Overloaded, match=message):
        store.add("model", "account", items * 3, limits)
    assert compute_slice(store, claim)  # what is done does not
    store.add("model", "account", items * 3, limits)
    with pytest.raises(InputError, match=f"batch of {more} {field} never fits; at most {more - 1}"):
        store.add("model", "account", items * 3, NO_LIMITS._replace(**{field: more - 1}))


def test_what_expired_is_deleted_a_few_at_once(store: Store, queue_url: str) -> None:
    old = [add(store, [{"text": "expiring"}]) for _ in range(45)]
    for claim in store.claim(45):
        compute_slice(store, claim)
    with store.database.transaction() as connection:
        connection.execute(sa.update(requests).values(finished_at=requests.c.finished_at - 100))
    kept, unfinished = add(store, [{"text": "kept"}]), add(store, [{"text": "unfinished"}])
    compute_slice(store, store.claim(1)[0])
    assert state(store, old[0]) is None and state(store, kept) == "done"  # expired, not yet deleted
    assert any("expiring" in str(value) for value in everything(queue_url))
    store.delete_expired(60.0)
    assert not any("expiring" in str(value) for value in everything(queue_url))
    assert (state(store, kept), state(store, unfinished)) == ("done", "queued")
    with store.database.transaction() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(slices)) == 2
