"""Pieces of Python in a process of their own: a fresh start, another CPU, another cache."""

import os
import subprocess
import sys

from tests.support.paths import ROOT


def environment(**changes: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **changes}


def run(script: str, *arguments: object, **changes: str) -> str:
    """What the script prints, with `changes` to the environment. Fails with what it complained."""
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        env=environment(**changes),
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout
