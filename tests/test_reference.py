"""The readable model over many texts: order, memory, errors, forks, interrupts."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import engine
from engine.model import encode
from engine.system import blas
from tests.fast import fast_process
from tests.support import checkpoints
from tests.support.texts import SENTENCES


@pytest.fixture
def two() -> Iterator[engine.Embedder]:
    with engine.load(checkpoints.tiny(), precision="reference", threads=2) as one:
        yield one


def test_pooled_vectors_come_from_the_hidden_states(two: engine.Embedder) -> None:
    ids = [tokens.ids for tokens in two.tokenize(SENTENCES[:70])]
    states = two._encoder.hidden(ids)
    assert [len(x_LD) for x_LD in states] == [len(one) for one in ids]
    expected = [x_LD.mean(axis=0) if i % 2 else x_LD[0] for i, x_LD in enumerate(states)]
    found = two._encoder.pooled(ids, ["cls", "mean"] * 35)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_nothing_gives_nothing(two: engine.Embedder) -> None:
    assert two._encoder.pooled([], []).shape == (0, 40)
    assert two._encoder.hidden([]) == []


def test_at_most_as_many_batches_at_once_as_threads(
    two: engine.Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many callers there are."""
    monkeypatch.setattr("engine.reference.BUDGET", 64)
    lock, inside, most = threading.Lock(), [0], [0]

    def counted(*arguments: object) -> object:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        time.sleep(0.001)
        with lock:
            inside[0] -= 1
        return encode(*arguments)

    monkeypatch.setattr("engine.reference.model.encode", counted)
    with ThreadPoolExecutor(4) as callers:
        list(callers.map(two.encode, [SENTENCES[:40]] * 8))
    assert most == [2]


def test_an_error_ends_the_call_and_nothing_else(
    two: engine.Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.reference.BUDGET", 64)
    before, expected = blas.products_threads(), two.encode(SENTENCES[:70])
    begun = list[int]()

    def fail(*arguments: object) -> object:
        begun.append(0)
        raise IndexError("no such row")  # as of an id beyond the table

    with monkeypatch.context() as patch:
        patch.setattr("engine.reference.model.encode", fail)
        with pytest.raises(IndexError, match="no such row"):
            two.encode(SENTENCES[:70])
    assert len(begun) <= 2  # batches that had not begun never did
    np.testing.assert_allclose(two.encode(SENTENCES[:70]), expected, rtol=0, atol=1e-6)
    assert blas.products_threads() == before


FORKS = """
import faulthandler, os, signal, sys, threading, time
import numpy as np
import engine
from tests.support import checkpoints
from tests.support.texts import SENTENCES

faulthandler.dump_traceback_later(100, exit=True)
one = engine.load(checkpoints.minilm(), precision="reference", threads=int(sys.argv[1]))
texts = SENTENCES[:int(sys.argv[2])]
expected, stop = one.encode(SENTENCES[:3]), threading.Event()

def work():
    while not stop.is_set():
        one.encode(texts)

thread = threading.Thread(target=work)
thread.start()
for attempt in range(5):
    time.sleep(0.02 * attempt)
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        os._exit(0 if np.allclose(one.encode(SENTENCES[:3]), expected, rtol=0, atol=1e-6) else 9)
    assert os.waitpid(child, 0)[1] == 0
assert np.allclose(one.encode(SENTENCES[:3]), expected, rtol=0, atol=1e-6)
stop.set()
thread.join()
print("as before")
"""


@pytest.mark.slow
@pytest.mark.parametrize(("threads", "texts"), [(1, 70), (2, 3), (2, 70), (2, 300)])
def test_forks_while_it_computes(threads: int, texts: int) -> None:
    """OpenBLAS would hang in the parent: its fork handler waits for a thread that computes."""
    assert fast_process.run(FORKS, threads, texts) == "as before\n"


INTERRUPTED = """
import signal, sys, time
import engine
from tests.support import checkpoints
from tests.support.texts import SENTENCES

one = engine.load(checkpoints.minilm(), precision=sys.argv[1], threads=2)
many = one.tokenize([" ".join(SENTENCES)]) * 20_000
one.encode_tokens(many[:8])
print("ready", flush=True)
one.encode_tokens(many)
"""


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["reference", "float32"])
def test_the_interpreter_ends_while_a_batch_is_under_way(precision: str) -> None:
    """Ctrl-C that nobody catches: a traceback and exit code 1, no crash and no hang."""
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, precision],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=fast_process.environment(),
    )
    with process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        time.sleep(1)
        process.send_signal(2)
        errors = process.communicate(timeout=120)[1]
    assert errors.endswith("KeyboardInterrupt\n")
    assert process.returncode == -2  # as Python ends after Ctrl-C
