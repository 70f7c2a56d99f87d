"""`bge help`, `bge version`, and what a shell completes."""

import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import engine
from engine.cli import main, signals, topics
from engine.jobs import command as jobs_command
from engine.serve.settings import Settings
from tests.cli.command import ROOT, Run, on_a_terminal

INTERNAL = {"BGE_", "BGE_COMPILE_FOR", "BGE_COMPILE_PRECISION"}  # set by the engine for itself
VARIABLE = re.compile(r"\b(?:BGE|HF|XDG|OTEL|TRANSFORMERS)_[A-Z_]*")


def test_the_help_of_a_command_and_of_all(bge: Run) -> None:
    for words in (["embed"], ["serve"], ["job"], []):
        shown = bge("help", *words)
        assert shown.status == 0 and shown.out == bge(*words, "--help").out
    run = bge("help", "embd")
    assert run.status == 2 and "there is no command 'embd'; did you mean embed?" in run.err


def test_all_variables_that_the_package_reads_are_told(bge: Run) -> None:
    """Those that its source mentions, whether read here or by a library."""
    source = "".join(file.read_text("utf-8") for file in Path(engine.__file__).parent.rglob("*.py"))
    out = bge("help", "environment").out
    assert set(VARIABLE.findall(source)) - INTERNAL - set(VARIABLE.findall(out)) == set()
    assert re.search(r"^BGE_PORT +port to listen on; .* \[8787\]$", out, re.M)
    assert "BGE_API_TOKENS" in out and Settings().port == 8787


def test_all_exit_statuses_are_told(bge: Run) -> None:
    told = {int(line.split()[0]) for line in bge("help", "exit").out.splitlines()}
    signalled = {signals.Terminated(number).status for number in signals.NUMBERS}
    ours = {0, 1, 2, main.INTERRUPTED, main.BROKEN_PIPE, *signalled}
    of_jobs = {getattr(jobs_command, name) for name in ("DONE", "DAMAGED", "REJECTS")}
    assert told == ours | of_jobs | {jobs_command.INTERRUPTED}


@pytest.mark.parametrize("topic", topics.TOPICS)
def test_a_topic_fits_a_terminal(topic: str) -> None:
    lines = on_a_terminal(sys.executable, "-m", "engine", "help", topic).splitlines()
    assert lines and max(map(len, lines)) <= 80


def test_version_names_what_computes(bge: Run) -> None:
    rows = dict(line.split(maxsplit=1) for line in bge("version").out.splitlines())
    assert rows["bge-engine"] == engine.__version__
    assert rows["Python"] == sys.version.split()[0]
    assert {"numpy", "numba", "tokenizers", "safetensors", "machine"} < rows.keys()


def test_version_where_numba_is_missing(bge: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(package: str) -> str:
        if package == "numba":
            raise metadata.PackageNotFoundError(package)
        return "1.2"

    monkeypatch.setattr(metadata, "version", version)
    out = bge("version").out
    assert "numba        not installed\n" in out and "numpy        1.2\n" in out


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("bge em", {"embed"}),
        ("bge embed --trunc", {"--truncate-dim"}),
        ("bge embed --precision int", {"int16", "int8"}),
        ("bge serve --max-body", {"--max-body-bytes"}),
        ("bge job --format ", {"parquet", "npy"}),
        ("bge explore --op", {"--open"}),
        ("bge embed --file pyproj", {"pyproject.toml"}),
    ],
)
def test_a_shell_completes(line: str, expected: set[str], tmp_path: Path) -> None:
    found = tmp_path / "found"
    asked = {
        "_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "COMP_LINE": line,
        "COMP_POINT": str(len(line)), "_ARGCOMPLETE_STDOUT_FILENAME": str(found),
    }  # fmt: skip
    command = [sys.executable, "-m", "engine"]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **asked}, capture_output=True)
    assert (done.returncode, done.stdout) == (0, b"")
    assert {word.strip() for word in found.read_text().splitlines()} >= expected
