"""bench/: the cases can be rebuilt, a wrong engine is not timed, and a record says what it must."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import quality, report, rounds, run, texts, verify
from bench.checkpoints import Checkpoint
from bench.start import command
from bench.workers import EngineFailed, Worker
from tests.support.paths import ROOT

CASES = ("short", "mixed", "long", "giant", "alone", "bulk")


@pytest.fixture(scope="module")
def cases() -> dict[str, texts.Case]:
    return {case.name: case for case in texts.load_cases()}


@pytest.fixture
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing stays in the user's cache, and the readable model tells the truth: no torch here."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(verify, "is_installed", lambda entry: False)


# -- the texts ------------------------------------------------------------------------------------


def test_cases_are_rebuilt_the_same_and_no_module_is_run(cases: dict[str, texts.Case]) -> None:
    code = (
        "import sys; from bench.texts import load_cases; "
        "print(*(case.fingerprint for case in load_cases())); "
        "assert not {'turtle', 'sqlite3', 'pickletools', 'imaplib'} & set(sys.modules)"
    )
    python = [sys.executable, "-c", code]
    done = subprocess.run(python, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [case.fingerprint for case in cases.values()]
    assert tuple(cases) == CASES


def test_cases_have_the_sizes_that_they_promise(cases: dict[str, texts.Case], minilm: Path) -> None:
    assert [len(cases[name].texts) for name in CASES] == [64, 128, 8, 16, 8, 10_000]
    assert len(set(cases["bulk"].texts)) == 10_000
    for name in ("short", "bulk"):
        assert all(15 <= len(text) <= 30 for text in cases[name].texts)
    assert cases["alone"].texts == cases["long"].texts
    assert all(len(text) >= 150 for text in cases["mixed"].texts)
    checkpoint = Checkpoint(minilm)
    lengths = rounds.count_tokens(checkpoint, list(cases.values()))
    tokens = {name: sum(each) for name, each in lengths.items()}
    assert tokens["long"] == 8 * checkpoint.max_tokens
    assert 50 < tokens["mixed"] / 128 < 100
    assert tokens["giant"] - tokens["long"] / 8 < tokens["short"]


def test_a_case_nobody_knows_is_named() -> None:
    with pytest.raises(SystemExit, match=r"unknown case 'medium'.*short, mixed, long, giant"):
        texts.load_cases(["medium"])


def test_a_case_that_the_corpus_cannot_fill_says_so() -> None:
    with pytest.raises(SystemExit, match="only 1 such texts, not 2"):
        texts.texts_of({"characters": [3, 3], "count": 2}, {}, ["one", "three"])


# -- the runner -----------------------------------------------------------------------------------

QUICK = ["--engines", "ours-reference", "--cases", "short,giant", "--rounds", "2", "--quick"]
QUICK += ["--threads", "1"]


def test_a_run_verifies_times_and_reports(
    tiny: Path,
    apart: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(report, "RECORDS", tmp_path / "records")
    assert run.main(["--model", str(tiny), *QUICK, "--record"]) == 0
    *table, last = capsys.readouterr().out.splitlines()
    result = json.loads(last)
    check_record(result)
    assert any(line.startswith("ours-reference") for line in table)
    assert any(line.startswith("by blas") for line in table)
    (file,) = (tmp_path / "records").iterdir()
    assert json.loads(file.read_text("utf-8")) == result
    assert file.name.startswith(result["date"][:10]) and file.name.endswith("-tiny.json")


def check_record(result: dict[str, Any]) -> None:
    """All that figures need to mean something later, and the figures."""
    assert {"date", "commit", "machine", "versions", "weights", "threads"} <= result.keys()
    assert {"cpu", "cores", "features", "memory_gb"} <= result["machine"].keys()
    assert {"python", "numpy", "tokenizers"} <= result["versions"].keys()
    assert result["cases"]["giant"]["texts"] == 16
    assert len(result["cases"]["giant"]["sha256"]) == 64
    ours = result["engines"]["ours-reference"]
    assert ours["cores"] > 0 and ours["precision"] == "float32" and "settings" not in ours
    assert ours["max_difference"] < 1e-5 and ours["peak_mb"] > 20
    assert set(ours["medians"]) == {"short p50 ms", "short p95 ms", "giant tok/s"}
    assert all(len(values) == 2 for values in ours["rounds"].values())
    assert ours["medians"]["short p50 ms"] <= ours["medians"]["short p95 ms"]
    assert set(ours["ratios"]["blas"]) == {"giant tok/s"}


def test_a_wrong_engine_is_not_timed() -> None:
    truth = np.eye(3, dtype=np.float32)
    near, far = truth + np.float32(1e-3), np.roll(truth, 1, axis=1)
    for engine, vectors in (("ours-float32", near), ("ours-int8", far)):
        result: dict[str, Any] = {}
        verify.compare(vectors, truth, result)
        with pytest.raises(EngineFailed, match="wrong"):
            verify.check(engine, result)
    with pytest.raises(EngineFailed, match="not all finite"):
        verify.compare(truth * np.float32(np.nan), truth, {})


def test_an_engine_that_fails_leaves_the_others_and_its_last_words(
    tiny: Path, apart: None, capsys: pytest.CaptureFixture[str]
) -> None:
    variant = "ours-float32:float128"
    options = [*QUICK, "--engines", f"{variant},ours-reference"]
    assert run.main(["--model", str(tiny), *options]) == 1
    engines = json.loads(capsys.readouterr().out.splitlines()[-1])["engines"]
    assert "precision is 'float128'" in engines[variant]["failed"]
    assert "medians" in engines["ours-reference"]


def test_an_engine_nobody_knows_is_named() -> None:
    with pytest.raises(SystemExit, match=r"unknown engine 'theirs'.*onnxruntime"):
        run.choose("theirs")


def test_time_is_bounded(tiny: Path, apart: None, capsys: pytest.CaptureFixture[str]) -> None:
    options = [*QUICK, "--rounds", "1000", "--minutes", "0"]
    assert run.main(["--model", str(tiny), *options]) == 0
    engines = json.loads(capsys.readouterr().out.splitlines()[-1])["engines"]
    assert len(engines["ours-reference"]["rounds"]["giant tok/s"]) == 1


# -- the workers ----------------------------------------------------------------------------------

START_A_WORKER = """
import sys, time
from pathlib import Path
from bench.checkpoints import Checkpoint
from bench.workers import Worker

worker = Worker("ours-reference", Checkpoint(Path(sys.argv[1])), 1, {})
print(worker.process.pid, flush=True)
time.sleep(60)
"""


def state(pid: int) -> str:
    """As /proc tells it: T is stopped; empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def wait_for(pid: int, states: str) -> None:
    deadline = time.monotonic() + 20
    while state(pid) not in states:
        assert time.monotonic() < deadline, f"process {pid} is in state {state(pid)!r}"
        time.sleep(0.02)


def test_an_idle_worker_is_stopped_and_ends_with_its_runner(tiny: Path) -> None:
    arguments = [sys.executable, "-c", START_A_WORKER, str(tiny)]
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE) as runner:
        assert runner.stdout
        pid = int(runner.stdout.readline())
        wait_for(pid, "T")
        os.kill(runner.pid, signal.SIGKILL)
    wait_for(pid, ("", "Z"))


def test_a_worker_gives_the_vectors_in_a_batch_and_alone(tiny: Path) -> None:
    with Worker("ours-reference", Checkpoint(tiny), 1, {"few": ["a", "b"]}) as worker:
        together, alone = (worker.encode("few", alone)[0] for alone in (False, True))
        answer = worker.ask("time", "few", (32, 1))
    assert together.shape == (2, 40)
    np.testing.assert_allclose(together, alone, atol=1e-6)
    assert answer["seconds"] > 0 and answer["others"] >= 0


# -- the report -----------------------------------------------------------------------------------


def test_ratios_are_taken_within_a_round() -> None:
    ours, base = {"mixed tok/s": [10.0, 40.0, 100.0]}, {"mixed tok/s": [10.0, 20.0, 25.0]}
    assert report.ratios(ours, base) == {"mixed tok/s": 2.0}


def test_a_table_lines_up() -> None:
    rows = [["engine", "tok/s", "ms"], ["a", "1,000", "2"], ["broken", "no such file"]]
    assert report.grid(rows).splitlines() == [
        "engine  tok/s  ms",
        "a       1,000   2",
        "broken  no such file",
    ]


# -- quality, start -----------------------------------------------------------------------


def test_spearman_with_ties() -> None:
    """Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: by hand 4.5 / sqrt(4.5 * 5)."""
    assert quality.spearman([1, 2, 2, 9], [0.1, 0.2, 0.3, 0.4]) == pytest.approx(0.9486833)
    assert quality.spearman([1, 2, 3], [9, 8, 7]) == pytest.approx(-1)


def test_overlap_is_the_share_of_documents_found_again() -> None:
    base = np.arange(20).reshape(2, 10)
    ours = base.copy()
    ours[0, :5] = [90, 91, 92, 93, 94]
    assert quality.overlap(ours, base) == 0.75
    assert quality.overlap(base[:, ::-1], base) == 1


def test_quality_finds_the_readable_model_equal_to_itself(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sts = tmp_path / "sts.csv"
    sts.write_text('a,a,5\n"a, b",b,2.5\nb,a c d e,0\n', "utf-8")
    engines = ["--base", "ours-reference", "--engines", "ours-reference", "--threads", "1"]
    assert quality.main(["--model", str(tiny), "--sts", str(sts), *engines]) == 0
    ours = json.loads(capsys.readouterr().out.splitlines()[-1])["engines"]["ours-reference"]
    assert ours["cosine_max"] < 1e-6 and ours["pairwise_max"] == 0 and ours["overlap"] == 1
    assert ours["alone_max"] < 1e-6 and -100 <= ours["sts"] <= 100


def test_our_start_is_the_command_of_the_readme(tiny: Path) -> None:
    words = command("ours-int8", Checkpoint(tiny), 2)
    assert words[1:4] == ["-m", "engine", "embed"] and words[-1] == "hello"
    assert words[words.index("--precision") + 1] == "int8"
