"""bench/: peers at their best settings, memory of a fresh process, and what the tables say."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import report, rounds, run, texts, tuning
from bench.checkpoints import Checkpoint, made_once
from bench.peers.batching import Batched, Ids, Settings, Setup, Vectors
from bench.peers.registry import BATCH, ENGINES, FORM, NOTHING, OURS
from bench.worker import Worker as Inside

# -- the settings ---------------------------------------------------------------------------------


def test_the_fastest_settings_are_kept() -> None:
    seconds = {Settings(1, 1): 2.0, Settings(8, 1): 1.5, Settings(8, 2): 1.0, Settings(16, 2): 1.0}
    assert tuning.best(seconds) == Settings(8, 2)


def test_a_user_who_batches_by_hand_may_choose_batches_and_streams() -> None:
    every = tuning.candidates(FORM, 128, 2, "throughput")
    assert every == [Settings(b, s) for s in (1, 2) for b in (1, 8, 16, 32)]
    assert tuning.candidates(FORM, 128, 1, "throughput") == every[:4]
    assert tuning.candidates(BATCH, 128, 2, "throughput") == every[:4]
    assert tuning.candidates(FORM, 64, 2, "latency") == [Settings(1, 1), Settings(1, 2)]
    assert tuning.candidates(NOTHING, 128, 2, "throughput") == [Settings()]


def test_no_batch_is_tried_that_holds_more_than_twice_the_texts() -> None:
    found = tuning.candidates(BATCH, 8, 2, "throughput")
    assert [settings.batch for settings in found] == [1, 8]
    found = tuning.candidates(BATCH, 9, 2, "throughput")
    assert [settings.batch for settings in found] == [1, 8, 16]


def test_a_hopeless_form_is_tried_once_and_the_others_twice() -> None:
    good, slow = Settings(8, 1), Settings(1, 1)
    answers = {good: [2.0, 1.0], slow: [4.5]}
    assert tuning.race([slow, good], lambda chosen: answers[chosen].pop(0)) == {slow: 4.5, good: 1}


def test_a_sample_has_all_lengths_and_fills_every_thread() -> None:
    many = ["a" * n for n in range(1000, 0, -1)]
    assert [len(text) for text in tuning.sample(many, 0.01, 2)] == list(range(1, 1001, 10))
    assert len(tuning.sample(many, 60.0, 2)) >= 2 * max(tuning.BATCHES)
    assert len(tuning.sample(many[:8], 0.5, 2)) == 8


def test_the_settings_of_an_engine_that_packs_are_not_asked_for(tiny: Path) -> None:
    tuned = {name for name, entry in ENGINES.items() if entry.tuned != NOTHING}
    assert tuned == {name for name in ENGINES if not name.startswith("ours")}


class Lengths(Batched):
    """Its states are the ids and the length of the padded batch."""

    def states(self, ids: Ids, mask: Ids) -> Vectors:
        states = np.stack([ids, np.full(ids.shape, ids.shape[1])], axis=2).astype(np.float32)
        return np.concatenate([states, np.zeros((*ids.shape, 38), np.float32)], axis=2)


@pytest.mark.parametrize("streams", [1, 2])
def test_batches_come_back_in_the_order_of_the_texts(tiny: Path, streams: int) -> None:
    asked = ["a b c d", "a", "b c", "d", "c b a"]
    one = Lengths(Setup(Checkpoint(tiny), 2, "", streams))
    alone = np.concatenate([one.encode([text], 32) for text in asked])
    np.testing.assert_allclose(one.encode(asked, 1), alone)
    assert one.encode(asked, 2).shape == (5, 40)


# -- the peak of memory ---------------------------------------------------------------------------


def test_the_peak_is_of_a_process_that_does_nothing_else(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the texts of `mixed`, once, in the settings that were chosen for it."""
    seen: list[Any] = []

    def fresh(engine: str, checkpoint: Checkpoint, threads: int, *rest: Any) -> int:
        seen.append((engine, threads, *rest))
        return 7

    monkeypatch.setattr(rounds, "fresh_peak", fresh)
    (giant,) = texts.load_cases(["giant"])
    (mixed,) = texts.load_cases(["mixed"])
    one = rounds.Run(Checkpoint(tiny), [giant], 2, False, "seconds")
    one.settings["onnxruntime", "mixed"] = Settings(8, 2)
    assert one.peak("onnxruntime") == 7
    assert seen == [("onnxruntime", 2, mixed.texts, Settings(8, 2))]


def test_the_peak_of_another_process_does_not_count(tiny: Path) -> None:
    from bench.workers import fresh_peak

    ballast = np.ones(1 << 26)  # 512 MB in this process
    assert 20 < fresh_peak("ours-reference", Checkpoint(tiny), 1, ["a"]) < ballast.nbytes / 2**20


# -- what is prepared -----------------------------------------------------------------------------


def test_a_model_is_converted_once_and_again_for_another_script(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    script = tmp_path / "convert.py"
    script.write_text("import sys, pathlib; pathlib.Path(sys.argv[2], 'model').touch()", "utf-8")
    first = made_once(Checkpoint(tiny), "kind", ("numpy",), [str(script)])
    (first / "model").write_text("kept", "utf-8")
    assert made_once(Checkpoint(tiny), "kind", ("numpy",), [str(script)]) == first
    assert (first / "model").read_text("utf-8") == "kept"
    script.write_text(script.read_text("utf-8") + "\n", "utf-8")
    assert made_once(Checkpoint(tiny), "kind", ("numpy",), [str(script)]) != first


def test_no_case_has_a_text_of_the_calibration() -> None:
    calibration = texts.load_calibration()
    assert len(calibration) == 128
    for case in texts.load_cases():
        together = "\n".join(case.texts)
        assert not [text for text in calibration if text in together]
        assert not set(calibration) & set(case.texts)


# -- the run and its tables -----------------------------------------------------------------------


def test_fewer_texts_in_bulk_when_it_must_be_quick() -> None:
    (bulk,) = texts.load_cases(["bulk"], quick=True)
    assert len(bulk.texts) == 2_000


def test_threads_are_a_run_each() -> None:
    assert run.thread_counts("2", 8) == [2]
    assert run.thread_counts("1,2,all", 8) == [1, 2, 8]
    assert run.thread_counts("1,2,all", 2) == [1, 2]


def result(precision: str, rates: Sequence[float], times: Sequence[float]) -> dict[str, Any]:
    figures = {"mixed tok/s": list(rates), "short p50 ms": list(times)}
    facts = {"peak_mb": 1234, "cosine_error": 9e-4, "cosine_mean": 2e-4}
    return {"precision": precision, "rounds": figures, **facts}


def test_a_peer_is_set_against_ours_of_its_precision_with_a_star_where_it_is_faster() -> None:
    results = {
        "ours-float32": result("float32", [1.0], [9.0]),
        "ours-int8": result("8 bits", [100.0, 200.0], [2.0, 4.0]),
        "peer": result("8 bits", [150.0, 300.0], [4.0, 8.0]),
    }
    engines = {name: report.summary(name, results) for name in results}
    assert engines["peer"]["speed_by_ours"] == {"mixed tok/s": 1.5, "short p50 ms": 0.5}
    (table,) = report.by_ours(engines, ["mixed tok/s", "short p50 ms"])
    assert table.splitlines()[1].split() == ["peer", "1.50*", "0.50", "1,234", "2.0e-04"]


def test_every_precision_has_ours() -> None:
    assert {entry.precision for entry in ENGINES.values()} == set(OURS)
    assert all(ENGINES[name].precision == precision for precision, name in OURS.items())


def test_a_worker_makes_an_engine_for_each_form(tiny: Path, tmp_path: Path) -> None:
    named = tmp_path / "texts.json"
    named.write_text('{"few": ["a", "b c"]}', "utf-8")
    worker = Inside("ours-reference", str(tiny), "1", str(named))
    assert worker.do_time("few", [32, 1])["seconds"] > 0
    assert worker.do_tune("few", "throughput", "seconds")["settings"] == (32, 1)
    assert list(worker.engines) == [1]
