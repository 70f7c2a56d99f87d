"""What is admitted, who is an orphan, and what is deleted."""

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from dbos import DBOS

from engine.errors import InputError, Overloaded
from engine.serve.queue.keeper import MAX_ATTEMPTS, Keeper, Load, admit


class Store:
    """A register of processes; those in `alive` hold their names."""

    def __init__(self) -> None:
        self.alive = {"me"}
        self.held: list[str] = []

    def hold(self, executor: str) -> None:
        self.held.append(executor)

    @contextlib.contextmanager
    def vacant(self, executor: str) -> Iterator[bool]:
        yield executor not in self.alive

    def tidy(self) -> None:
        pass


class Rows:
    """The requests in the database, and what was done to them."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.found: list[Any] = []
        self.resumed: list[str] = []
        self.cancelled: list[str] = []
        self.attempts: dict[str, int] = {}
        patch.setattr("engine.serve.queue.keeper.rows", self.rows)
        patch.setattr(DBOS, "resume_workflow", lambda i, **_: self.resumed.append(i))
        patch.setattr(DBOS, "cancel_workflow", self.cancelled.append)
        patch.setattr(DBOS, "update_workflow_attributes", self.update)

    def update(self, request: str, attributes: dict[str, int], merge: bool) -> None:
        self.attempts[request] = attributes["attempts"]

    def add(self, request: str, executor: str, attempts: int = 0) -> None:
        row = SimpleNamespace(
            workflow_id=request, executor_id=executor, attributes={"attempts": attempts}
        )
        self.found.append(row)

    def rows(self, status: Any, executor_id: str | None = None, **_: Any) -> list[Any]:
        if status != "PENDING":
            return []
        return [row for row in self.found if executor_id in (None, row.executor_id)]


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Rows:
    return Rows(monkeypatch)


def test_an_orphan_is_taken_over_on_the_second_beat_and_not_on_the_first(database: Rows) -> None:
    store: Any = Store()
    keeper = Keeper(store, "me", [], 60.0)
    database.add("a", "dead")
    keeper.beat()
    assert database.resumed == []
    database.add("b", "dead")  # seen for the first time when `a` is for the second
    keeper.beat()
    assert database.resumed == ["a"] and database.attempts == {"a": 1}
    assert store.held == ["me", "me"]
    keeper.beat()
    assert database.resumed == ["a", "a", "b"]


def test_a_sign_of_life_between_two_beats_counts(database: Rows) -> None:
    store: Any = Store()
    keeper = Keeper(store, "me", [], 60.0)
    database.add("a", "late")
    keeper.beat()
    store.alive.add("late")
    keeper.beat()
    store.alive.remove("late")
    keeper.beat()
    assert database.resumed == []  # two beats in a row are needed
    keeper.beat()
    assert database.resumed == ["a"]


def test_own_requests_are_orphans_unless_they_are_in_hand(database: Rows) -> None:
    store: Any = Store()
    in_hand = ["computing"]
    keeper = Keeper(store, "me", in_hand, 60.0)
    database.add("computing", "me")
    database.add("lost", "me")
    keeper.beat()
    keeper.beat()
    assert database.resumed == ["lost"]


def test_a_request_that_ends_its_processes_is_given_up(database: Rows) -> None:
    store: Any = Store()
    keeper = Keeper(store, "me", [], 60.0)
    database.add("last", "dead", attempts=MAX_ATTEMPTS - 1)
    database.add("over", "dead", attempts=MAX_ATTEMPTS)
    keeper.beat()
    keeper.beat()
    assert (database.resumed, database.cancelled) == (["last"], ["over"])


@pytest.mark.parametrize("field", Load._fields)
def test_admission_counts_requests_items_and_bytes(
    monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    bounds, there = Load(10, 10, 10), Load(4, 4, 4)
    monkeypatch.setattr("engine.serve.queue.keeper.load_of", lambda store: there)
    store: Any = None
    admit(store, bounds, Load(6, 6, 6))
    with pytest.raises(Overloaded, match=f"holds 4 {field} of at most 10, and 7 more"):
        admit(store, bounds, Load(1, 1, 1)._replace(**{field: 7}))
    with pytest.raises(InputError, match=f"a batch of 11 {field} never fits; at most 10 do"):
        admit(store, bounds, Load(1, 1, 1)._replace(**{field: 11}))


def test_answers_that_expired_are_deleted_a_few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = [SimpleNamespace(workflow_id=str(n)) for n in range(45)]
    asked: list[Any] = []
    deleted: list[list[str]] = []

    def rows(status: Any, limit: int = 99, **filters: Any) -> list[Any]:
        if status == "PENDING":
            return []
        asked.append((status, filters))
        return kept[:limit]

    def delete(ids: list[str]) -> None:
        deleted.append(ids)
        del kept[: len(ids)]

    monkeypatch.setattr("engine.serve.queue.keeper.rows", rows)
    monkeypatch.setattr(DBOS, "delete_workflows", delete)
    store: Any = Store()
    keeper = Keeper(store, "me", [], 60.0)
    keeper.beat()
    assert [len(ids) for ids in deleted] == [20, 20, 5] and kept == []
    assert {"PENDING", "ENQUEUED"}.isdisjoint(asked[0][0]) and "completed_before" in asked[0][1]
    seen = len(asked)
    keeper.beat()  # the next sweep is not due yet
    assert len(asked) == seen
