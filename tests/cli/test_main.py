"""The command as a whole: help, wrong usage, mistakes, exit statuses."""

import io
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import engine
from engine.cli import inputs
from engine.cli.main import COMMANDS, EXTRA_COMMANDS, main
from tests.cli.command import HERE, ROOT, TINY, Run


@pytest.mark.parametrize("command", [*COMMANDS, *EXTRA_COMMANDS])
def test_every_command_has_help(bge: Run, command: str) -> None:
    run = bge(command, "--help")
    assert run.status == 0 and run.err == ""
    assert run.out.startswith(f"usage: bge {command} ")


WITHOUT = """
import sys
for name in sys.argv.pop(1).split(","):
    sys.modules[name] = None
from engine.cli.main import COMMANDS, EXTRA_COMMANDS, main
sys.exit(main())
"""


def without_extras(*words: str) -> "subprocess.CompletedProcess[str]":
    """The command where no extra is installed, nor what the engine itself computes with."""
    extras = "starlette,uvicorn,uvloop,orjson,prometheus_client,sqlalchemy,pyarrow,ray"
    command = [sys.executable, "-c", WITHOUT, f"{extras},numba,tokenizers", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "extra"), [("serve", "serve"), ("explore", "explore"), ("job", "jobs")]
)
def test_a_room_explains_itself_without_its_extra(command: str, extra: str) -> None:
    shown = without_extras(command, "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith(f"usage: bge {command} ") and "--model" in shown.stdout
    wrong = without_extras(command, "--what")
    assert wrong.returncode == 2 and f"usage: bge {command} " in wrong.stderr
    words = ["in.txt", "-o", "out"] if command == "job" else []
    run = without_extras(command, *words)
    assert run.returncode == 1
    assert run.stderr.startswith(f"bge: error: `bge {command}` needs ")
    assert run.stderr.endswith(f": pip install 'bge-engine[{extra}]'\n")


def test_version(bge: Run) -> None:
    assert bge("--version").out == f"bge-engine {engine.__version__}\n"


def test_no_command_shows_them_all_and_is_wrong_usage(bge: Run) -> None:
    run = bge()
    assert run.status == 2 and run.out == ""
    assert all(f"    {command} " in run.err for command in [*COMMANDS, *EXTRA_COMMANDS])


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["embed"], "give either texts, or --file F, or -"),
        (["embed", "a", "--file", "f"], "give either texts, or --file F, or -"),
        (["embed", "a", "-"], "- reads all texts from standard input"),
        (["embed", "a", "--field", "text"], "--field can be used only with --file or -"),
        (["embed", "a", "--format", "npy"], "--format npy needs -o FILE"),
        (["embed", "a", "--format", "parquet", "-o", "-"], "--format parquet needs -o FILE"),
        (["embed", "a", "-o", "out.arrow"], "-o out.arrow: .arrow is not a format of bge embed"),
        (
            ["embed", "a", "-o", "o.jsonl.GZ"],
            "one of .jsonl, .ndjson, .json, .csv, .npy, .parquet, or give --format",
        ),
        (["embed", "a", "-o", "out.txt"], "out.txt: .txt is not a format"),
        (["embed", "a", "--format", "xml"], "invalid choice: 'xml'"),
        (["embed", "a", "--threads", "0"], "'0' is not a positive integer"),
        (["embed", "a", "--truncate-dim", "-3"], "'-3' is not a positive integer"),
        (["embed", "a", "--query", "--prompt", "p"], "not allowed with argument"),
        (["embed", "a", "--thread", "2"], "--thread; did you mean --threads?"),
        (["embed", "a", "--precision", "int4"], "invalid choice: 'int4'"),
        (["similarity", "a"], "give two or more texts to compare"),
        (["verify", "all-MiniLM-L6-v2", "--precision", "int8"], "invalid choice: 'int8'"),
        (["pull"], "the following arguments are required: NAME"),
        (["embd", "a"], "there is no command 'embd'; did you mean embed?"),
        (["xyz"], "there is no command 'xyz'"),
        (["serve", "--prot", "1"], "did you mean --port?"),
        (["job", "x", "-o", "y", "--kep", "a"], "did you mean --keep?"),
    ],
)
def test_wrong_usage_is_status_2(bge: Run, words: list[str], complaint: str) -> None:
    run = bge(*words)
    assert run.status == 2 and run.out == ""
    assert complaint in run.err and run.err.startswith("usage: bge")


# --- mistakes: one line, status 1, no traceback


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--file", "nowhere.txt"], "No such file or directory: nowhere.txt"),
        (["--file", "/"], "Is a directory: /"),
        (["a", "-o", "nowhere/out.jsonl", "--model", "nope"], "nowhere/out.jsonl\n"),
        (["a", "--model", "bge-bas-en-v1.5"], "Did you mean bge-base-en-v1.5"),
        (["a", "--model", "./nowhere"], "There is no folder nowhere"),
        (["a", "--truncate-dim", "41"], "it must be an integer from 1 to 40"),
        (["-", "--field", "body"], "line 1: no field 'body'; its fields are: 'text'"),
        (["-", "--field", "text"], "line 2: not JSON"),
    ],
)
def test_a_mistake_is_one_line(bge: Run, words: list[str], complaint: str) -> None:
    run = bge("embed", *HERE, *words, stdin=b'{"text": "a"}\n{"text": \n')
    assert run.status == 1 and run.out == ""
    assert run.err.startswith("bge: error: ") and run.err.count("\n") == 1
    assert complaint in run.err


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b"[1, 2]", "line 1: a list; it must be an object with the field 'text'"),
        (b'{"text": 3}', "line 1: 'text' is a int; it must be a string"),
        (b"{}", "line 1: no field 'text'; its fields are: none"),
        (b"[" * 100_000, "line 1: not JSON"),
        (b'{"text": "caf\xe9"}', "line 1: not UTF-8 (byte 0xe9 at column 14)"),
    ],
)
def test_bad_rows_are_named(line: bytes, complaint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(line)))
    with pytest.raises(engine.InputError) as raised:
        list(inputs.open_texts(["-"], None, "text"))
    assert complaint in str(raised.value)


def test_a_broken_checkpoint(bge: Run, tmp_path: Path) -> None:
    shutil.copytree(TINY, tmp_path / "broken")
    with (tmp_path / "broken" / "model.safetensors").open("r+b") as file:
        file.truncate(1000)
    run = bge("embed", "a", "--precision", "reference", "--model", str(tmp_path / "broken"))
    assert run.status == 1 and run.err.startswith("bge: error: ") and "Traceback" not in run.err


def test_a_bug_asks_for_a_report(bge: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "load", lambda *_, **__: 1 / 0, raising=False)
    run = bge("embed", *HERE, "a")
    assert run.status == 1 and "Traceback" not in run.err
    assert "a bug in bge-engine" in run.err and "ZeroDivisionError" in run.err
    with pytest.raises(ZeroDivisionError):
        main(["embed", "a", "--debug"])
    monkeypatch.setenv("BGE_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        main(["embed", "a"])


def test_out_of_memory(bge: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(engine, "load", load, raising=False)
    run = bge("embed", "a")
    assert run.status == 1 and run.err == "bge: error: out of memory.\n"
