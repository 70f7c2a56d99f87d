"""Files of machine code: whole, or refused before anything is mapped."""

from pathlib import Path

import pytest

from engine.fast.weights import code_files
from engine.fast.weights.array_files import Damaged
from tests.fast.codegen.test_loading import call, shared


def write(path: Path, code: bytes) -> bytes:
    with path.open("wb") as file:
        code_files.write(file, code)
    return path.read_bytes()


def test_what_was_written_is_checked_and_called(tmp_path: Path) -> None:
    code = shared(60)
    content = write(tmp_path / "code", code)
    assert content.startswith(code) and len(content) == len(code) + code_files.END
    with (tmp_path / "code").open("rb") as file:
        code_files.check(file)
        assert call(code_files.read(file), 100) == 160


def test_any_change_is_found(tmp_path: Path) -> None:
    content = write(tmp_path / "code", shared(61))
    other = tmp_path / "other"
    places = [*range(0, len(content), 101), len(content) - 1, len(content) - code_files.END]
    for changed in (
        *(content[:n] + bytes([content[n] ^ 1]) + content[n + 1 :] for n in places),
        *(content[:n] for n in (0, 1, 47, 48, 100, len(content) - 1)),
        content + b"\0",
    ):
        other.write_bytes(changed)
        with other.open("rb") as file:
            for use in (code_files.check, code_files.read):
                with pytest.raises(Damaged, match="missing or changed"):
                    use(file)
