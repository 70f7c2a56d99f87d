"""Locks: one process at a time, and free when their process is gone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.system.locks import exclusive
from tests.fast import fast_process

HOLD = """
import os, sys, time
from engine.system.locks import exclusive
with exclusive(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
    print(time.monotonic(), flush=True)
"""


def holder(path: Path, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, str(path), str(seconds)]
    return subprocess.Popen(
        command, env=fast_process.environment(), stdout=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_another_process_waits_until_it_is_free(tmp_path: Path) -> None:
    first = holder(tmp_path / "lock", 0.5)
    assert first.stdout and first.stdout.readline() == "held\n"
    second = holder(tmp_path / "lock", 0)
    ends = [float(process.communicate(timeout=60)[0].split()[-1]) for process in (first, second)]
    assert ends[0] < ends[1]


def test_a_lock_goes_with_its_process(tmp_path: Path) -> None:
    process = holder(tmp_path / "lock", 600)
    assert process.stdout and process.stdout.readline() == "held\n"
    process.kill()
    process.communicate()
    with exclusive(os.open(tmp_path / "lock", os.O_RDWR)):
        pass


def test_the_descriptor_is_closed(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    with exclusive(descriptor):
        os.fstat(descriptor)
    try:
        os.fstat(descriptor)
    except OSError:
        return
    raise AssertionError("still open")
