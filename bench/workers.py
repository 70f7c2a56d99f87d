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
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bench.checkpoints import Checkpoint
from bench.machine import busy_seconds
from bench.peers.batching import Settings

Vectors = NDArray[np.float32]
Sets = Mapping[str, Sequence[str]]  # texts by the name of their case

ROOT = Path(__file__).parents[1]
PATIENCE = 600.0  # seconds; an engine that takes longer for one answer has failed

POOLS = ("OMP", "OPENBLAS", "MKL", "RAYON", "NUMBA")


DEFAULT = Settings()


class EngineFailed(Exception):
    """The worker died, or did not answer in time; the message ends with its last words."""


class Worker:
    """One engine in a process of its own.

    Between questions the process is stopped (SIGSTOP), so that threads which spin while they wait
    for work, as most engines' do, take no core from the engine whose turn it is. It leads a group
    of its own but stays in our session: should the runner die, the kernel ends the stopped ones.
    """

    def __init__(self, engine: str, checkpoint: Checkpoint, threads: int, sets: Sets) -> None:
        self.engine = engine
        self.folder = tempfile.TemporaryDirectory()
        self.errors = Path(self.folder.name, "errors").open("w+b")  # noqa: SIM115
        texts = Path(self.folder.name, "texts.json")
        texts.write_text(json.dumps(sets), "utf-8")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker", engine, checkpoint.folder, str(threads), texts],
            cwd=ROOT,
            env=environment(1 if engine == "blas" else threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            process_group=0,
        )
        try:
            self._answer()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        self._signal(signal.SIGSTOP)

    def ask(self, command: str, *arguments: Any) -> dict[str, Any]:
        """The worker's answer; "others" in it: cores that other processes kept busy meanwhile."""
        assert self.process.stdin
        self._signal(signal.SIGCONT)
        busy, began = busy_seconds(), time.monotonic()
        self.process.stdin.write(json.dumps([command, *arguments]).encode() + b"\n")
        self.process.stdin.flush()
        answer = self._answer()
        self._signal(signal.SIGSTOP)
        others = busy_seconds() - busy - answer.pop("spent")
        answer["others"] = max(0.0, others / (time.monotonic() - began))
        return answer

    def encode(
        self,
        case: str,
        alone: bool = False,
        settings: Settings = DEFAULT,
        first: int | None = None,
    ) -> tuple[Vectors, float]:
        """The vectors of a set of texts, or of its first ones, and the peak of memory in MB after
        computing them."""
        file = Path(self.folder.name, "vectors.npy")
        answer = self.ask("encode", case, astuple(settings), str(file), alone, first)
        return np.load(file), answer["peak_mb"]

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
        self.folder.cleanup()


def environment(threads: int) -> dict[str, str]:
    """As many threads as we take for every library that reads a variable; no network."""
    quiet = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "PYTHONWARNINGS": "ignore"}
    return os.environ | {f"{pool}_NUM_THREADS": str(threads) for pool in POOLS} | quiet


def fresh_peak(
    engine: str,
    checkpoint: Checkpoint,
    threads: int,
    texts: Sequence[str],
    settings: Settings = DEFAULT,
) -> int:
    """MB: the peak of a new process that loads what was prepared before, and encodes once.

    A process that packed weights, converted a model or tried settings would tell more.
    """
    with Worker(engine, checkpoint, threads, {"texts": texts}) as worker:
        return round(worker.encode("texts", settings=settings)[1])
