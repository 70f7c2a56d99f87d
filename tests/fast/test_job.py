"""The structures of a job: aligned, complete, and without two names for one place."""

import numpy as np
import pytest

from engine import model
from engine.fast import job
from engine.fast.codegen.target import LANES
from engine.fast.job import JOB, LAYER, LINEAR_MAP, NORM, QUANTIZER, ROWS, WORKER

STRUCTURES = {
    "JOB": JOB, "LAYER": LAYER, "LINEAR_MAP": LINEAR_MAP, "NORM": NORM, "QUANTIZER": QUANTIZER,
    "ROWS": ROWS, "WORKER": WORKER,
}  # fmt: skip


@pytest.mark.parametrize("name", STRUCTURES)
def test_fields_are_aligned_and_do_not_overlap(name: str) -> None:
    structure = STRUCTURES[name]
    assert structure.isalignedstruct and structure.fields
    end = 0
    for field, offset in sorted(structure.fields.values(), key=lambda one: one[1]):
        assert offset >= end and offset % field.alignment == 0
        end = offset + field.itemsize
    assert end <= structure.itemsize


def test_a_worker_ends_before_its_scratch_memory_on_a_line_of_the_cache() -> None:
    assert job.SCRATCH_AT % 64 == 0 and WORKER.itemsize <= job.SCRATCH_AT


def test_counters_of_two_phases_share_no_cache_line() -> None:
    assert job.TICKET_BYTES > 0 and job.TICKET_BYTES % 64 == 0


def test_every_pooling_of_the_model_has_a_code() -> None:
    assert set(job.POOLINGS) == set(model.POOLINGS)


@pytest.mark.parametrize("length", [1, 5, 32, 33, 512])
@pytest.mark.parametrize("K", [1, 12, 32, 33, 64])
@pytest.mark.parametrize(("rows", "panel"), [(3, 16), (6, 16), (20, 32)])
@pytest.mark.parametrize("numbers", [1, 2])
def test_scratch_memory_of_a_head_holds_its_parts(
    length: int, K: int, rows: int, panel: int, numbers: int
) -> None:
    places = job.head_scratch(length, K, rows, panel, numbers)
    values, scales, scores, shares, tile, row, columns, end = places
    assert numbers * values >= K * length and values % panel == 0
    assert numbers * (scales - values) >= length * K and (scales - values) % panel == 0
    assert scores - scales >= K
    assert shares - scores >= rows * length and (shares - scores) % (rows * panel) == 0
    assert (tile - shares, row - tile) == (rows, rows * panel)
    assert numbers * (columns - row) >= max(rows, LANES) * K and (columns - row) % LANES == 0
    assert end - columns >= 4 * K and (end - columns) % (4 * LANES) == 0


def test_python_fills_in_by_name() -> None:
    one = np.zeros((), JOB)
    one["x"]["stride"], one["embedding_norm"]["scale"] = 7, 9
    assert one["x"].item() == (0, 7) and one["embedding_norm"].item() == (9, 0, 0)
