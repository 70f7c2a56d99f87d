"""The runner's side of a worker: start it, ask it, stop its clock while another is measured."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.checkpoints import Checkpoint
from bench.machine import busy_seconds

ROOT = Path(__file__).parents[1]
PATIENCE = 300.0  # seconds; an engine that takes longer for one answer has failed

POOLS = ("OMP", "OPENBLAS", "MKL", "RAYON", "NUMBA")


class EngineFailed(Exception):
    """The worker died, or did not answer in time; the message ends with its last words."""


class Worker:
    """One engine in a process of its own.

    Between questions the process is stopped (SIGSTOP), so that threads which spin while they wait
    for work, as most engines' do, take no core from the engine whose turn it is.
    """

    def __init__(self, engine: str, checkpoint: Checkpoint, threads: int, texts: Path) -> None:
        self.engine = engine
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker", engine, checkpoint.folder, str(threads), texts],
            cwd=ROOT,
            env=environment(threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            start_new_session=True,
        )
        try:
            self._answer()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        self._signal(signal.SIGSTOP)

    def ask(self, command: str, *arguments: Any) -> dict[str, Any]:
        """The worker's answer; "others" in it: CPU seconds that other processes used meanwhile."""
        assert self.process.stdin
        self._signal(signal.SIGCONT)
        busy = busy_seconds()
        self.process.stdin.write(json.dumps([command, *arguments]).encode() + b"\n")
        self.process.stdin.flush()
        answer = self._answer()
        self._signal(signal.SIGSTOP)
        if "cpu" in answer:
            answer["others"] = max(0.0, busy_seconds() - busy - answer["cpu"])
        return answer

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout
        deadline = time.monotonic() + PATIENCE
        line = b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([self.process.stdout], [], [], deadline - time.monotonic())
            part = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            if not part:
                raise EngineFailed(self._last_words(timed_out=not ready))
            line += part
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _last_words(self, timed_out: bool) -> str:
        if timed_out:
            return f"no answer within {PATIENCE:.0f} s"
        self.process.wait()
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"ended with status {self.process.returncode}"

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._signal(signal.SIGKILL)
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            if stream:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


def environment(threads: int) -> dict[str, str]:
    """As many threads as we take for every library that reads a variable; no network."""
    quiet = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "PYTHONWARNINGS": "ignore"}
    return os.environ | {f"{pool}_NUM_THREADS": str(threads) for pool in POOLS} | quiet
