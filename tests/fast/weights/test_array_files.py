"""The file of arrays: what was written is read, and nothing else is taken for it."""

import random
from pathlib import Path

import numpy as np
import pytest

from engine.fast.weights import array_files

TABLE = {
    "x": np.arange(6, dtype=np.float32).reshape(2, 3),
    "empty": np.empty((0, 4), np.int16),
    "turned": np.arange(12, dtype=np.int8).reshape(3, 4).T,
    "y": np.ones(1, np.uint8),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with (tmp_path / "file").open("wb") as file:
        array_files.write(file, TABLE.items())
    return tmp_path / "file"


def test_what_was_written_is_read(path: Path) -> None:
    with path.open("rb") as file:
        array_files.check(file)
        found = array_files.read(file)
    assert list(found) == list(TABLE)
    for name, array in TABLE.items():
        assert np.array_equal(found[name], array) and found[name].dtype == array.dtype
        assert found[name].ctypes.data % array_files.ALIGNMENT == 0 or not array.size
        assert not found[name].flags.writeable


def test_every_byte_matters(path: Path) -> None:
    whole = path.read_bytes()
    for i in range(len(whole)):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 0x01]) + whole[i + 1 :])
        with path.open("rb") as file, pytest.raises(array_files.Damaged):
            array_files.check(file)


def test_every_length_matters(path: Path) -> None:
    whole = path.read_bytes()
    for content in (*(whole[:i] for i in range(len(whole))), whole + b"\0", whole + whole):
        path.write_bytes(content)
        with path.open("rb") as file, pytest.raises(array_files.Damaged):
            array_files.check(file)


@pytest.mark.slow
def test_a_table_that_makes_no_sense_is_damage_and_nothing_worse(path: Path) -> None:
    """Also where its checksum was not compared: other arrays or Damaged, no other exception."""
    whole, chance = path.read_bytes(), random.Random(1)
    begin = whole.index(b'{"x"')
    for _ in range(2000):
        content = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            content[chance.randrange(begin, len(whole))] = chance.choice(
                b'0123456789[]{}",:-e\xff '
            )
        path.write_bytes(content)
        with path.open("rb") as file:
            try:
                array_files.read(file)
            except array_files.Damaged:
                continue
