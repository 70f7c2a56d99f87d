"""What is on disk: one job at a time, the same job only, whole shards only, whatever happens."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.errors import EngineError, InputError
from engine.jobs.writing.folders import Folders
from engine.jobs.writing.manifest import VERSION
from engine.jobs.writing.record import Record
from engine.jobs.writing.shards import Key
from engine.jobs.writing.store import Store
from tests.jobs.support import (
    ROOT,
    command,
    job,
    results,
    running,
    table,
    texts,
    wait_until,
    write_parquet,
)

ROWS = 600
SHARD = ("--shard-rows", 50, "--id", "id")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_parquet(tmp_path_factory.mktemp("corpus") / "in.parquet", texts(ROWS))


@pytest.fixture(scope="module")
def undisturbed(corpus: Path) -> dict[str, bytes]:
    job(corpus, "-o", corpus.parent / "undisturbed", *SHARD)
    return results(corpus.parent / "undisturbed")


def test_two_runs_make_the_same_bytes(
    corpus: Path, tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    job(corpus, "-o", tmp_path / "out", *SHARD)
    assert results(tmp_path / "out") == undisturbed


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--pooling", "cls"], "pooling: was 'mean', is 'cls'"),
        (["--prompt", "x: "], "prompt: was 'passage: ', is 'x: '"),
        (["--no-normalize"], "normalize: was None, is False"),
        (["--truncate-dim", 8], "dim: was 40, is 8"),
        (["--dtype", "int8"], "dtype: was 'float32', is 'int8'"),
        (["--format", "npy"], "format: was 'parquet', is 'npy'"),
        (["--shard-rows", 7], "shard_rows: was 50, is 7"),
        (["--text", "{text}!"], "text: was"),
        (["--keep", "text"], "columns: was ['id: int64'], is ['id: int64', 'text: string']"),
    ],
    ids=lambda value: str(value[0]) if isinstance(value, list) else "",
)
def test_another_job_on_the_same_output_is_refused_and_told_what_differs(
    corpus: Path, undisturbed: dict[str, bytes], words: list[object], told: str
) -> None:
    out = corpus.parent / "undisturbed"
    with pytest.raises(InputError) as refusal:
        job(corpus, "-o", out, *SHARD, *words)
    assert told in str(refusal.value)
    assert results(out) == undisturbed


def test_a_changed_input_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "in.txt"
    source.write_text("\n".join(texts(20)))
    job(source, "-o", tmp_path / "out")
    os.utime(source, (1, 1))
    assert job(source, "-o", tmp_path / "out") == 0
    source.write_text(source.read_text().replace(".", "!"))
    with pytest.raises(InputError, match=r"in\.txt' has changed: sha256 was"):
        job(source, "-o", tmp_path / "out")
    (tmp_path / "more.txt").write_text("x\n")
    with pytest.raises(InputError, match=r"more\.txt' is new"):
        job(source, tmp_path / "more.txt", "-o", tmp_path / "out")


def test_another_model_is_refused(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.catalog.registry.weights_hash", lambda folder: "0" * 64)
    with pytest.raises(InputError, match=r"model_hash: was '[0-9a-f]{64}', is '0{64}'"):
        job(corpus, "-o", corpus.parent / "undisturbed", *SHARD)


def test_a_folder_of_something_else_is_not_written_to(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "precious.doc").write_text("x")
    with pytest.raises(InputError, match=r"holds 'precious\.doc' and is not the output of a job"):
        job(corpus, "-o", tmp_path)
    with pytest.raises(InputError, match="is a file"):
        job(corpus, "-o", tmp_path / "precious.doc")
    assert [path.name for path in tmp_path.iterdir()] == ["precious.doc"]


@pytest.mark.slow
def test_a_second_job_on_one_output_is_refused_until_the_first_is_dead(
    corpus: Path, tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    out = tmp_path / "out"
    with running(corpus, "-o", out, *SHARD) as first:
        wait_until(lambda: (tmp_path / "out.job" / "manifest.json").exists(), first)
        first.send_signal(signal.SIGSTOP)
        with pytest.raises(EngineError, match=rf"another job .*process {first.pid} on"):
            job(corpus, "-o", out, *SHARD)
    assert job(corpus, "-o", out, *SHARD) == 0
    assert results(out) == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_sigterm_and_sighup_stop_with_a_word_and_the_job_goes_on(
    corpus: Path, tmp_path: Path, undisturbed: dict[str, bytes], how: signal.Signals
) -> None:
    out = tmp_path / "out"
    with running(corpus, "-o", out, *SHARD) as process:
        wait_until(lambda: len(list(out.glob("part*"))) > 2, process)
        process.send_signal(how)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "rerun the same command to resume from the last complete shard" in said
    assert "Traceback" not in said
    journal = (tmp_path / "out.job" / "journal.jsonl").read_text().splitlines()
    names = [name for line in journal for name in json.loads(line)["files"]]
    whole = [out / name for name in names if name.startswith("part")]
    assert 0 < len(whole) < len(undisturbed)
    before = [path.stat().st_mtime_ns for path in whole]
    job(corpus, "-o", out, *SHARD)
    assert results(out) == undisturbed
    assert before == [path.stat().st_mtime_ns for path in whole]


@pytest.mark.slow
@pytest.mark.parametrize("packing", [None, "gzip", "zstd"])
def test_ctrl_c_while_standard_input_is_waited_for(tmp_path: Path, packing: str | None) -> None:
    out = tmp_path / "out"
    lines = "".join(text + "\n" for text in texts(200)).encode()
    data = pa.compress(lines, packing, asbytes=True) if packing else lines
    with running("-", "-o", out, "--shard-rows", 50) as process:
        assert process.stdin is not None
        process.stdin.buffer.write(data)
        process.stdin.flush()
        wait_until(lambda: (tmp_path / "out.job" / "manifest.json").exists(), process)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 130  # it does not wait for the input to end
    words = command("-", "-o", out, "--shard-rows", 50)
    subprocess.run(words, input=data, cwd=ROOT, check=True)
    assert table(out).num_rows == 200


def test_a_torn_journal_a_lost_shard_and_leftovers_are_mended(
    corpus: Path, tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    out = tmp_path / "out"
    job(corpus, "-o", out, *SHARD)
    journal = tmp_path / "out.job" / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-40])
    (out / "part-000000-000003.parquet").unlink()
    (out / "part-000000-000005.parquet").write_bytes(b"short")
    (out / ".new-0000-part-000000-000007.parquet").write_bytes(b"left over")
    job(corpus, "-o", out, *SHARD)
    assert results(out) == undisturbed
    assert sorted(json.loads(line)["key"][1] for line in journal.open()) == sorted(
        [*range(12), 3, 5]
    )


def test_what_a_node_left_half_written_goes_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("\n".join(texts(20)))
    out = tmp_path / "out"
    job(tmp_path / "in.txt", "-o", out, "--shard-rows", 5)
    whole = results(out)
    manifest = json.loads((tmp_path / "out.job" / "manifest.json").read_text())
    with Store(Folders.of(out), manifest, splits=1) as store:
        for folder in (store.folders.data, store.folders.job):
            (folder / ".new-0000-part-000000-000002.parquet").write_bytes(b"its writer died")
        store.finish()
    assert results(out) == whole
    assert not list(tmp_path.rglob(".new-*"))


def test_a_journal_that_cannot_be_written_keeps_its_whole_lines(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("\n".join(texts(20)))
    job(tmp_path / "in.txt", "-o", tmp_path / "out", "--shard-rows", 5)
    manifest = json.loads((tmp_path / "out.job" / "manifest.json").read_text())
    with Store(Folders.of(tmp_path / "out"), manifest, splits=1) as store:
        before = (store.folders.job / "journal.jsonl").read_bytes()
        room = len(before) + 10
        with limited(room), pytest.raises(EngineError, match="file size limit"):
            store.add(next(iter(store.records.values())))
        assert (store.folders.job / "journal.jsonl").read_bytes() == before


@contextlib.contextmanager
def limited(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.slow
@pytest.mark.parametrize("size", [100, 2_000, 8_000])
def test_a_file_over_the_limit_is_a_clear_error_and_the_job_goes_on(
    corpus: Path, tmp_path: Path, undisturbed: dict[str, bytes], size: int
) -> None:
    """100 bytes: not even the manifest; 2,000: the manifest only; 8,000: no shard either."""
    words = command(corpus, "-o", tmp_path / "out", *SHARD)
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))  # noqa: E731
    stopped = subprocess.run(words, preexec_fn=limit, capture_output=True, text=True)
    assert stopped.returncode == 1
    assert "cannot be written: the file size limit is reached" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert results(tmp_path / "out") == {}
    job(corpus, "-o", tmp_path / "out", *SHARD)
    assert results(tmp_path / "out") == undisturbed


def mount(folder: Path, *options: str) -> bool:
    words = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
    return subprocess.run(words, capture_output=True).returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A real file system that can be given more room: a function from kibibytes to its folder.

    Where mounting is not permitted, the folder is an ordinary one and the limit on the size of a
    file stands in for the disk: the journal and the shards then fail one after the other as well.
    """
    disk = tmp_path / "disk"
    disk.mkdir()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    if mount(disk, "size=40k"):

        def room(kibibytes: int) -> Path:
            assert mount(disk, "remount", f"size={kibibytes}k")
            return disk

    else:

        def room(kibibytes: int) -> Path:
            resource.setrlimit(resource.RLIMIT_FSIZE, (kibibytes * 64, limit[1]))
            return disk

    yield room
    resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    subprocess.run(["umount", str(disk)], capture_output=True)


@pytest.mark.slow
def test_on_a_full_disk_no_shard_is_broken_and_more_room_is_all_it_takes(
    corpus: Path, small_disk: Callable[[int], Path], undisturbed: dict[str, bytes]
) -> None:
    stops = 0
    for kibibytes in range(40, 2000, 28):
        out = small_disk(kibibytes) / "out"
        try:
            assert job(corpus, "-o", out, *SHARD) == 0
            break
        except EngineError as error:
            stops += 1
            assert "free some space and rerun the same command" in str(error)
        shards = {name: data for name, data in results(out).items() if name.startswith("part")}
        assert all(undisturbed[name] == data for name, data in shards.items())
        assert not list(out.glob(".new-*"))
    assert stops >= 3
    assert results(out) == undisturbed
    assert pq.read_table(out).num_rows == ROWS


def test_a_damaged_shard_is_computed_again(
    corpus: Path, tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    out = tmp_path / "out"
    job(corpus, "-o", out, *SHARD)
    part = out / "part-000000-000003.parquet"
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    job(corpus, "-o", out, *SHARD)
    assert results(out) == undisturbed


def test_parts_after_the_last_do_not_stand_for_missing_ones(tmp_path: Path) -> None:
    manifest = {"version": VERSION, "inputs": [], "text": {}}
    with Store(Folders.of(tmp_path / "out"), manifest, splits=1) as store:
        for part, last in [(0, False), (2, True), (3, False)]:
            store.add(record(0, part, last))
        assert not store.done(0)
        store.add(record(0, 1))
        assert store.done(0)


def record(split: int, part: int, last: bool = False) -> Record:
    return Record(Key(split, part), last, 5, 50, 0, 0, 100, "digest", {})


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
def test_a_split_is_done_when_every_part_is_in_place_in_whatever_order(
    tmp_path: Path, order: list[int]
) -> None:
    """On a cluster the last part may be in place before an earlier one."""
    manifest = {"version": VERSION, "inputs": [], "text": {}}
    with Store(Folders.of(tmp_path / "out"), manifest, splits=2) as store:
        for number, part in enumerate(order):
            assert not store.done(0)
            store.add(record(0, part, last=part == 2))
            assert store.done(0) == (number == 2)
        store.add(record(0, 2, last=True))  # once more: it is counted once
        assert store.done(0) and not store.done(1) and not store.complete
        store.add(record(1, 0, last=True))
        assert store.complete and store.totals["rows"] == 20
    with Store(Folders.of(tmp_path / "out"), manifest, splits=2) as again:
        assert again.complete and again.digests(0) == dict.fromkeys(range(3), "digest")
