"""The command `bge`: its inputs, formats, exit statuses, and what it does when things go wrong.

Most tests call `main` in this process on the tiny checkpoint. Those about pipes, terminals and
signals start a process of their own.
"""

import csv
import io
import json
import os
import pty
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import engine
from engine import cli, cli_embed, cli_input, cli_output, loading, registry
from engine.cli import main

ROOT = Path(engine.__file__).parent.parent
TINY = str(ROOT / "weights" / "tiny")
HERE = ["--model", TINY, "--precision", "reference"]
TEXTS = ["a cat", "", 'Zoë said "no", twice', "東京"]


@pytest.fixture(scope="module")
def embedder() -> Iterator[engine.Embedder]:
    with engine.load(TINY, precision="reference") as embedder:
        yield embedder


class Run:
    """`main` in this process: its exit status, and what it wrote."""

    def __init__(self, capfdbinary: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self._captured, self._patch = capfdbinary, monkeypatch

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


@pytest.fixture
def bge(capfdbinary: Any, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.delenv("BGE_DEBUG", raising=False)
    monkeypatch.delenv("BGE_MODEL", raising=False)
    return Run(capfdbinary, monkeypatch)


# --- the command itself


@pytest.mark.parametrize("command", [*cli.COMMANDS, *cli.ROOMS])
def test_every_command_has_help(bge: Run, command: str) -> None:
    run = bge(command, "--help")
    assert run.status == 0 and run.err == ""
    assert run.out.startswith(f"usage: bge {command} ")


def test_version(bge: Run) -> None:
    assert bge("--version").out == f"bge-engine {engine.__version__}\n"


def test_no_command_shows_them_all_and_is_wrong_usage(bge: Run) -> None:
    run = bge()
    assert run.status == 2 and run.out == ""
    assert all(f"    {command} " in run.err for command in [*cli.COMMANDS, *cli.ROOMS])


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["embed"], "give texts, or --file F, or -"),
        (["embed", "a", "--file", "f"], "give texts, or --file F, or -"),
        (["embed", "a", "-"], "- stands for all the texts"),
        (["embed", "a", "--field", "text"], "--field is for the lines of --file or -"),
        (["embed", "a", "--format", "npy"], "--format npy needs -o FILE"),
        (["embed", "a", "--format", "xml"], "invalid choice: 'xml'"),
        (["embed", "a", "--threads", "0"], "'0' is not a positive whole number"),
        (["embed", "a", "--truncate-dim", "-3"], "'-3' is not a positive whole number"),
        (["embed", "a", "--query", "--prompt", "p"], "not allowed with argument"),
        (["embed", "a", "--prec", "int8"], "unrecognized arguments: --prec"),
        (["embed", "a", "--precision", "int4"], "invalid choice: 'int4'"),
        (["similarity", "a"], "one text has nothing to be compared with"),
        (["verify", "all-MiniLM-L6-v2", "--precision", "int8"], "invalid choice: 'int8'"),
        (["pull"], "the following arguments are required: NAME"),
        (["embd", "a"], "invalid choice: 'embd'"),
    ],
)
def test_wrong_usage_is_status_2(bge: Run, words: list[str], complaint: str) -> None:
    run = bge(*words)
    assert run.status == 2 and run.out == ""
    assert complaint in run.err and run.err.startswith("usage: bge")


# --- texts in


def test_arguments_file_and_standard_input_agree(
    bge: Run, embedder: engine.Embedder, tmp_path: Path
) -> None:
    lines = "\n".join(TEXTS).encode() + b"\n"
    (tmp_path / "texts.txt").write_bytes(lines)
    expected = embedder.encode(TEXTS)
    for run in (
        bge("embed", *HERE, "--", *TEXTS),
        bge("embed", *HERE, "-", stdin=lines),
        bge("embed", *HERE, "--file", "-", stdin=lines),
        bge("embed", *HERE, "--file", str(tmp_path / "texts.txt")),
    ):
        assert run.status == 0 and run.err == ""
        assert [json.loads(line)["text"] for line in run.out.splitlines()] == TEXTS
        assert np.array_equal(run.vectors(), expected)


def test_texts_may_stand_on_both_sides_of_an_option(bge: Run) -> None:
    run = bge("embed", "one", *HERE, "two", "--offline", "three four")
    texts = [json.loads(line)["text"] for line in run.out.splitlines()]
    assert texts == ["one", "two", "three four"]
    run = bge("embed", "one", *HERE, "two", "--what", "-x")
    assert run.status == 2 and "unrecognized arguments: --what -x\n" in run.err


def test_lines_of_a_windows_editor(bge: Run) -> None:
    run = bge("embed", *HERE, "-", stdin=b"\xef\xbb\xbfone\r\ntwo\rhalf\r\n\r\nlast")
    assert [json.loads(line)["text"] for line in run.out.splitlines()] == [
        "one", "two\rhalf", "", "last",
    ]  # fmt: skip


def test_json_lines(bge: Run, tmp_path: Path) -> None:
    rows = [{"id": i, "text": text, "body": text.upper()} for i, text in enumerate(TEXTS)]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n\n".join(map(json.dumps, rows)), "utf-8")
    by_suffix = bge("embed", *HERE, "--file", str(file))
    assert [json.loads(line)["text"] for line in by_suffix.out.splitlines()] == TEXTS
    by_field = bge("embed", *HERE, "-", "--field", "body", stdin=file.read_bytes())
    assert [json.loads(line)["text"] for line in by_field.out.splitlines()] == [
        text.upper() for text in TEXTS
    ]


def test_a_text_with_no_utf8_form_is_written_as_valid_json(bge: Run) -> None:
    run = bge("embed", *HERE, "half \udcff")
    assert run.out.startswith('{"text": "half \\udcff"') and json.loads(run.out)


# --- vectors out


def test_floats_come_back_to_the_bit() -> None:
    rng = np.random.default_rng(3)
    bits = rng.integers(0, 2**32, 20_000, np.uint32).view(np.float32)
    awkward = np.array([0.0, -0.0, 1.0, 1e-45, 3.4028235e38, 0.1, 16777217], np.float32)
    values = np.concatenate([bits[np.isfinite(bits)], awkward])[None]
    (line,) = cli_output.jsonl([(["x"], values)])
    back = np.array(json.loads(line)["embedding"], np.float32)
    assert np.array_equal(back.view(np.uint32), values[0].view(np.uint32))


@pytest.mark.parametrize("form", ["jsonl", "json", "csv", "npy"])
@pytest.mark.parametrize("told_by", ["option", "suffix"])
def test_every_format_holds_the_same_vectors(
    bge: Run, embedder: engine.Embedder, tmp_path: Path, form: str, told_by: str
) -> None:
    file = tmp_path / (f"out.{form}" if told_by == "suffix" else "out")
    option = ["--format", form] if told_by == "option" else []
    run = bge("embed", *HERE, *option, "-o", str(file), "--", *TEXTS)
    assert (run.status, run.out, run.err) == (0, "", "")
    texts, vectors = read_back(file, form)
    assert texts in (TEXTS, None)
    assert vectors.dtype == np.float32 and np.array_equal(vectors, embedder.encode(TEXTS))
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def read_back(file: Path, form: str) -> tuple[list[str] | None, np.ndarray]:
    if form == "npy":
        return None, np.load(file)
    if form == "csv":
        header, *rows = csv.reader(file.open(newline="", encoding="utf-8"))
        assert header == ["text", *(f"e{i}" for i in range(len(header) - 1))]
        return [row[0] for row in rows], np.array([row[1:] for row in rows], np.float32)
    content = file.read_text("utf-8")
    rows = json.loads(content) if form == "json" else map(json.loads, content.splitlines())
    rows = list(rows)
    return [r["text"] for r in rows], np.array([r["embedding"] for r in rows], np.float32)


@pytest.mark.parametrize(
    ("form", "content"),
    [("jsonl", ""), ("json", "[]\n"), ("csv", "text,e0,e1,e2\r\n"), ("preview", "(0, 3) float32")],
)
def test_no_texts(bge: Run, form: str, content: str) -> None:
    run = bge("embed", *HERE, "--truncate-dim", "3", "-", "--format", form)
    assert run.status == 0 and run.out.startswith(content) and (content or not run.out)


def test_no_texts_as_npy(bge: Run, tmp_path: Path) -> None:
    assert bge("embed", *HERE, "-", "-o", str(tmp_path / "none.npy")).status == 0
    assert np.load(tmp_path / "none.npy").shape == (0, 40)


def test_many_chunks_as_npy(bge: Run, embedder: engine.Embedder, tmp_path: Path) -> None:
    texts = [f"text {i}" for i in range(700)]
    lines = "\n".join(texts).encode()
    assert bge("embed", *HERE, "-", "-o", str(tmp_path / "out.npy"), stdin=lines).status == 0
    chunks = list(embedder.stream(texts, chunk=cli_embed.CHUNK))
    assert len(chunks) > 2
    assert np.array_equal(np.load(tmp_path / "out.npy"), np.concatenate(chunks))


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["--pooling", "cls"], {"pooling": "cls"}),
        (["--pooling", "mean", "--no-normalize"], {"pooling": "mean", "normalize": False}),
        (["--truncate-dim", "7"], {"truncate_dim": 7}),
        (["--prompt", "say: "], {"prompt": "say: "}),
        (["--query"], {"prompt": "query: "}),
        (["--document"], {"prompt": "passage: "}),
        (["--threads", "1", "--offline"], {}),
    ],
)
def test_options_reach_the_library(
    bge: Run, embedder: engine.Embedder, words: list[str], options: dict[str, Any]
) -> None:
    run = bge("embed", *HERE, *words, "a cat", "a kitten")
    assert np.array_equal(run.vectors(), embedder.encode(["a cat", "a kitten"], **options))


def test_the_model_by_environment(bge: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BGE_MODEL", TINY)
    assert bge("embed", "--precision", "reference", "a").vectors().shape == (1, 40)


def test_texts_over_the_limit(bge: Run) -> None:
    long = "word " * 500
    run = bge("embed", *HERE, long, "short")
    assert run.status == 0 and run.err.count("\n") == 1
    assert run.err.startswith("bge: warning: 1 of 2 texts were longer than 59 tokens")
    assert bge("embed", *HERE, "--on-truncate", "ignore", long).err == ""
    run = bge("embed", *HERE, "--on-truncate", "error", long)
    assert run.status == 1 and "this model takes 59" in run.err


# --- whole or not at all


def test_a_failure_leaves_the_old_file(bge: Run, tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    file.write_text("old")
    run = bge("embed", *HERE, "-", "-o", str(file), stdin=b"good\n" * 300 + b"\xff\n")
    assert run.status == 1 and "standard input, line 301: not UTF-8" in run.err
    assert file.read_text() == "old" and list(tmp_path.iterdir()) == [file]


def test_output_follows_links_and_keeps_devices(bge: Run, tmp_path: Path) -> None:
    real, link = tmp_path / "real.jsonl", tmp_path / "link.jsonl"
    link.symlink_to(real)
    assert bge("embed", *HERE, "a", "-o", str(link)).status == 0
    assert link.is_symlink() and real.read_text().startswith('{"text": "a"')
    assert bge("embed", *HERE, "a", "-o", os.devnull).status == 0
    assert Path(os.devnull).is_char_device()
    assert bge("embed", *HERE, "a", "-o", "-").out == real.read_text()


def test_the_output_is_as_readable_as_any_new_file(bge: Run, tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    bge("embed", *HERE, "a", "-o", str(tmp_path / "out.jsonl"))
    modes = {path.name: path.stat().st_mode for path in tmp_path.iterdir()}
    assert modes["out.jsonl"] == modes["plain"]


# --- mistakes: one line, status 1, no traceback


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--file", "nowhere.txt"], "No such file or directory: nowhere.txt"),
        (["--file", "/"], "Is a directory: /"),
        (["a", "-o", "nowhere/out.jsonl", "--model", "nope"], "nowhere/out.jsonl\n"),
        (["a", "--model", "bge-bas-en-v1.5"], "Did you mean bge-base-en-v1.5"),
        (["a", "--model", "./nowhere"], "There is no folder nowhere"),
        (["a", "--truncate-dim", "41"], "it may be from 1 to 40"),
        (["-", "--field", "body"], 'line 1: no field \'body\'; its fields are: \'text\''),
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
        (b"[1, 2]", "line 1: a list; an object with 'text' is needed"),
        (b'{"text": 3}', "line 1: 'text' is a int; a string is needed"),
        (b"{}", "line 1: no field 'text'; its fields are: none"),
        (b"[" * 100_000, "line 1: not JSON"),
        (b'{"text": "caf\xe9"}', "line 1: not UTF-8 (byte 0xe9 at column 14)"),
    ],
)
def test_bad_rows_are_named(line: bytes, complaint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(line)))
    with pytest.raises(engine.InputError) as raised:
        list(cli_input.open_texts(["-"], None, "text"))
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


# --- the other commands


def test_similarity(bge: Run, embedder: engine.Embedder) -> None:
    texts = ["a cat", "a, kitten", "a bill"]
    vectors = embedder.encode(texts)
    expected = embedder.similarity(vectors, vectors)
    read = json.loads(bge("similarity", *HERE, *texts).out)
    assert read["texts"] == texts
    assert np.array_equal(np.array(read["similarity"], np.float32), expected)
    header, *rows = csv.reader(bge("similarity", *HERE, "--format", "csv", *texts).out.splitlines())
    assert header == ["", *texts] and [row[0] for row in rows] == texts
    assert np.array_equal(np.array([row[1:] for row in rows], np.float32), expected)
    table = bge("similarity", *HERE, "--format", "table", *texts).out.splitlines()
    assert table[0].split() == ["1", "2", "3"] and table[2].startswith("2 a, kitten")
    assert table[1].split()[-3:] == [f"{x:.4f}" for x in expected[0]]


def test_models(bge: Run) -> None:
    rows = {row["name"]: row for row in json.loads(bge("models", "--format", "json").out)}
    assert list(rows) == [entry.name for entry in registry.entries()]
    assert rows["bge-base-en-v1.5"]["dim"] == 768 and rows["bge-base-en-v1.5"]["MB"] == 439
    table = bge("models").out.splitlines()
    assert len(table) == 1 + len(rows) and table[0].split()[:3] == ["name", "dim", "pooling"]


def test_models_says_which_are_here(
    bge: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BGE_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    rows = json.loads(bge("models", "--format", "json").out)
    assert {row["here"] for row in rows} == {None}


def test_pull_passes_everything_on_and_prepares(
    bge: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine import pull as puller

    seen: list[tuple[Any, ...]] = []

    def pull(name: str, **options: Any) -> Path:
        seen.append((name, options))
        return Path(TINY)

    def load(folder: Path, **options: Any) -> engine.Embedder:
        seen.append((folder, options))
        return loading.load(folder, precision="reference")

    monkeypatch.setattr(puller, "pull", pull)
    monkeypatch.setattr(engine, "load", load, raising=False)
    words = ["--to", "dir", "--source", "hub", "--revision", "abc"]
    assert bge("pull", "gte-small", *words).out == f"{TINY}\n"
    expected = {"to": "dir", "source": "hub", "revision": "abc", "progress": None}
    assert seen == [("gte-small", expected), (Path(TINY), {"offline": True})]
    bge("pull", "gte-small", "--no-prepare")
    assert len(seen) == 3


def test_verify_holds_for_the_real_weights(bge: Run, minilm: Path) -> None:
    run = bge("verify", "all-MiniLM-L6-v2", "--precision", "reference")
    entry = registry.entry("all-MiniLM-L6-v2")
    count = len(entry.published) + len(entry.cosines)
    assert count > 2 and run.status == 0
    assert run.out.count(" ok\n") == count
    assert run.out.endswith(f"{count} of {count} published values hold.\n")


def test_verify_sees_one_wrong_number(
    bge: Run, minilm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = registry.entry("all-MiniLM-L6-v2")
    first = entry.published[0]
    off = replace(first, values=(first.values[0] + 1e-3, *first.values[1:]))
    monkeypatch.setitem(entry.__dict__, "published", (off, *entry.published[1:]))
    run = bge("verify", "all-MiniLM-L6-v2", "--precision", "reference")
    assert run.status == 1 and run.out.count(" OFF\n") == 1


def test_verify_without_published_values(bge: Run) -> None:
    run = bge("verify", "gte-small")
    assert run.status == 1 and "Nothing is published for gte-small" in run.err


def test_info_and_prepare(bge: Run) -> None:
    lines = bge("info", *HERE[1:]).out.splitlines()
    facts = dict(line.split("  ", 1) for line in lines)
    facts = {name: value.strip() for name, value in facts.items()}
    assert facts["name"] == "tiny" and facts["folder"] == TINY
    assert facts["limit"] == "59 tokens" and facts["vector"].startswith("40 numbers")
    assert facts["precision"] == "reference" and facts["query prompt"] == "'query: '"
    assert facts["weights"] == f"sha-256 {registry.weights_hash(Path(TINY))}"
    run = bge("prepare", *HERE[1:])
    assert run.status == 0 and "is ready in reference" in run.out


@pytest.mark.parametrize("command", cli.ROOMS)
def test_serve_and_job_get_their_words(
    bge: Run, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    from engine import jobs, serve

    seen: list[list[str]] = []
    room = serve if command == "serve" else jobs
    monkeypatch.setattr(room, "main", lambda words: seen.append(words) or 7, raising=False)
    assert bge(command, "in", "-o", "x", "--help").status == 7
    assert seen == [["in", "-o", "x", "--help"]]


@pytest.mark.parametrize(("command", "extra"), [("serve", "serve"), ("job", "jobs")])
def test_a_missing_extra_is_named(
    bge: Run, monkeypatch: pytest.MonkeyPatch, command: str, extra: str
) -> None:
    from engine import jobs, serve

    def main(words: list[str]) -> int:
        raise ModuleNotFoundError("No module named 'stars'", name="stars")

    monkeypatch.setattr(serve if command == "serve" else jobs, "main", main, raising=False)
    run = bge(command)
    assert run.status == 1
    cure = f"pip install 'bge-engine[{extra}]'"
    assert run.err == f"bge: error: `bge {command}` needs stars: {cure}\n"


# --- processes, pipes, terminals


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


def on_a_terminal(*words: str) -> str:
    """What a person at a terminal of 80 columns sees, both streams together."""
    person, terminal = pty.openpty()
    environ = {**os.environ, "COLUMNS": "80"}
    with start(*words, stdin=terminal, stdout=terminal, stderr=terminal, env=environ) as process:
        os.close(terminal)
        seen = b"".join(iter(lambda: read_terminal(person), b""))
        process.wait(60)
    os.close(person)
    return seen.decode().replace("\r\n", "\n")


def read_terminal(person: int) -> bytes:
    try:
        return os.read(person, 4096)
    except OSError:  # Linux says EIO when the other side has been closed
        return b""


def test_a_terminal_shows_a_preview(embedder: engine.Embedder) -> None:
    texts = ["a cat", "a\tvery\x1b[31m long " + "text " * 40]
    lines = on_a_terminal("embed", *HERE, *texts).splitlines()
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
    assert "2 texts," in on_a_terminal(*words)
    assert on_a_terminal("embed", *HERE, "one", "-o", str(tmp_path / "out.npy")) == ""


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
