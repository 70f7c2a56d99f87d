"""The order in which the texts of many requests are taken."""

import threading
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from engine.serve.batching.fair_queue import FairQueue


class Work(str):
    """A request: its name. Capital letters are large requests; all are of the same age."""

    accepted = 0.0

    @property
    def size_class(self):
        return int(self.isupper())


class Older(Work):
    accepted = -1.0


@dataclass(frozen=True)
class Item:
    work: Work
    cost: int = 1
    background: bool = False
    number: int = 0

    def __post_init__(self):
        if type(self.work) is str:
            object.__setattr__(self, "work", Work(self.work))


def items(work, costs, background=False):
    return [Item(work, cost, background, i) for i, cost in enumerate(costs)]


def jobs(batch):
    return "".join(item.work for item in batch)


def drained(turns, budget):
    turns.close()
    return list(iter(lambda: turns.take(budget), []))


def test_a_batch_stays_within_the_budget_and_keeps_the_order_of_a_request():
    turns = FairQueue(turn=4, cap=100)
    turns.add(items("a", [3, 3, 3, 3]))
    first, second = drained(turns, 6)
    assert [item.number for item in first + second] == [0, 1, 2, 3]
    assert [len(first), len(second)] == [2, 2]


def test_an_item_over_the_budget_is_a_batch_by_itself():
    turns = FairQueue(turn=4, cap=100)
    turns.add(items("a", [1]) + items("b", [50]) + items("c", [1]))
    assert [jobs(batch) for batch in drained(turns, 6)] == ["a", "b", "c"]


def test_large_and_small_requests_do_not_starve_each_other():
    turns = FairQueue(turn=4, cap=100)
    turns.add(items("G", [1] * 100))
    turns.add([Item(str(i)) for i in range(6)])
    batch = jobs(turns.take(12))
    assert set(batch) == set("G012345")
    turns.add([Item(str(i)) for i in range(6)])
    assert jobs(turns.take(12)).count("G") >= 4


def test_of_one_size_the_oldest_ends_first():
    turns = FairQueue(turn=2, cap=100)
    turns.add(items("a", [1] * 4) + items("b", [1] * 4) + items("c", [1] * 4))
    assert [jobs(batch) for batch in drained(turns, 6)] == ["aaaabb", "bbcccc"]


def test_an_old_request_that_comes_back_is_the_oldest_again():
    turns = FairQueue(turn=2, cap=100)
    turns.add(items("b", [1] * 4))
    turns.add(items(Older("a"), [1] * 4))
    assert jobs(turns.take(6)) == "aaaabb"


def test_a_size_has_as_many_turns_as_requests():
    turns = FairQueue(turn=1, cap=100)
    turns.add(items("A", [1] * 9) + items("B", [1] * 9) + items("c", [1] * 9))
    assert [jobs(turns.take(3)) for _ in range(3)] == ["AAc"] * 3
    turns.discard(Work("A"))
    assert [jobs(turns.take(2)) for _ in range(2)] == ["Bc"] * 2


def test_an_item_that_does_not_fit_starts_the_next_batch():
    turns = FairQueue(turn=8, cap=100)
    turns.add([Item("a", 3)])
    turns.add([Item("b", 8)])
    turns.add([Item("c", 1)])
    assert jobs(turns.take(8)) == "a"
    assert jobs(turns.take(9)) == "bc"


def test_the_background_makes_progress_in_every_batch():
    turns = FairQueue(turn=4, cap=100)
    turns.add(items("b", [2] * 10, background=True))
    turns.add(items("f", [2] * 6))
    assert jobs(turns.take(6)) == "fffb"
    assert jobs(turns.take(6)) == "fffb"
    assert jobs(turns.take(6)) == "bbb"


def test_load_counts_the_foreground_and_each_request_up_to_the_cap():
    turns = FairQueue(turn=4, cap=10)
    turns.add(items("G", [1] * 100))
    turns.add(items("s", [3]))
    turns.add(items("b", [5], background=True))
    assert turns.load == 13
    turns.discard(Work("G"))
    assert turns.load == 3
    assert jobs(turns.take(100)) == "sb"
    assert turns.load == 0


def test_take_waits_for_an_item_and_ends_when_closed():
    turns = FairQueue(turn=4, cap=10)
    got = []
    thread = threading.Thread(target=lambda: got.extend([turns.take(4), turns.take(4)]))
    thread.start()
    turns.add([Item("a")])
    turns.close()
    thread.join(5)
    assert [jobs(batch) for batch in got] == ["a", ""]


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 9), st.booleans()), max_size=60),
    st.integers(1, 12),
    st.integers(1, 30),
)
def test_every_item_is_taken_once_and_in_the_order_of_its_request(given_items, turn, budget):
    turns = FairQueue(turn=turn, cap=20)
    # a work is either in the foreground or in the background
    added = [
        Item(Work(work + "fb"[background]), cost, background, i)
        for i, (work, cost, background) in enumerate(given_items)
    ]
    turns.add(added)
    batches = drained(turns, budget)
    taken = [item for batch in batches for item in batch]
    assert sorted(item.number for item in taken) == list(range(len(added)))
    for work in {item.work for item in added}:
        numbers = [item.number for item in taken if item.work == work]
        assert numbers == sorted(numbers)
    assert turns.load == 0
    assert all(sum(i.cost for i in batch) <= max(budget, 9) + 9 for batch in batches)


def test_items_left_by_one_thread_wake_another():
    turns = FairQueue(turn=1, cap=10)
    got = []
    takers = [threading.Thread(target=lambda: got.append(turns.take(2))) for _ in range(3)]
    for taker in takers:
        taker.start()
    turns.add([Item("a", number=i) for i in range(6)])
    for taker in takers:
        taker.join(5)
    assert sorted(item.number for batch in got for item in batch) == list(range(6))
