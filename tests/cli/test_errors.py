"""What is the environment's fault is not called a bug, and a bug is."""

import errno
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import engine
from engine.cli.errors import explain
from engine.errors import CheckpointError, NotFinite
from tests.cli.command import HERE, ROOT, Run
from tests.serve.fake_embedder import FakeEmbedder


class NumbaError(Exception):
    pass


NumbaError.__module__ = "numba.core.errors"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (CheckpointError("config.json: hidden_size is 0"), "config.json: hidden_size is 0"),
        (NotFinite("text 0: not finite", [0]), "text 0: not finite"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "Permission denied: /x"),
        (OSError("libgomp.so.1: cannot open shared object file"), "libgomp.so.1: cannot open"),
        (MemoryError(), "out of memory."),
        (MemoryError("Unable to allocate 3 GiB"), "out of memory: Unable to allocate 3 GiB"),
        (UnicodeEncodeError("ascii", "Zoë", 2, 3, "no"), "'ë' cannot be written in the encoding"),
        (RuntimeError("can't start new thread"), "lower --threads, or raise ulimit -u"),
        (ModuleNotFoundError("No module named 'numba'", name="numba"), "pip install --force"),
        (ImportError("DLL load failed", name="llvmlite"), "cannot be imported: DLL load failed"),
        (ImportError("libstdc++.so.6: no"), "cannot be imported: libstdc++.so.6"),
        (NumbaError("no target"), "the compiler failed: NumbaError: no target"),
    ],
)
def test_not_a_bug(error: Exception, told: str) -> None:
    assert told in explain(error) and "a bug" not in explain(error)


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError("division by zero"),
        RuntimeError("a lock is lost"),
        ImportError("cannot import name 'x'", name="engine.model"),
        UnicodeDecodeError("ascii", b"\xff", 0, 1, "no"),
    ],
)
def test_a_bug(error: Exception) -> None:
    told = explain(error)
    assert told.startswith(f"a bug in bge-engine {engine.__version__}: {type(error).__name__}: ")
    assert "--debug" in told


@pytest.mark.parametrize("form", ["jsonl", "json", "csv", "preview"])
def test_a_vector_that_is_not_finite_is_status_1_and_nothing_is_written(
    bge: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, form: str
) -> None:
    monkeypatch.setattr(engine, "load", lambda *_, **__: FakeEmbedder(), raising=False)
    words = ("embed", "a", "w" * 777, "--format", form)
    for run in (bge(*words), bge(*words, "-o", str(tmp_path / "out"))):
        assert (run.status, run.out) == (1, "")
        assert run.err == "bge: error: vectors that are not finite: of texts [1]\n"
    assert list(tmp_path.iterdir()) == []


def shell(command: str, **environ: str) -> "subprocess.CompletedProcess[bytes]":
    words = shlex.join([sys.executable, "-m", "engine", "embed", *HERE, "word " * 200])
    return subprocess.run(
        ["sh", "-c", command.format(words)],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
    )


@pytest.mark.slow
def test_a_closed_standard_error_keeps_warnings_out_of_the_data() -> None:
    shown = shell("{}")
    assert b"warning: 1 of 1 texts" in shown.stderr
    for hidden in (shell("{} 2>&-"), shell("{} 2>/dev/null")):
        assert (hidden.returncode, hidden.stdout) == (0, shown.stdout)


def test_an_encoding_without_the_characters_is_no_bug() -> None:
    done = shell("{} --help", PYTHONIOENCODING="ascii", PYTHONUTF8="0", BGE_MODEL="Zoë")
    assert done.returncode == 1
    assert done.stderr.startswith(b"bge: error: '\\xeb' cannot be written in the encoding ascii")


def test_texts_and_vectors_are_utf8_whatever_the_locale() -> None:
    plain = shell("{} '東京'", LC_ALL="C", PYTHONIOENCODING="ascii")
    assert plain.returncode == 0 and '"text": "東京"'.encode() in plain.stdout
