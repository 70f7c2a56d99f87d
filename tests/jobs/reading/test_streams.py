"""Compressions and encodings."""

import bz2
import gzip
import lzma
import struct
from pathlib import Path

import pyarrow as pa
import pytest

from engine.errors import EngineError, InputError
from engine.jobs.options import Dialect
from engine.jobs.reading.inputs import Source
from engine.jobs.reading.streams import open_stream
from tests.jobs.reading.reads import put, read

TEXTS = [f"text {n} é 世界" for n in range(20_000)]
PLAIN = "\n".join(TEXTS).encode()


def zstd(data: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(data, asbytes=True))


PACKED = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zstd}
SKIPPED = struct.pack("<II", 0x184D2A5A, 5) + b"hello"
each_packing = pytest.mark.parametrize("name", PACKED)


@each_packing
def test_streams_that_follow_each_other_are_one(tmp_path: Path, name: str) -> None:
    pack = PACKED[name]
    half = len(PLAIN) // 2
    path = put(tmp_path / f"a.txt.{name}", pack(PLAIN[:half]) + pack(b"") + pack(PLAIN[half:]))
    assert read(path)[0] == TEXTS
    assert read(put(tmp_path / "unnamed.txt", path.read_bytes()))[0] == TEXTS


def test_skippable_frames_of_zstd_hold_no_text(tmp_path: Path) -> None:
    packed = SKIPPED + zstd(PLAIN) + SKIPPED + zstd(b"\nmore") + SKIPPED
    assert read(put(tmp_path / "a.txt.zst", packed))[0] == [*TEXTS, "more"]


@pytest.mark.parametrize("name", ["bz2", "xz", "gz"])
def test_zeros_after_a_stream_are_padding(tmp_path: Path, name: str) -> None:
    packed = PACKED[name](PLAIN) + bytes(512)
    assert read(put(tmp_path / f"a.txt.{name}", packed))[0] == TEXTS


@each_packing
@pytest.mark.parametrize("damage", ["cut", "junk after it", "second stream"])
def test_damage_is_an_error_that_names_the_file(tmp_path: Path, name: str, damage: str) -> None:
    packed = PACKED[name](PLAIN)
    second = bytearray(packed)
    second[1] ^= 0xFF
    changed = {
        "cut": packed[: len(packed) // 2], "junk after it": packed + b"junk, and much of it",
        "second stream": packed + bytes(second),
    }  # fmt: skip
    path = put(tmp_path / f"a.txt.{name}", changed[damage])
    with pytest.raises(EngineError, match=r"input '.*a\.txt\..*' cannot be read completely: "):
        read(path)


@each_packing
@pytest.mark.parametrize("content", [b"", b"plain text"])
def test_a_name_that_promises_packing_is_held_to_it(
    tmp_path: Path, name: str, content: bytes
) -> None:
    with pytest.raises(EngineError, match="its name says that it is compressed"):
        read(put(tmp_path / f"a.txt.{name}", content))


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_a_byte_order_mark_tells_the_encoding(tmp_path: Path, encoding: str) -> None:
    assert read(put(tmp_path / "a.txt", "\n".join(TEXTS).encode(encoding)))[0] == TEXTS
    packed = gzip.compress("\n".join(TEXTS).encode(encoding))
    assert read(put(tmp_path / "a.txt.gz", packed))[0] == TEXTS


def test_another_encoding_is_named(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "text,n\nGrüße,1\n".encode("cp1252"))
    assert read(path, encoding="cp1252")[0] == ["Grüße"]
    assert "not valid Unicode" in read(path)[1][0]
    path = put(tmp_path / "a.txt", "a\nb".encode("utf-16-le"))
    assert read(path, encoding="utf-16-le")[0] == ["a", "b"]
    assert "a NUL byte" in read(path)[1][0] and not read(path)[0]


def test_what_does_not_fit_the_encoding_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="cannot be read completely: 'utf-16-le' codec"):
        read(put(tmp_path / "a.txt", "ab".encode("utf-16") + b"x"))
    with pytest.raises(EngineError, match="cannot be read completely: 'ascii' codec"):
        read(put(tmp_path / "b.txt", "é"), encoding="ascii")
    with pytest.raises(InputError, match="--encoding is for text"):
        read(put(tmp_path / "a.parquet", b""), encoding="ascii")


def test_the_position_is_in_bytes_of_the_file(tmp_path: Path) -> None:
    path = put(tmp_path / "a.txt.xz", lzma.compress(PLAIN))
    source = Source(str(path), "text", path.stat().st_size, Dialect())
    with open_stream(source) as (stream, position):
        assert stream.read() == PLAIN
        assert position() == source.size
