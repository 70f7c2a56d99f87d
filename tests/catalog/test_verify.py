"""Verification of a folder, and the memory of hashes: when it is believed, and when not."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from engine.catalog import verify
from engine.catalog.models import Entry, FileFact
from engine.catalog.record import RECORD
from engine.catalog.verify import WEIGHTS, Stamps, sha256, verify_files
from engine.errors import CheckpointError
from engine.system.folders import user_cache, weights_home
from tests.catalog import mouse
from tests.catalog.mouse import FILES, UNPINNED, entry_of, facts, note

user, common = mouse.user, mouse.common
Hashed = list[str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return mouse.lay_out(tmp_path / "weights" / "mouse")


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> Hashed:
    """The names of the files that are read to be hashed."""
    names: Hashed = []

    def noted(file: Path) -> str:
        names.append(file.name)
        return sha256(file)

    monkeypatch.setattr(verify, "sha256", noted)
    return names


def complaint(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        verify_files(folder, entry_of())
    return str(caught.value)


def test_a_good_folder(folder: Path) -> None:
    verify_files(folder, entry_of())


@pytest.mark.parametrize("path", FILES)
def test_one_changed_byte_in_any_file_is_found(folder: Path, path: str) -> None:
    content = bytearray(FILES[path])
    content[len(content) // 2] ^= 1
    (folder / path).write_bytes(content)
    seen, due = sha256(folder / path), facts(FILES)[path].sha256
    assert complaint(folder) == (
        f"{folder / path} has SHA-256 {seen}, but {due} is expected. mouse is not loaded from this "
        f"folder. Repair it with `bge pull mouse --to {folder}`. If the file differs on purpose, "
        f"load the folder by its path, {folder}, instead of the model's name."
    )


def test_the_path_that_helps_cannot_be_taken_for_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = mouse.lay_out(Path("weights/mouse"))
    (folder / WEIGHTS).unlink()
    with pytest.raises(CheckpointError, match=r"by its path, \./weights/mouse, instead"):
        verify_files(folder, entry_of())


def test_a_file_cut_short_is_found_without_hashing(folder: Path, hashed: Hashed) -> None:
    (folder / WEIGHTS).write_bytes(FILES[WEIGHTS][:-1])
    assert f"{WEIGHTS} has 299,999 bytes, but 300,000 are expected" in complaint(folder)
    assert hashed == []


@pytest.mark.parametrize("path", [path for path in FILES if path != "vocab.txt"])
def test_a_missing_file_is_named(folder: Path, path: str) -> None:
    (folder / path).unlink()
    assert f"{folder / path} is missing" in complaint(folder)


def test_a_file_that_cannot_be_read_is_named(common: Path) -> None:
    folder = mouse.lay_out(common / "mouse")
    (folder / WEIGHTS).chmod(0)
    with mouse.unprivileged():
        assert complaint(folder) == f"{folder / WEIGHTS} cannot be read: Permission denied."


def test_what_repeats_the_tokenizer_may_be_missing_but_not_differ(folder: Path) -> None:
    (folder / "vocab.txt").write_bytes(b"[PAD]\n[UNK]?\n")
    assert "vocab.txt has 13 bytes" in complaint(folder)
    (folder / "vocab.txt").unlink()
    verify_files(folder, entry_of())


@pytest.mark.parametrize(
    ("junk", "reason"),
    [('{"model_type": "be', "Unterminated string"), ("[" * 100_000, "recursion")],
)
def test_json_of_unknown_content_must_be_json(folder: Path, junk: str, reason: str) -> None:
    known = replace(entry_of(), files={**entry_of().files, "config.json": FileFact()})
    verify_files(folder, known)
    (folder / "config.json").write_text(junk)
    with pytest.raises(CheckpointError, match=rf"config\.json is not JSON \(.*{reason}"):
        verify_files(folder, known)


@pytest.mark.parametrize(
    ("said", "good"),
    [
        ('{"max_seq_length": 512}', True),
        ('{ "max_seq_length":512}\n', True),
        ('{"max_seq_length": 5}', False),
        ('{"max_seq_length": 512, "do_lower_case": false}', False),
        ("[]", False),
    ],
)
def test_json_of_unknown_hash_is_compared_by_its_content(
    folder: Path, said: str, good: bool
) -> None:
    fact = FileFact(content={"max_seq_length": 512})
    files = {**entry_of().files, "sentence_bert_config.json": fact}
    (folder / "sentence_bert_config.json").write_text(said)
    if good:
        return verify_files(folder, replace(entry_of(), files=files))
    with pytest.raises(
        CheckpointError, match=r"json contains .*, but \{'max_seq_length': 512\} is exp"
    ):
        verify_files(folder, replace(entry_of(), files=files))


def test_without_pins_or_record_the_files_must_be_there(folder: Path) -> None:
    verify_files(folder, UNPINNED)
    (folder / "1_Pooling" / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"1_Pooling/config\.json is missing"):
        verify_files(folder, UNPINNED)


def test_of_a_model_that_the_registry_does_not_know_no_file_is_expected(tmp_path: Path) -> None:
    """It may be of any layout; what is missing is found when it is read."""
    verify_files(tmp_path, Entry("org/name", "org/name"))


def test_without_pins_the_record_counts(folder: Path) -> None:
    note(folder)
    verify_files(folder, UNPINNED)
    (folder / WEIGHTS).write_bytes(bytes(300_000))
    with pytest.raises(CheckpointError, match="has SHA-256"):
        verify_files(folder, UNPINNED)


@pytest.mark.parametrize("path", FILES)
def test_of_what_was_recorded_nothing_may_be_missing(folder: Path, path: str) -> None:
    """Of an unknown model nobody can say which files repeat others."""
    (note(folder) / path).unlink()
    with pytest.raises(CheckpointError, match=f"{path} is missing"):
        verify_files(folder, UNPINNED)


def test_a_damaged_record_is_refused(folder: Path) -> None:
    (folder / RECORD).write_text('{"files": {}}')
    verify_files(folder, entry_of())  # what is pinned needs none
    with pytest.raises(CheckpointError, match=r"bge-pull\.json is not a record that `bge pull` wr"):
        verify_files(folder, UNPINNED)


def test_a_file_is_hashed_once(folder: Path, hashed: Hashed) -> None:
    verify_files(folder, entry_of())
    assert sorted(hashed) == sorted(Path(path).name for path in FILES)
    hashed.clear()
    verify_files(folder, entry_of())
    assert hashed == []


def touch(file: Path) -> None:
    os.utime(file)


def rewrite(file: Path) -> None:
    """Other bytes, the same size, and the old time of change put back."""
    stat = file.stat()
    file.write_bytes(bytes(stat.st_size))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def exchange(file: Path) -> None:
    """Another file of the same size and time under the same name."""
    stat = file.stat()
    other = file.with_name("other")
    other.write_bytes(bytes(stat.st_size))
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.replace(file)


@pytest.mark.parametrize(("change", "good"), [(touch, True), (rewrite, False), (exchange, False)])
def test_a_changed_file_is_hashed_again(
    folder: Path, hashed: Hashed, change: Callable[[Path], None], good: bool
) -> None:
    verify_files(folder, entry_of())
    hashed.clear()
    change(folder / WEIGHTS)
    if good:
        verify_files(folder, entry_of())
    else:
        assert f"{WEIGHTS} has SHA-256" in complaint(folder)
    assert hashed == [WEIGHTS]


def test_a_remembered_hash_is_still_compared(folder: Path, hashed: Hashed) -> None:
    verify_files(folder, entry_of())
    other = {**entry_of().files, WEIGHTS: FileFact(300_000, "0" * 64)}
    hashed.clear()
    with pytest.raises(CheckpointError, match=f"but {'0' * 64} is expected"):
        verify_files(folder, replace(entry_of(), files=other))
    assert hashed == []


def test_a_folder_under_another_path_is_another_folder(folder: Path, hashed: Hashed) -> None:
    verify_files(folder, entry_of())
    hashed.clear()
    verify_files(folder.rename(folder.with_name("rat")), entry_of())
    assert len(hashed) == len(FILES)


def test_where_nothing_can_be_remembered_each_load_hashes(
    folder: Path, hashed: Hashed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    for _ in range(2):
        verify_files(folder, entry_of())
    assert len(hashed) == 2 * len(FILES)


@pytest.mark.parametrize(
    "junk", [b"", b"[]", b"\xff\xfe", b'{"model.safetensors": 3}', b"[" * 100_000]
)
def test_a_damaged_memory_is_no_memory(folder: Path, hashed: Hashed, junk: bytes) -> None:
    verify_files(folder, entry_of())
    (memory,) = (user_cache() / "verified").iterdir()
    memory.write_bytes(junk)
    hashed.clear()
    verify_files(folder, entry_of())
    assert len(hashed) == len(FILES)


def test_a_file_that_is_written_while_it_is_hashed_is_not_remembered(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(file: Path) -> str:
        digest = sha256(file)
        file.write_bytes(bytes(10))
        return digest

    monkeypatch.setattr(verify, "sha256", slow)
    with Stamps(folder) as stamps:
        stamps.sha256(WEIGHTS)
    monkeypatch.undo()
    with Stamps(folder) as stamps:
        assert stamps.sha256(WEIGHTS) == sha256(folder / WEIGHTS)


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/caches"}, "/caches/bge-engine"),
        ("linux", {}, "/home/me/.cache/bge-engine"),
        ("darwin", {}, "/home/me/Library/Caches/bge-engine"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/bge-engine"),
    ],
)
def test_the_users_cache_is_where_the_platform_has_it(
    monkeypatch: pytest.MonkeyPatch, platform: str, environment: dict[str, str], expected: str
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setattr("sys.platform", platform)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert str(user_cache()) == expected
    assert weights_home() == user_cache() / "weights"
    monkeypatch.setenv("BGE_WEIGHTS", "~/models")
    assert str(weights_home()) == "/home/me/models"
