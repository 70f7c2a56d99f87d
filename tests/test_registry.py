"""From a name or a path to a folder: the order of the places, what is refused, what is offline."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from engine import registry
from engine.errors import CheckpointError, ModelNotFound
from engine.facts import Entry
from engine.verify import RECORD, WEIGHTS
from tests import mouse
from tests.hub_server import Hub
from tests.mouse import COMMIT, FILES, LATER, UNPINNED, entry_of, forbidden, lay_out

user, hub = mouse.user, mouse.hub
ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory with nothing in it."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Entry:
    """The registry's only entry: `mouse`."""
    only = entry_of()

    def entry(name: str) -> Entry:
        if name not in ("mouse", "tiny/mouse"):
            raise ModelNotFound(name)
        return only

    monkeypatch.setattr(registry, "entry", entry)
    monkeypatch.setattr(registry, "entries", lambda: (only,))
    return only


def cached(tmp_path: Path, commit: str) -> Path:
    """A snapshot as the hub's own library lays it out: links to blobs."""
    repository = tmp_path / "hf" / "hub" / "models--tiny--mouse"
    snapshot = repository / "snapshots" / commit
    for path, content in FILES.items():
        blob = repository / "blobs" / hashlib.sha256(content).hexdigest()
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(content)
        (snapshot / path).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / path).symlink_to(blob)
    return snapshot


def test_the_places_in_their_order(hub: Hub, known: Entry, tmp_path: Path) -> None:
    """Each is found when those before it are not there; the hub is the last."""
    home = tmp_path / "cache" / "bge-engine" / "weights" / "mouse"
    assert registry.locate("mouse") == home
    assert hub.requests
    hub.die()
    home.rename(tmp_path / "gone")
    snapshot = cached(tmp_path, COMMIT)
    assert registry.locate("mouse") == snapshot
    (tmp_path / "gone").rename(home)
    assert registry.locate("mouse") == home
    lay_out(Path("weights/mouse"))
    assert registry.locate("mouse") == Path("weights/mouse")
    lay_out(Path("mouse"))
    assert registry.locate("mouse") == Path("mouse")


def test_bge_weights_names_another_place(
    known: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BGE_WEIGHTS", str(tmp_path / "mine"))
    lay_out(tmp_path / "mine" / "mouse")
    assert registry.locate("tiny/mouse", offline=True) == tmp_path / "mine" / "mouse"


def test_a_damaged_folder_is_refused_and_not_passed_over(known: Entry, tmp_path: Path) -> None:
    cached(tmp_path, COMMIT)
    lay_out(Path("weights/mouse"))
    Path("weights/mouse", WEIGHTS).write_bytes(bytes(300_000))
    with pytest.raises(CheckpointError, match=r"weights/mouse/model\.safetensors has SHA-256"):
        registry.locate("mouse")


def test_pinned_files_are_good_in_any_snapshot(known: Entry, tmp_path: Path) -> None:
    snapshot = cached(tmp_path, LATER)
    assert registry.locate("mouse", offline=True) == snapshot


def test_a_snapshot_that_differs_is_no_snapshot(known: Entry, tmp_path: Path) -> None:
    snapshot = cached(tmp_path, COMMIT)
    (snapshot / WEIGHTS).resolve().write_bytes(bytes(300_000))
    with pytest.raises(ModelNotFound):
        registry.locate("mouse", offline=True)


def test_an_unpinned_model_comes_from_the_snapshot_of_main(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "entry", lambda name: UNPINNED)
    snapshot = cached(tmp_path, LATER)
    with pytest.raises(ModelNotFound):  # nothing says that this is the one
        registry.locate("mouse", offline=True)
    reference = snapshot.parent.parent / "refs" / "main"
    reference.parent.mkdir()
    reference.write_text(LATER)
    assert registry.locate("mouse", offline=True) == snapshot
    (snapshot / "1_Pooling" / "config.json").unlink()  # as transformers alone would leave it
    with pytest.raises(ModelNotFound):
        registry.locate("mouse", offline=True)


@pytest.mark.parametrize(
    ("name", "value", "home"),
    [("HF_HUB_CACHE", "c/hub", "c/hub"), ("HF_HOME", "c", "c/hub"),
     ("XDG_CACHE_HOME", "c", "c/huggingface/hub")],
)  # fmt: skip
def test_the_hubs_cache_is_where_its_own_library_has_it(
    known: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, home: str
) -> None:
    snapshot = cached(tmp_path, COMMIT)
    monkeypatch.delenv("HF_HOME")
    monkeypatch.setenv(name, str(tmp_path / value))
    (tmp_path / home).parent.mkdir(parents=True)
    (tmp_path / "hf" / "hub").rename(tmp_path / home)
    moved = tmp_path / home / snapshot.relative_to(tmp_path / "hf" / "hub")
    for link in moved.rglob("*"):
        if link.is_symlink():
            blob = tmp_path / home / link.readlink().relative_to(tmp_path / "hf" / "hub")
            link.unlink()
            link.symlink_to(blob)
    assert registry.locate("mouse", offline=True) == moved


def test_a_folder_given_is_the_callers_own(known: Entry, tmp_path: Path) -> None:
    mine = lay_out(tmp_path / "mine")
    (mine / WEIGHTS).write_bytes(b"fine-tuned")
    assert registry.locate(mine) == mine
    assert registry.locate(str(mine)) == mine
    lay_out(Path("models/mine"))
    assert registry.locate("models/mine") == Path("models/mine")


@pytest.mark.parametrize("model", ["./nowhere", "../nowhere", "/nowhere", Path("nowhere")])
def test_a_folder_that_is_not_there(model: str | Path) -> None:
    with pytest.raises(ModelNotFound, match=r"^There is no folder .*nowhere\."):
        registry.locate(model)


def test_a_folder_of_results_does_not_stand_in_for_the_model(hub: Hub, known: Entry) -> None:
    Path("mouse").mkdir()
    assert registry.locate("mouse") != Path("mouse")


@pytest.mark.parametrize("way", ["offline", "pull", "HF_HUB_OFFLINE"])
def test_offline_opens_no_connection(
    hub: Hub, known: Entry, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr("socket.socket.connect", forbidden)
    if way == "HF_HUB_OFFLINE":
        monkeypatch.setenv(way, "1")
    with pytest.raises(ModelNotFound, match="mouse is not on this machine and may not be fetched"):
        registry.locate("mouse", offline=way == "offline", pull=way != "pull")
    assert hub.requests == []


def test_another_revision_is_looked_for_under_its_own_name(hub: Hub, known: Entry) -> None:
    lay_out(Path("weights/mouse"))
    hub.repositories["tiny/mouse"][LATER] = {**FILES, WEIGHTS: b"newer"}
    folder = registry.locate("mouse", revision=LATER)
    assert folder.name == f"mouse@{LATER}"
    assert (folder / WEIGHTS).read_bytes() == b"newer"
    assert registry.locate("mouse", revision=COMMIT) == Path("weights/mouse")
    found = registry.find("mouse", LATER)
    assert found is not None
    assert (found.name, found.revision) == ("mouse", LATER)


def test_a_folder_is_known_by_its_weights(known: Entry, tmp_path: Path) -> None:
    mine = lay_out(tmp_path / "mine")
    assert registry.find(mine) is known
    assert registry.find("tiny/mouse") is known
    (mine / WEIGHTS).write_bytes(bytes(300_000))
    assert registry.find(mine) is None
    (mine / WEIGHTS).unlink()
    assert registry.find(mine) is None


def test_a_folder_without_pins_is_known_by_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "entries", lambda: (UNPINNED,))
    mine = lay_out(tmp_path / "mine")
    assert registry.find(mine) is None
    (mine / RECORD).write_text('{"hub_id": "tiny/mouse"}')
    assert registry.find(mine) is UNPINNED


def test_the_hash_of_the_weights(tmp_path: Path) -> None:
    folder = lay_out(tmp_path / "mine")
    assert registry.weights_hash(folder) == hashlib.sha256(FILES[WEIGHTS]).hexdigest()
    (folder / WEIGHTS).unlink()
    names = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    for name in names:
        (folder / name).write_text(name)
    index = json.dumps({"weight_map": {"x": names[1], "y": names[0]}})
    (folder / "model.safetensors.index.json").write_text(index)
    hashes = "".join(hashlib.sha256(name.encode()).hexdigest() for name in names)
    assert registry.weights_hash(folder) == hashlib.sha256(hashes.encode()).hexdigest()


def test_finding_what_is_here_loads_nothing_that_fetches(tmp_path: Path) -> None:
    code = (
        "import sys; from engine import registry; print(registry.entry('e5-base-v2').name)\n"
        f"print(registry.locate({str(lay_out(tmp_path / 'mine'))!r}))\n"
        "fetching = {'huggingface_hub', 'filelock', 'subprocess', 'engine.pull', 'engine.hub'}\n"
        "assert not fetching & set(sys.modules), fetching & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
