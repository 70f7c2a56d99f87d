"""Exact values of each width, and files that are damaged or incomplete.

Expected values are written as bits, from the definitions of the formats.
"""

import json
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from engine.checkpoint.tensor_files import read_tensors, weight_files
from engine.errors import CheckpointError
from tests.support.folders import tiny_tensors, write_raw, write_tensors
from tests.support.synthetic import TINY

INF, NAN = float("inf"), float("nan")
BFLOAT16 = {
    0x3F80: 1.0,
    0xC2F7: -123.5,
    0x4049: 3.140625,
    0x0001: 2.0**-133,
    0x8000: -0.0,
    0x7F7F: (2 - 2**-7) * 2.0**127,
    0x7F80: INF,
    0xFF80: -INF,
    0x7FC0: NAN,
}
FLOAT16 = {
    0x3C00: 1.0,
    0x0001: 2.0**-24,
    0x7BFF: 65504.0,
    0xC580: -5.5,
    0xFC00: -INF,
    0x7E00: NAN,
}
FLOAT64 = {
    1.0: 1.0,
    0.1: 13421773 * 2.0**-27,  # the nearest number of 24 bits
    -1e-50: -0.0,
    1e38: float(np.float32(1e38)),
    1e39: INF,
    -1e300: -INF,
}


def read_one(folder: Path, bits: NDArray[Any], kind: str) -> NDArray[np.float32]:
    write_tensors(folder / "model.safetensors", {"a": bits}, {"a": kind})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (found,) = read_tensors(folder).values()
    assert found.dtype == np.float32
    return found


def same_bits(found: NDArray[np.float32], expected: list[float]) -> None:
    want = struct.pack(f"<{len(expected)}f", *expected)
    assert np.array_equal(found, np.frombuffer(want, "<f4"), equal_nan=True)
    assert np.array_equal(np.signbit(found), np.signbit(expected))


@pytest.mark.parametrize(("kind", "table"), [("BF16", BFLOAT16), ("F16", FLOAT16)])
def test_half_widths_are_widened_exactly(
    kind: str, table: dict[int, float], tmp_path: Path
) -> None:
    found = read_one(tmp_path, np.array([*table], "<u2"), kind)
    same_bits(found, [*table.values()])


def test_every_finite_bfloat16_keeps_its_value(tmp_path: Path) -> None:
    """(-1)^sign 2^(exponent - 127) (1 + fraction / 128), and without the 1 where exponent is 0."""
    bits = np.array([n for n in range(65536) if (n >> 7) & 255 != 255], "<u2")
    sign, exponent, fraction = bits >> 15, (bits >> 7) & 255, bits & 127
    whole = np.where(exponent == 0, 0.0, 1.0) + fraction / 128
    scale = np.where(exponent == 0, -126, exponent.astype(int) - 127)
    expected = (-1.0) ** sign * np.ldexp(whole, scale)
    assert np.array_equal(read_one(tmp_path, bits, "BF16").astype(np.float64), expected)


def test_float64_is_rounded_and_overflows_to_infinity(tmp_path: Path) -> None:
    same_bits(read_one(tmp_path, np.array([*FLOAT64], "<f8"), "F64"), [*FLOAT64.values()])


def test_float32_is_mapped_not_copied(tmp_path: Path) -> None:
    found = read_one(tmp_path, np.array([[1, 2, 3], [4, 5, 6]], "<f4"), "F32")
    assert found.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert not found.flags.owndata and not found.flags.writeable


@pytest.mark.parametrize("blanks", range(8))
@pytest.mark.parametrize(("kind", "width"), [("F32", 4), ("F64", 8), ("F16", 2), ("BF16", 2)])
def test_unaligned_tensors(kind: str, width: int, blanks: int, tmp_path: Path) -> None:
    """The format does not promise that numbers are aligned."""
    header = {"a": {"dtype": kind, "shape": [2], "data_offsets": [0, 2 * width]}}
    one = {"F32": "<f", "F64": "<d", "F16": "<e", "BF16": ">f"}[kind]
    data = b"".join(struct.pack(one, value) for value in (1.5, -2.0))
    if kind == "BF16":  # the upper two bytes of a float32, the lower one first
        data = data[1::-1] + data[5:3:-1]
    path = tmp_path / "model.safetensors"
    write_raw(path, json.dumps(header).encode() + b" " * blanks, data)
    (found,) = read_tensors(tmp_path).values()
    assert found.tolist() == [1.5, -2] and found.flags.aligned


def test_the_library_writes_what_is_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    saved = {f"t{n}": rng.standard_normal((n + 1, 5)).astype(np.float32) for n in range(4)}
    save_file(saved, tmp_path / "model.safetensors", {"format": "pt"})
    found = read_tensors(tmp_path)
    assert found.keys() == saved.keys()
    assert all(np.array_equal(found[name], saved[name]) for name in saved)


def test_integers_and_empty_tensors_are_left_out(tmp_path: Path) -> None:
    kinds = ["BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64"]
    widths = [1, 1, 1, 2, 2, 4, 4, 8, 8]
    tensors = {kind: np.zeros(width, np.uint8) for kind, width in zip(kinds, widths, strict=True)}
    header, at = {}, 0
    for kind, raw in tensors.items():
        header[kind] = {"dtype": kind, "shape": [1], "data_offsets": [at, at + len(raw)]}
        at += len(raw)
    header["kept"] = {"dtype": "F32", "shape": [], "data_offsets": [at, at + 4]}
    header["empty"] = {"dtype": "F32", "shape": [3, 0], "data_offsets": [at + 4, at + 4]}
    data = b"\1" * at + struct.pack("<f", 7)
    write_raw(tmp_path / "model.safetensors", json.dumps(header).encode(), data)
    found = read_tensors(tmp_path)
    assert {name: tensor.tolist() for name, tensor in found.items()} == {"kept": 7}


@pytest.mark.parametrize("kind", ["F8_E4M3", "F8_E5M2"])
def test_an_unknown_type_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        write_typed(tmp_path, kind, 1)
        read_tensors(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / 'model.safetensors'}: tensor a is of type {kind}; the engine reads F32, F16, "
        "BF16, F64. Save the model again in one of these."
    )


def test_a_type_that_only_newer_safetensors_know_is_refused(tmp_path: Path) -> None:
    # Which message depends on the version: the older ones call the whole header unreadable.
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        write_typed(tmp_path, "C64", 8)
        read_tensors(tmp_path)


def write_typed(folder: Path, kind: str, width: int) -> None:
    """Tensor a of four numbers of that type, each `width` bytes."""
    header = {"a": {"dtype": kind, "shape": [4], "data_offsets": [0, 4 * width]}}
    write_raw(folder / "model.safetensors", json.dumps(header).encode(), bytes(4 * width))


HEADER = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()


def entry(**fields: Any) -> bytes:
    return json.dumps(
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **fields}}
    ).encode()


DAMAGED: dict[str, bytes] = {
    "empty": b"",
    "seven bytes": bytes(7),
    "no header": bytes(8),
    "a header beyond the end": (10**6).to_bytes(8, "little") + HEADER,
    "a header of 2^63 bytes": (2**63).to_bytes(8, "little") + HEADER,
    "cut short": len(HEADER).to_bytes(8, "little") + HEADER + bytes(7),
    "cut in the header": len(HEADER).to_bytes(8, "little") + HEADER[:20],
    "too long": len(HEADER).to_bytes(8, "little") + HEADER + bytes(9),
    "not JSON": (4).to_bytes(8, "little") + b"abcd" + bytes(8),
    "not UTF-8": (4).to_bytes(8, "little") + b'{"\xff"' + bytes(8),
    "a list": (2).to_bytes(8, "little") + b"[]",
    "HTML": b"<!DOCTYPE html><html><body>404</body></html>",
    "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    "a zip file": b"PK\3\4" + bytes(60),
}
DAMAGED |= {
    name: len(header).to_bytes(8, "little") + header + bytes(8)
    for name, header in {
        "nested deeply": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        "no such type": entry(dtype="F33"),
        "a type of another width": entry(dtype="F16"),
        "a shape of another size": entry(shape=[3]),
        "a negative shape": entry(shape=[-2]),
        "a huge shape": entry(shape=[2**62, 2**62]),
        "a shape of text": entry(shape="2"),
        "offsets backwards": entry(data_offsets=[8, 0]),
        "offsets beyond the end": entry(data_offsets=[8, 16]),
        "one offset": entry(data_offsets=[8]),
        "no offsets": json.dumps({"a": {"dtype": "F32", "shape": [2]}}).encode(),
    }.items()
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_named(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(DAMAGED[name])
    with pytest.raises(CheckpointError) as caught:
        read_tensors(tmp_path)
    assert str(caught.value).startswith(f"{path} is damaged or truncated: ")
    assert str(caught.value).endswith(". Download it again; `bge pull` verifies what it downloads.")


@pytest.mark.parametrize("length", [1, 8, 100, 5000, 138_295])
def test_a_file_cut_anywhere_is_damaged(length: int, tmp_path: Path) -> None:
    whole = (TINY / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[:length])
    with pytest.raises(CheckpointError, match="is damaged or truncated"):
        read_tensors(tmp_path)


def shards(folder: Path, index: Any, **files: list[str]) -> Path:
    """Files of some of the tiny checkpoint's tensors, and an index."""
    folder.mkdir(exist_ok=True)
    tensors = tiny_tensors()
    for name, held in files.items():
        write_tensors(folder / f"{name}.safetensors", {one: tensors[one] for one in held})
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")
    return folder


BIAS = [f"encoder.layer.0.attention.self.{name}.bias" for name in ("query", "key", "value")]


def test_shards_are_read_together(tmp_path: Path) -> None:
    where = {BIAS[0]: "b.safetensors", BIAS[1]: "a.safetensors", BIAS[2]: "b.safetensors"}
    shards(tmp_path, {"weight_map": where}, a=BIAS[1:2], b=[BIAS[0], BIAS[2]], c=BIAS)
    assert weight_files(tmp_path) == [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    found, tensors = read_tensors(tmp_path), tiny_tensors()
    assert set(found) == set(BIAS)
    assert all(np.array_equal(found[name], tensors[name]) for name in BIAS)


def test_one_file_is_preferred_to_an_index(tmp_path: Path) -> None:
    shards(tmp_path, {"weight_map": {"x": "a.safetensors"}}, a=BIAS[:1], model=BIAS[1:])
    assert weight_files(tmp_path) == [tmp_path / "model.safetensors"]
    assert set(read_tensors(tmp_path)) == set(BIAS[1:])


def test_a_tensor_that_the_index_does_not_list_is_read_too(tmp_path: Path) -> None:
    shards(tmp_path, {"weight_map": {BIAS[0]: "a.safetensors"}}, a=BIAS)
    assert set(read_tensors(tmp_path)) == set(BIAS)


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    where = {BIAS[0]: "a.safetensors", BIAS[1]: "b.safetensors"}
    shards(tmp_path, {"weight_map": where}, a=BIAS[:1], b=BIAS[:2])
    with pytest.raises(CheckpointError) as caught:
        read_tensors(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / 'b.safetensors'}: tensor {BIAS[0]} is in another file of the checkpoint too. "
        "Save the model again."
    )


@pytest.mark.parametrize(
    "name",
    [
        "b.safetensors",
        "../a.safetensors",
        "./a.safetensors",
        "x/../a.safetensors",
        "/etc/passwd",
        "",
        None,
        "..",
        "a\0",
        "a" * 5000,
        "\ud800",
    ],
)
def test_a_shard_must_be_a_file_of_the_folder(name: str | None, tmp_path: Path) -> None:
    folder = shards(tmp_path / "in", {"weight_map": {"x": "a.safetensors", "y": name}}, a=BIAS)
    (tmp_path / "a.safetensors").write_bytes((folder / "a.safetensors").read_bytes())
    (folder / "x").mkdir()
    index = folder / "model.safetensors.index.json"
    with pytest.raises(CheckpointError) as caught:
        weight_files(folder)
    assert str(caught.value) == f"{index} names the shard {name or ''!r}, which is not in {folder}."


def test_a_folder_is_no_shard(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").mkdir()
    shards(tmp_path, {"weight_map": {"x": "a.safetensors"}})
    with pytest.raises(CheckpointError, match=r"a\.safetensors is damaged or truncated"):
        read_tensors(tmp_path)


@pytest.mark.parametrize("index", [{}, {"weight_map": {}}, {"weight_map": None}])
def test_an_index_without_names_is_refused(index: Any, tmp_path: Path) -> None:
    path = shards(tmp_path, index) / "model.safetensors.index.json"
    with pytest.raises(CheckpointError) as caught:
        weight_files(tmp_path)
    message = f"{path}: weight_map is missing; it must name a file per tensor."
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "index",
    [[], None, 3, {"weight_map": []}, {"weight_map": "a"}, {"weight_map": {"x": 1, "y": "a"}}],
)
def test_an_index_of_wrong_types_is_refused(index: Any, tmp_path: Path) -> None:
    shards(tmp_path, index)
    with pytest.raises(CheckpointError, match=r"model\.safetensors\.index\.json.* must "):
        weight_files(tmp_path)


def test_a_folder_without_weights(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(CheckpointError) as caught:
        weight_files(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} has no model.safetensors (nor model.safetensors.index.json). Weights in other "
        "formats are not read: pickle files can run code. Convert them to safetensors."
    )
