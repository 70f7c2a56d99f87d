"""Products of whole rows against float64, task by task, in every precision.

A process compiles for one precision; in float32 the last test runs this file for the others.
"""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.fast import encoder, integers
from engine.fast import layers as fast
from engine.fast.codegen.constants import LANES, PRECISION, TARGET
from engine.fast.codegen.records import view
from engine.fast.job import JOB, LINEAR_MAP, QUANTIZER, SCRATCH_AT, TICKET_BYTES, WORKER
from engine.fast.job import ROWS as ROWS_OF
from engine.fast.kernels import jit
from engine.fast.layers import GELU, NOTHING, PANEL, RESIDUAL, ROWS, ROWS_A_TASK
from engine.fast.weights import packing, quantize
from engine.fast.weights.packing import Shape
from tests.fast import fast_process
from tests.fast.compiled import address, whole
from tests.fast.rounding import Array
from tests.fast.test_kernels import exact_gelu

SHAPE = Shape(TARGET, PRECISION)
UNTOUCHED = np.float32(-12345.75)
WIDTHS = [  # whole vectors, as rows are padded
    (whole(1), whole(1)),
    (whole(40), 3 * PANEL),
    (whole(64), PANEL + LANES),
    (whole(200), 2 * PANEL + whole(1)),
]
TOKENS = [1, 2, ROWS, ROWS + 1, 4 * ROWS, 4 * ROWS + 1, ROWS_A_TASK, 2 * ROWS_A_TASK + 3]
# of the lengths of both vectors
BARS = {
    "float32": lambda K: 1e-6,
    "int16": lambda K: 1.5 * math.sqrt(K) / 46000,
    "int8": lambda K: 0.02,
}


job_at, worker_at, rows_at = view(JOB), view(WORKER), view(ROWS_OF)
map_at, quantizer_at = view(LINEAR_MAP), view(QUANTIZER)


@jit  # type: ignore[untyped-decorator]
def run_linear(job, worker, x, weights, out, then):  # type: ignore[no-untyped-def]
    me = worker_at(worker)
    me.phase, me.scratch = 0, worker + SCRATCH_AT
    encoder.linear(job_at(job), me, rows_at(x), map_at(weights), rows_at(out), then)


@jit  # type: ignore[untyped-decorator]
def count_tasks(job, x, weights):  # type: ignore[no-untyped-def]
    return fast.linear_tasks(job_at(job), rows_at(x), map_at(weights), rows_at(x), NOTHING)


@jit  # type: ignore[untyped-decorator]
def quantize_one(job, worker, row, quantizer, r):  # type: ignore[no-untyped-def]
    me = worker_at(worker)
    me.scratch = worker + SCRATCH_AT
    integers.quantize_row(job_at(job), me, row, job_at(job).signs, quantizer_at(quantizer), r)


def packed(w_OI: Array, width: int) -> dict[str, Array]:
    """The arrays of a linear map, as `packing` makes them, by their fields; all but the bias."""
    rows = np.zeros((packing.round_up(len(w_OI), PANEL), width), np.float32)
    rows[: len(w_OI)] = w_OI
    arrays = dict(SHAPE.kind.pack(rows, width, np.ones(width, np.float32), TARGET))
    return arrays | {"panels": packing.panels(arrays["panels"], SHAPE)}


def rows(array: Array) -> NDArray[Any]:
    """A ROWS of the array."""
    one = np.zeros((), ROWS_OF)
    one["address"], one["stride"] = address(array), array.shape[1]
    return one


class Case:
    """A random map from `width` to `out_width` numbers, and rows for it, in memory as of a job."""

    def __init__(self, tokens: int, width: int, out_width: int, threads: int = 2) -> None:
        draw = np.random.default_rng([tokens, width, out_width])
        self.tokens, self.width, self.out_width = tokens, width, out_width
        self.x, self.w = (
            draw.standard_normal((n, width)).astype(np.float32) for n in (tokens, out_width)
        )
        self.bias = draw.standard_normal(packing.round_up(out_width, PANEL)).astype(np.float32)
        self.residual = draw.standard_normal((tokens, out_width + 5)).astype(np.float32)
        self.arrays = {**packed(self.w, width), "bias": self.bias}
        self.map = np.zeros((), LINEAR_MAP)
        self.map["width"], self.map["out_width"] = width, out_width
        for field, array in self.arrays.items():
            self.map[field] = address(array)
        self.worker = np.zeros(SCRATCH_AT // 4 + max(ROWS * PANEL, width), np.float32)
        self.signs = quantize.signs(width)
        self.source = np.zeros((tokens, width + 3), np.float32)  # or integers, in words
        self.scales = np.zeros((tokens, 2), np.float32)
        self.tickets = np.zeros(TICKET_BYTES // 8, np.int64)
        self.job = np.zeros((), JOB)
        self.job["tokens"], self.job["threads"] = tokens, threads
        self.job["x"], self.job["integers"] = rows(self.residual), rows(self.source)
        self.job["row_scales"], self.job["signs"] = address(self.scales), address(self.signs)
        self.job["tickets"] = address(self.tickets)
        self.take(self.x)

    def take(self, x: Array) -> None:
        """Rows as the product wants them: quantised one by one, or as they are."""
        if PRECISION == "float32":
            self.source[:, : self.width] = x
            return
        quantizer = np.zeros((), QUANTIZER)
        quantizer["width"], quantizer["block"] = self.width, quantize.block_size(self.width)
        quantizer["norm_limit"] = quantize.length_limit(self.width)
        for r, row in enumerate(x):
            places = address(self.job), address(self.worker), address(row)
            quantize_one(*places, address(quantizer), r)

    def tasks(self) -> int:
        return int(count_tasks(address(self.job), address(rows(self.source)), address(self.map)))

    def run(self, then: int, first: int = 0) -> Array:
        """A table of results, UNTOUCHED where only the tasks before `first` compute."""
        stride = self.out_width + 2 * PANEL
        out = np.full((self.tokens + ROWS, stride), UNTOUCHED)
        self.compute(out, then, first)
        assert (out[self.tokens :] == UNTOUCHED).all(), "wrote below the last token"
        assert (out[:, self.out_width :] == UNTOUCHED).all(), "wrote beside the last column"
        return out[: self.tokens, : self.out_width]

    def compute(self, out: Array, then: int, first: int = 0) -> None:
        self.tickets[:2] = first
        x, table = rows(self.source), rows(out)
        places = (address(each) for each in (self.job, self.worker, x, self.map, table))
        run_linear(*places, then)

    def product(self) -> Array:
        """x Wᵀ + b in float64."""
        bias = self.bias[: self.out_width]
        return np.asarray(self.x.astype(np.float64) @ self.w.T.astype(np.float64) + bias)

    def hold(self, got: Array, expected: Array) -> None:
        lengths = np.outer(*(np.linalg.norm(each, axis=1) for each in (self.x, self.w)))
        error = np.abs(got - expected)
        assert (error <= BARS[PRECISION](self.width) * lengths + 2e-6).all()


@pytest.mark.slow
@pytest.mark.parametrize(("width", "out_width"), WIDTHS)
@pytest.mark.parametrize("tokens", TOKENS)
def test_a_product_and_what_follows(tokens: int, width: int, out_width: int) -> None:
    case = Case(tokens, width, out_width)
    product = case.product()
    case.hold(case.run(NOTHING), product)
    case.hold(case.run(GELU), exact_gelu(product))
    case.hold(case.run(RESIDUAL), product + case.residual[:, :out_width])


@pytest.mark.parametrize("threads", [1, 8])
@pytest.mark.parametrize(("width", "out_width"), WIDTHS)
@pytest.mark.parametrize("tokens", TOKENS)
def test_each_number_is_one_tasks(tokens: int, width: int, out_width: int, threads: int) -> None:
    """A number that two tasks computed would have the residual, which is the result, twice."""
    case = Case(tokens, width, out_width, threads)
    expected = case.run(RESIDUAL)
    case.compute(case.residual, RESIDUAL)
    assert np.array_equal(case.residual[:, :out_width], expected)


@pytest.mark.parametrize(("width", "out_width"), WIDTHS)
def test_a_task_leaves_the_numbers_of_the_others_alone(width: int, out_width: int) -> None:
    case = Case(ROWS_A_TASK + 1, width, out_width)
    untouched = [(case.run(NOTHING, first) == UNTOUCHED).sum() for first in range(case.tasks() + 1)]
    assert untouched[0] == 0 and untouched[-1] == case.tokens * out_width
    assert (np.diff(untouched) > 0).all()


def test_each_row_gets_its_own_residual() -> None:
    case = Case(3, whole(40), PANEL)
    before = case.run(RESIDUAL)
    case.residual[1] += 1000
    changed = case.run(RESIDUAL) - before
    assert not changed[[0, 2]].any()
    np.testing.assert_allclose(changed[1], 1000, rtol=1e-5)


# tasks


def tasks(tokens: int, width: int, panels: int, threads: int) -> int:
    job, weights = np.zeros((), JOB), np.zeros((), LINEAR_MAP)
    job["tokens"], job["threads"] = tokens, threads
    weights["width"], weights["out_width"] = width, panels * PANEL
    return int(count_tasks(address(job), address(job), address(weights)))


def test_with_many_tokens_a_task_is_one_panel_and_a_block_of_rows() -> None:
    assert tasks(4 * ROWS + 1, 64, 10, 1) == 10
    assert tasks(ROWS_A_TASK, 64, 10, 1) == 10
    assert tasks(ROWS_A_TASK + 1, 64, 10, 1) == 20
    assert tasks(3 * ROWS_A_TASK, 64, 10, 1) == 30


def test_a_part_of_a_panel_is_a_task_too() -> None:
    for out_width, number in ((LANES, 1), (PANEL, 1), (PANEL + LANES, 2), (2 * PANEL, 2)):
        assert Case(ROWS_A_TASK, 64, out_width).tasks() == number


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_with_few_tokens_a_task_is_several_panels(threads: int) -> None:
    """But each thread gets two tasks at least, where there are so many panels."""
    for panels in (1, 2, 5, 16, 48):
        number = tasks(1, 64, panels, threads)
        assert number == tasks(4 * ROWS, 64, panels, threads)
        assert min(2 * threads, panels) <= number <= panels
        if panels == 48:
            assert number == 2 * threads


def test_a_task_reads_no_more_weights_than_a_stretch() -> None:
    """If one panel is more, the task is one panel."""
    words = 4096 // SHAPE.kind.numbers_a_word
    at_most = max(1, fast.STRETCH // (4 * words * PANEL))
    assert tasks(1, 4096, 1000, 1) == -(-1000 // at_most)
    assert tasks(1, 4096 * 100, 10, 1) == 10


if PRECISION == "float32":

    @pytest.mark.slow
    @pytest.mark.parametrize("precision", ["int16", "int8"])
    def test_the_other_precisions(precision: str) -> None:
        fast_process.run(
            "import pytest, sys; sys.exit(pytest.main(['-p', 'no:cacheprovider', sys.argv[1]]))",
            "tests/fast/test_layers.py",
            BGE_COMPILE_PRECISION=precision,
        )
