"""Memory: models of any shape between guard pages, on each kind of CPU that this one can be."""

from pathlib import Path

import pytest

from engine.fast.codegen.target import TARGETS, able_targets
from engine.fast.job import SPARE
from tests.fast import fast_process, guard

PRECISIONS = ("float32", "int16", "int8")
EXAMPLES = 60
RUN = "import runpy; runpy.run_module('tests.fast.guard', run_name='__main__')"


@pytest.mark.slow
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("target", [target.name for target in able_targets()])
def test_kernels_keep_to_their_buffers(target: str, precision: str, tmp_path: Path) -> None:
    last = tmp_path / "last"
    try:
        fast_process.run(
            RUN, precision, EXAMPLES, last, BGE_TARGET=target, OPENBLAS_NUM_THREADS="1"
        )
    except AssertionError as error:
        shape = last.read_text() if last.exists() else "none begun"
        raise AssertionError(f"{shape} failed, or ended the process: {error}") from error


@pytest.mark.slow
def test_a_buffer_that_is_too_short_is_noticed() -> None:
    """So each buffer is as small as it can be, and the test above would see one that is not."""
    noticed = fast_process.run(RUN, "shortened", OPENBLAS_NUM_THREADS="1").split()
    assert noticed == list(guard.SHORTENED)


def test_attention_may_read_no_further_than_the_spare_numbers_between_rows() -> None:
    tiles = "attention", "attention_int16"
    assert all(target.panel(name) <= SPARE for target in TARGETS.values() for name in tiles)
