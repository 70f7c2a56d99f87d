"""The vectors of an output's files, mapped or decoded, are those that were written."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.errors import EngineError
from engine.jobs.writing import shard_files
from engine.jobs.writing.stored import Source, convert
from engine.search.output import Output, Shard, read_output
from tests.search.outputs import DTYPES, FORMATS, unit, write_output


def source_of(output: Output, shard: Shard) -> Source:
    return Source(shard.stem, shard.rows, output.manifest)


def read(output: Output) -> tuple[np.ndarray, np.ndarray | None]:
    parts = [source_of(output, shard).read() for shard in output.shards]
    scales = [part.scales for part in parts if part.scales is not None]
    values = np.concatenate([part.values for part in parts])
    return values, np.concatenate(scales) if scales else None


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [1, 3, 24, 768])
def test_every_layout(tmp_path: Path, format: str, dtype: str, dim: int) -> None:
    vectors = unit(130, dim)
    names = [f"name {row}" for row in range(130)]  # of various lengths, so offsets are odd too
    write_output(tmp_path / "out", vectors, format=format, dtype=dtype, columns={"name": names})
    values, scales = read(read_output(tmp_path / "out"))
    converted = convert(vectors, dtype)
    expected, expected_scales = converted.values, converted.scales
    assert values.dtype == expected.dtype and np.array_equal(values, expected)
    assert (scales is None) == (expected_scales is None)
    if scales is not None:
        assert np.array_equal(scales, expected_scales)


@pytest.mark.parametrize(
    ("format", "dtype", "mapped"),
    [
        ("npy", "float32", True), ("npy", "int8", True), ("parquet", "float32", True),
        ("parquet", "float16", True), ("parquet", "int8", False),
    ],
)  # fmt: skip
def test_what_is_mapped(tmp_path: Path, format: str, dtype: str, mapped: bool) -> None:
    write_output(tmp_path / "out", unit(50, 384), format=format, dtype=dtype)
    output = read_output(tmp_path / "out")
    source = source_of(output, output.shards[0])
    assert np.shares_memory(source.read().values, source.read().values) == mapped


def test_a_shard_of_many_pages_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As files of releases before this one, and shards larger than a page."""
    monkeypatch.setattr(shard_files, "PAGE_BYTES", 1 << 16)
    vectors = unit(5000)
    output = read_output(write_output(tmp_path / "out", vectors, shard_rows=5000))
    source = source_of(output, output.shards[0])
    assert np.array_equal(source.read().values, vectors)
    assert not np.shares_memory(source.read().values, source.read().values)


def test_an_npy_file_of_another_shape_is_refused(tmp_path: Path) -> None:
    output = read_output(write_output(tmp_path / "out", unit(50), format="npy"))
    wrong = replace(output, manifest={**output.manifest, "dim": 12})
    with pytest.raises(EngineError, match=r"float32 of shape \(50, 24\); the job wrote"):
        source_of(wrong, wrong.shards[0])


def test_float16_is_a_cast() -> None:
    values, scales = convert(np.array([[0.1]], np.float32), "float16")
    assert values.dtype == np.float16 and scales is None


def test_int8_of_zeros_is_zeros_and_extremes_are_reached() -> None:
    values, scales = convert(np.array([[0, 0], [-2, 1], [0.5, 0.25]], np.float32), "int8")
    assert values.tolist() == [[0, 0], [-127, 64], [127, 64]]
    assert scales.tolist() == pytest.approx([0, 2 / 127, 0.5 / 127])
    assert convert(np.empty((0, 3), np.float32), "int8")[0].shape == (0, 3)
