"""Running the command `bge`: in this process, as a process of its own, or on a terminal."""

import io
import json
import os
import pty
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

from engine.cli.main import main
from tests.support.paths import ROOT

TINY = str(ROOT / "weights" / "tiny")
HERE = ["--model", TINY, "--precision", "reference"]
TEXTS = ["a cat", "", 'Zoë said "no", twice', "東京"]


class Run:
    """`main` in this process: its exit status, and what it wrote."""

    def __init__(self, captured: pytest.CaptureFixture[bytes], patch: pytest.MonkeyPatch) -> None:
        self._captured, self._patch = captured, patch
        patch.delenv("BGE_DEBUG", raising=False)
        patch.delenv("BGE_MODEL", raising=False)

    def __call__(self, *words: str, stdin: bytes = b"") -> "Run":
        self._captured.readouterr()
        self._patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        self.status = main(words)
        out, err = self._captured.readouterr()
        self.out, self.err = out.decode(), err.decode()
        return self

    def vectors(self) -> np.ndarray:
        rows = [json.loads(line)["embedding"] for line in self.out.splitlines()]
        return np.array(rows, np.float32)


def start(*words: str, **options: Any) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    usual = {"stdin": pipe, "stdout": pipe, "stderr": pipe, "cwd": ROOT}
    return subprocess.Popen([sys.executable, "-m", "engine", *words], **{**usual, **options})


def feed(process: subprocess.Popen[bytes], lines: bytes) -> threading.Thread:
    """Writes until the process has gone; standard input stays open."""
    assert process.stdin is not None

    def write() -> None:
        try:
            process.stdin.write(lines)
            process.stdin.flush()
        except BrokenPipeError:
            pass

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return thread


def on_a_terminal(*words: str, columns: int = 80, environ: dict[str, str] | None = None) -> str:
    """Both streams of a command, as a person at a terminal sees them; its status must be 0."""
    person, terminal = pty.openpty()
    environ = {**(environ or os.environ), "COLUMNS": str(columns)}
    process = subprocess.Popen(
        words, cwd=ROOT, env=environ, stdin=terminal, stdout=terminal, stderr=terminal
    )
    os.close(terminal)
    seen = b""
    while piece := _read_terminal(person):
        seen += piece
    os.close(person)
    assert process.wait(60) == 0, seen.decode()
    return seen.decode().replace("\r\n", "\n")


def _read_terminal(person: int) -> bytes:
    try:
        return os.read(person, 4096)
    except OSError:  # Linux says EIO when the other side has been closed
        return b""
