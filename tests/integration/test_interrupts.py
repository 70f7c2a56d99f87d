"""Exceptions from signal handlers: no hang, no leak, the right bits afterwards.

Reduced numbers; `python -m tests.integration.interrupts random --count 10000` is the long run.
"""

import subprocess
import sys

import pytest

from tests.fast import fast_process

PATIENCE_S = 240  # a hang is ended before that, with a traceback of every thread


def interrupts(kind: str, **options: object) -> str:
    """What `tests.integration.interrupts` prints, in a process of its own."""
    words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.interrupts", kind, *words],
        env=fast_process.environment(),
        cwd=fast_process.ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-8000:]
    return done.stdout


@pytest.mark.parametrize("callers", [0, 2])
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_random_moments(threads: int, callers: int) -> None:
    assert "500 interrupts" in interrupts("random", threads=threads, callers=callers, count=500)


@pytest.mark.parametrize("callers", [0, 2])
def test_every_bytecode_of_a_call(callers: int) -> None:
    assert "bytecodes" in interrupts("everywhere", threads=2, callers=callers)


@pytest.mark.parametrize("threads", [1, 2])
def test_every_bytecode_of_a_new_pools_life(threads: int) -> None:
    assert "bytecodes" in interrupts("first", threads=threads)


@pytest.mark.parametrize("callers", [0, 2])
def test_a_handler_that_encodes(callers: int) -> None:
    assert "100 nested" in interrupts("nested", threads=2, callers=callers, count=100)


@pytest.mark.parametrize("kind", ["everywhere", "random"])
def test_the_readable_model(kind: str) -> None:
    """It leaves numpy with as many threads as before, too."""
    interrupts(kind, precision="reference", threads=2, callers=1, count=100)
