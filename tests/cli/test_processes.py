"""The command among pipes, signals and terminals, and without a network."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import HERE, ROOT, Run, feed, on_a_terminal, start
from tests.conftest import Load


def test_output_comes_while_input_is_open_and_ctrl_c_ends_it_quietly() -> None:
    with start("embed", *HERE, "-") as process:
        feed(process, b"some text\n" * 300)
        assert json.loads(process.stdout.readline())["text"] == "some text"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr.read() == b""


def test_ctrl_c_leaves_no_half_file(tmp_path: Path) -> None:
    with start("embed", *HERE, "-", "-o", str(tmp_path / "out.csv")) as process:
        feed(process, b"some text\n" * 300)
        until(lambda: any(path.stat().st_size for path in tmp_path.iterdir()))
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert list(tmp_path.iterdir()) == []


def until(condition: Any, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def test_a_reader_that_leaves_ends_it_quietly() -> None:
    with start("embed", *HERE, "-") as process:
        feed(process, b"some text\n" * 100_000)
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(30) == 141
        assert process.stderr.read() == b""


@pytest.mark.parametrize(
    ("closed", "complaint"), [("<&-", "Standard input is closed"), (">&-", "Standard output is")]
)
def test_closed_streams(closed: str, complaint: str) -> None:
    command = shlex.join([sys.executable, "-m", "engine", "embed", *HERE, "-"])
    done = subprocess.run(["sh", "-c", f"{command} {closed}"], cwd=ROOT, capture_output=True)
    assert done.returncode == 1
    assert done.stderr.decode().startswith(f"bge: error: {complaint}")


def test_a_full_disk(bge: Run) -> None:
    words = shlex.join([sys.executable, "-m", "engine", "embed", *HERE, "a"])
    done = subprocess.run(["sh", "-c", f"{words} > /dev/full"], cwd=ROOT, capture_output=True)
    assert (done.returncode, done.stderr) == (1, b"bge: error: No space left on device\n")
    run = bge("embed", *HERE, "a", "-o", "/dev/full")
    assert (run.status, run.err) == (1, "bge: error: No space left on device\n")


def test_a_reader_that_leaves_before_the_only_line() -> None:
    with start("embed", *HERE, "-") as process:
        process.stdout.close()
        process.stdin.write(b"some text\n")
        process.stdin.close()
        assert process.wait(30) == 141
        assert process.stderr.read() == b""
        process.stdin = None


BGE = [sys.executable, "-m", "engine"]


def test_a_terminal_shows_a_preview(load: Load) -> None:
    texts = ["a cat", "a\tvery\x1b[31m long " + "text " * 40]
    embedder = load("tiny", "reference")
    lines = on_a_terminal(*BGE, "embed", *HERE, *texts).splitlines()
    first = " ".join(f"{x:7.4f}" for x in embedder.encode(texts[0])[:5])
    assert lines[0] == f"{first} …  a cat"
    assert "a very·[31m long text" in lines[1] and lines[1].endswith("…") and len(lines[1]) < 80
    assert lines[2:] == [
        "(2, 40) float32, tiny, mean pooling, unit length",
        "All the numbers: in a pipe, or with -o FILE.",
    ]


def test_a_terminal_shows_progress_only_for_long_work(tmp_path: Path) -> None:
    (tmp_path / "texts").write_text("one\ntwo\n")
    words = ["embed", *HERE, "--file", str(tmp_path / "texts"), "-o", str(tmp_path / "out.npy")]
    assert "] 2 of 2 texts," in on_a_terminal(*BGE, *words)
    assert "2 texts," in on_a_terminal("sh", "-c", f"{shlex.join([*BGE, *words[:-2]])} | cat")
    assert on_a_terminal(*BGE, "embed", *HERE, "one", "-o", str(tmp_path / "out.npy")) == ""


@pytest.mark.parametrize("model", ["bge-base-en-v1.5", "all-MiniLM-L6-v2"])
def test_no_network_and_no_weights_ends_soon_with_the_ways_out(tmp_path: Path, model: str) -> None:
    nowhere = "http://127.0.0.1:9"
    environ = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "XDG_CACHE_HOME": str(tmp_path),
        "HF_ENDPOINT": nowhere,
        "PIP_INDEX_URL": nowhere,
        "PIP_CONFIG_FILE": os.devnull,
    }
    for name in ("HF_HOME", "HF_HUB_CACHE", "BGE_WEIGHTS", "BGE_DEBUG", "PIP_FIND_LINKS"):
        environ.pop(name, None)
    began = time.monotonic()
    process = start("embed", "--model", model, "x", cwd=tmp_path, env=environ)
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - began < 10
    assert (process.returncode, out) == (1, b"")
    message = err.decode()
    assert message.startswith(f"bge: error: {model} is not on this machine")
    assert message.count("bge: ") == 1 and "Traceback" not in message
    assert f"bge pull {model}" in message and f"weights/{model}/" in message
