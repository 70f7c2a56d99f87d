"""How many actors of how many threads a cluster holds, and its address."""

import socket
from typing import Any

import pytest

from engine.errors import EngineError, InputError
from engine.jobs.cluster import _check_reachable, places


def node(cpus: float | None, alive: bool = True) -> dict[str, Any]:
    return {"Alive": alive, "Resources": {} if cpus is None else {"CPU": cpus}}


@pytest.mark.parametrize(
    ("nodes", "threads", "expected"),
    [
        ([node(8)], None, (7, 1)),  # one CPU of each node is left to readers
        ([node(8), node(8)], None, (7, 2)),
        ([node(9), node(4)], None, (3, 3)),  # as many as the smallest node has room for
        ([node(9)], 2, (2, 4)),
        ([node(9), node(2)], 2, (2, 4)),
        ([node(8), node(64, alive=False), node(None), node(1)], None, (7, 1)),
    ],
)
def test_places(nodes: list[Any], threads: int | None, expected: tuple[int, int]) -> None:
    assert places(nodes, threads) == expected


@pytest.mark.parametrize(
    ("nodes", "threads", "told"),
    [
        ([node(1)], None, r"has 2 logical CPUs \(they have \[1\]\)"),
        ([node(4), node(2)], 4, r"has 5 logical CPUs \(they have \[2, 4\]\)"),
        ([], None, r"has 2 logical CPUs \(they have \[\]\)"),
    ],
)
def test_no_place(nodes: list[Any], threads: int | None, told: str) -> None:
    with pytest.raises(EngineError, match=told):
        places(nodes, threads)


def test_an_address_is_tried_before_ray_is() -> None:
    for known in ("auto", "local"):
        _check_reachable(known)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        _check_reachable(address)
    with pytest.raises(EngineError, match="no Ray cluster responds"):
        _check_reachable(address)
    for wrong in ("ray://host:1", "host", ":6379", "host:port"):
        with pytest.raises(InputError, match="give host:port of the head node"):
            _check_reachable(wrong)
