"""bench/ladder.py: every rung is right, a wrong one is not timed, and the machine has a peak."""

import pytest

from bench import ladder, peak
from bench.kernels.problems import KERNELS


@pytest.mark.parametrize("rung", ladder.RUNGS, ids=lambda rung: f"{rung.kernel}: {rung.name}")
def test_each_rung_of_the_ladder_is_right(rung: ladder.Rung) -> None:
    kernel = KERNELS[rung.kernel]
    inputs = kernel.inputs(*kernel.shapes[0])
    call = rung.prepare(inputs)
    assert ladder.check(rung, call, kernel.expected(inputs)) == ""


def test_a_wrong_rung_is_not_timed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = ladder.Rung("layer norm", "twice", lambda inputs: lambda: 2 * inputs["x"])
    monkeypatch.setattr(ladder, "RUNGS", [*ladder.RUNGS, wrong])
    ladder.climb("layer norm", (4, 64), {"memory": 10.0}, rounds=1)
    right, ours, refused = capsys.readouterr().out.splitlines()
    assert "GB/s" in right and "GB/s" in ours
    assert "twice" in refused and "wrong: by" in refused


def test_the_machine_has_a_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak, "MEMORY", 1 << 22)
    best = peak.peaks(threads=1)
    assert 1 < best["float32"] < 1000 and best["memory"] > 0.5


def test_the_engines_rungs_are_of_one_thread(capsys: pytest.CaptureFixture[str]) -> None:
    ladder.climb("rotate", (4, 256), {"memory": 10.0}, rounds=1, threads=2)
    (line,) = capsys.readouterr().out.splitlines()
    assert "numpy" in line
