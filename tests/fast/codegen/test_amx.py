"""The tile program of AMX, run by a model of the instructions; and what LLVM makes of it.

Where a CPU has AMX, the other tests run the code itself: `test_micro_kernel`, `test_target`.
"""

import re
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.fast.codegen import amx
from tests.fast import assembly, tile_ir

Bytes = NDArray[np.uint8]
PALETTE_1_ROWS, PALETTE_1_BYTES = 16, 64  # the most that a tile has; Intel's manual, TILE_CONFIG


class Model:
    """The instructions in numpy, as Intel's manual says. A matrix is an array of rows of bytes."""

    def __init__(self, configuration: bytes) -> None:
        assert len(configuration) == 64 and configuration[0] == 1
        columns = np.frombuffer(configuration, "<u2", 8, offset=16)
        rows = np.frombuffer(configuration, np.uint8, 8, offset=48)
        assert rows.max() <= PALETTE_1_ROWS and columns.max() <= PALETTE_1_BYTES
        assert ((rows == 0) == (columns == 0)).all()  # else ldtilecfg faults
        assert not any(configuration[1:16]) and not any(configuration[32:48])
        self.tiles = [np.full((r, c), 99, np.uint8) for r, c in zip(rows, columns, strict=True)]

    def zero(self, tile: int) -> None:
        assert self.tiles[tile].size
        self.tiles[tile][:] = 0

    def load(self, tile: int, matrix: Bytes, row: int, column: int) -> None:
        self.tiles[tile][:] = self._part(tile, matrix, row, column)

    def store(self, tile: int, matrix: Bytes, row: int, column: int) -> None:
        self._part(tile, matrix, row, column)[:] = self.tiles[tile]

    def multiply(self, sums: int, a: int, b: int) -> None:
        """tdpbusd: bytes of a without sign, of b with."""
        left = self.tiles[a].astype(np.int64)
        words, columns = self.tiles[b].shape[0], self.tiles[b].shape[1] // 4
        assert left.shape[1] == 4 * words
        right = self.tiles[b].view(np.int8).reshape(words, columns, 4)
        right = right.transpose(0, 2, 1).reshape(4 * words, columns).astype(np.int64)
        self.tiles[sums].view(np.int32)[:] += (left @ right).astype(np.int32)

    def _part(self, tile: int, matrix: Bytes, row: int, column: int) -> Bytes:
        """The place of a tile, which must lie within the matrix."""
        rows, columns = self.tiles[tile].shape
        part = matrix[row : row + rows, 4 * column : 4 * column + columns]
        assert part.shape == (rows, columns) and part.size
        return part


def product(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.int32]:
    """The program of `emit_product`, its loop in Python."""
    m, K = a.shape
    unit, halves = Model(amx.configuration(m)), 1 if m <= amx.ROWS else 2
    panel = np.ascontiguousarray(b.reshape(K // 4, 4, amx.COLUMNS).transpose(0, 2, 1))
    out = np.full((m, amx.COLUMNS), 77, np.int32)
    amx.start(unit, halves)
    for k in range(0, K // 4, amx.WORDS):
        amx.step(unit, halves, a, panel.reshape(K // 4, -1).view(np.uint8), k)
    amx.finish(unit, halves, out.view(np.uint8))
    return out


@pytest.mark.parametrize("m", range(1, 33))
def test_the_program_is_an_exact_product(m: int) -> None:
    draw = np.random.default_rng(m)
    for K in (64, 192, 768):
        a = draw.integers(0, 256, (m, K)).astype(np.uint8)
        b = draw.integers(-127, 128, (K, amx.COLUMNS)).astype(np.int8)
        assert np.array_equal(product(a, b), a.astype(np.int64) @ b.astype(np.int64))


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_largest_numbers(sign: int) -> None:
    a = np.full((32, 4096), 255, np.uint8)
    b = np.full((4096, amx.COLUMNS), sign * 127, np.int8)
    assert (product(a, b) == sign * 255 * 127 * 4096).all()


def test_each_loop_multiplies_all_its_tiles() -> None:
    found = assembly.loops(tile_ir.assembly("amx", "sapphirerapids"), "tile_int8")
    counts = [
        {name: loop.operations[f"{name}"] for name in ("tileloadd", "tdpbusd", "prefetcht0")}
        for loop in found
    ]
    assert counts == [
        {"tileloadd": 3, "tdpbusd": 2, "prefetcht0": 32},
        {"tileloadd": 4, "tdpbusd": 4, "prefetcht0": 32},
    ]


def test_tiles_are_configured_before_a_product_and_released_behind_it() -> None:
    names = re.findall(
        r"^\t(ldtilecfg|tilerelease|callq\ttile_int8)",
        tile_ir.assembly("amx", "sapphirerapids"),
        re.MULTILINE,
    )
    assert names == ["ldtilecfg", "callq\ttile_int8", "tilerelease"]


def test_other_products_and_other_cpus_have_no_tiles() -> None:
    assert "tilerelease" not in tile_ir.assembly("avx512vnni", "sapphirerapids")
