"""From a name or a path to a folder: the order of the places, what is refused, what is offline."""

import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from engine.catalog import registry
from engine.catalog.models import Entry
from engine.catalog.pull import pull
from engine.catalog.record import RECORD
from engine.catalog.verify import WEIGHTS
from engine.errors import CheckpointError, InputError, ModelNotFound
from tests.catalog import mouse
from tests.catalog.hub_server import Hub
from tests.catalog.mouse import (
    COMMIT,
    FILES,
    LATER,
    UNPINNED,
    cached,
    call_main,
    contents,
    entry_of,
    forbidden,
    lay_out,
    note,
    register,
)
from tests.support.paths import ROOT

user, hub = mouse.user, mouse.hub


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory with nothing in it."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Entry:
    """The registry's only entry: `mouse`."""
    only = entry_of()
    register(monkeypatch, only)
    return only


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
    with pytest.raises(ModelNotFound, match="mouse is not on this machine and was not downloaded"):
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
    register(monkeypatch, UNPINNED)
    mine = lay_out(tmp_path / "mine")
    assert registry.find(mine) is None
    note(mine)
    found = registry.find(mine)
    assert found is not None
    assert (found.name, found.revision) == ("mouse", COMMIT)
    (mine / WEIGHTS).write_bytes(bytes(300_000))
    assert registry.find(mine) is None


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
        "import sys; from engine.catalog import registry\n"
        "print(registry.entry('e5-base-v2').name)\n"
        f"print(registry.locate({str(lay_out(tmp_path / 'mine'))!r}))\n"
        "fetching = {'huggingface_hub', 'filelock', 'subprocess'}\n"
        "fetching |= {'engine.catalog.pull', 'engine.catalog.hub'}\n"
        "assert not fetching & set(sys.modules), fetching & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


STRANGER = "tiny/stranger"
STRANGE = {**FILES, WEIGHTS: b"of another model"}


@pytest.fixture
def strange(hub: Hub) -> Hub:
    """The hub has a repository that the registry does not know."""
    hub.repositories[STRANGER] = {COMMIT: dict(STRANGE)}
    return hub


def test_a_name_of_the_hub_is_fetched_recorded_and_checked_from_then_on(
    strange: Hub, known: Entry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, found = registry.resolve(STRANGER)
    assert folder == tmp_path / "cache" / "bge-engine" / "weights" / "tiny--stranger"
    assert found is not None
    assert (found.name, found.hub_id, found.revision) == (STRANGER, STRANGER, COMMIT)
    assert "No hashes are pinned for tiny/stranger" in caplog.text
    assert re.fullmatch(
        rf"not pinned; recorded on \d{{4}}-\d\d-\d\d at {COMMIT}, checked at each load",
        registry.verification(folder, found),
    )
    strange.repositories[STRANGER][LATER] = {**FILES, WEIGHTS: b"newer"}
    strange.requests.clear()
    caplog.clear()
    assert registry.resolve(STRANGER) == (folder, found)  # what is recorded stays
    by_path = registry.find(folder)
    assert by_path is not None
    assert (by_path.name, by_path.revision) == (STRANGER, COMMIT)
    assert (strange.requests, caplog.text) == ([], "")
    (folder / "tokenizer.json").write_bytes(b'{"version": "1.1"}')
    with pytest.raises(CheckpointError, match=r"tokenizer\.json has SHA-256"):
        registry.resolve(STRANGER)
    assert registry.find(folder) is None


def test_a_recorded_folder_is_repaired_to_what_was_recorded(strange: Hub, known: Entry) -> None:
    folder = registry.locate(STRANGER)
    strange.repositories[STRANGER][LATER] = {**FILES, WEIGHTS: b"newer"}
    (folder / WEIGHTS).write_bytes(b"damaged")
    strange.requests.clear()
    assert pull(STRANGER) == folder
    assert contents(folder) == STRANGE
    assert {path for path in FILES if strange.fetched(path)} == {WEIGHTS}
    assert registry.locate(STRANGER) == folder


def test_a_revision_of_a_stranger_has_a_folder_of_its_own(strange: Hub, known: Entry) -> None:
    strange.repositories[STRANGER][LATER] = {**FILES, WEIGHTS: b"newer"}
    folder, found = registry.resolve(STRANGER, revision=COMMIT)
    assert folder.name == f"tiny--stranger@{COMMIT}"
    assert found is not None
    assert found.revision == COMMIT
    assert contents(folder) == STRANGE
    newest = registry.locate(STRANGER)
    assert newest.name == "tiny--stranger"
    assert (newest / WEIGHTS).read_bytes() == b"newer"


def test_a_stranger_in_the_hubs_cache_is_taken_as_it_is_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    register(monkeypatch)
    snapshot = cached(tmp_path, LATER)
    call_main(snapshot)
    folder, found = registry.resolve("tiny/mouse", offline=True)
    assert folder == snapshot
    assert found is not None
    assert found.revision == LATER
    assert f"Nothing is pinned or recorded for tiny/mouse; {snapshot} is loaded with" in caplog.text
    assert registry.verification(folder, found) == "not pinned, and no record of a download"


def test_a_copy_without_a_record_has_no_known_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    register(monkeypatch, replace(UNPINNED, revision=COMMIT))
    home = lay_out(tmp_path / "cache" / "bge-engine" / "weights" / "mouse")
    folder, found = registry.resolve("mouse", offline=True)
    assert folder == home
    assert found is not None
    assert found.revision is None
    assert "Nothing is pinned or recorded for mouse" in caplog.text


@pytest.mark.parametrize("name", [STRANGER, "nobody/nothing"])
def test_what_the_hub_does_not_have_is_one_message(hub: Hub, known: Entry, name: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        registry.locate(name)
    message = str(caught.value)
    assert message.startswith(f"{name} is not on this machine and could not be downloaded: the hub")
    assert f"has no {name}, or this user has no access" in message
    for way in (f"bge pull {name}", "./folder", "BGE_WEIGHTS", "HF_HOME", "`bge models`"):
        assert way in message
    assert "working directory" not in message  # a folder there would not be taken


def test_a_name_that_is_nearly_known_is_answered_with_that_one(hub: Hub, known: Entry) -> None:
    with pytest.raises(ModelNotFound, match=r"Did you mean mouse\?"):
        registry.locate("tiny/mous")


@pytest.mark.parametrize(
    "name",
    ["word2vec", "", " ", "a/b/c", "a\\b", "-a/b", "a--b/c", "a/..", "@cf/x/y", "a/b\0", "\n",
     "a" * 5000, "a/" + "b" * 5000, "\ud800/x"],
)  # fmt: skip
def test_what_is_neither_a_name_nor_a_folder(hub: Hub, known: Entry, name: str) -> None:
    with pytest.raises(ModelNotFound, match=r"^No model is known as "):
        registry.locate(name)
    assert hub.requests == []


@pytest.mark.parametrize("model", ["./" + "a" * 5000, "/a\0b"])
def test_paths_that_lead_nowhere(known: Entry, model: str) -> None:
    with pytest.raises(ModelNotFound, match=r"^There is no folder "):
        registry.locate(model)


@pytest.mark.parametrize("model", [".", ".."])
def test_the_working_directory_itself_is_a_folder(known: Entry, model: str) -> None:
    assert registry.locate(model) == Path(model)


def test_an_empty_name_is_not_the_working_directory(known: Entry) -> None:
    lay_out(Path())
    with pytest.raises(ModelNotFound, match="No model is known as ''"):
        registry.locate("")


@pytest.mark.parametrize("revision", ["../x", "a\\b", "", "/etc", 7])
def test_a_revision_leads_nowhere_else(hub: Hub, known: Entry, revision: str) -> None:
    for name in ("mouse", STRANGER):
        with pytest.raises(InputError, match=r"^revision is .* a commit, a branch or a tag"):
            registry.locate(name, revision=revision)
    assert hub.requests == []


def test_a_folder_has_no_revision(known: Entry, tmp_path: Path) -> None:
    folder = lay_out(tmp_path / "mine")
    with pytest.raises(InputError, match=r"revision is 'main', but .* is a folder, which has n"):
        registry.resolve(folder, revision="main")


@pytest.mark.parametrize("model", [7, None, b"mouse", ["mouse"]])
def test_a_model_of_another_type(known: Entry, model: str) -> None:
    with pytest.raises(InputError, match=r"^model is .*; it must be a name or the path of"):
        registry.resolve(model)


SPELLINGS = ["mouse", "Mouse", " mouse ", "tiny/mouse", "Tiny/MOUSE", "@cf/tiny/mouse"]


def plant(folder: Path, **record: str) -> Path:
    """A folder with other weights, and a record that fits them."""
    return note(lay_out(folder, {**FILES, WEIGHTS: b"planted"}), **record)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("pinned", [True, False])
@pytest.mark.parametrize("place", ["weights/mouse", "as spelled"])
def test_a_planted_folder_never_stands_in_for_a_known_model(
    monkeypatch: pytest.MonkeyPatch, hub: Hub, spelling: str, pinned: bool, place: str
) -> None:
    register(monkeypatch, replace(entry_of() if pinned else UNPINNED, cf_id="@cf/tiny/mouse"))
    folder = plant(Path(spelling if place == "as spelled" else place))
    with pytest.raises(CheckpointError) as caught:
        registry.resolve(spelling)
    assert f"./{folder}" in str(caught.value)  # how to load it all the same
    assert registry.locate(f"./{folder}") == folder
    assert hub.requests == []


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("place", ["weights/mouse", "as spelled"])
def test_a_folder_with_the_pinned_hashes_does(
    monkeypatch: pytest.MonkeyPatch, spelling: str, place: str
) -> None:
    known = replace(entry_of(), cf_id="@cf/tiny/mouse")
    register(monkeypatch, known)
    folder = lay_out(Path(spelling if place == "as spelled" else place))
    assert registry.resolve(spelling) == (folder, known)


def test_a_planted_folder_is_not_taken_for_another_revision_either(hub: Hub, known: Entry) -> None:
    plant(Path(f"weights/mouse@{LATER}"))
    with pytest.raises(CheckpointError, match=f"no hashes are pinned for its revision {LATER}"):
        registry.resolve("mouse", revision=LATER)


def test_a_folder_without_revision_does_not_stand_in_the_way_of_one(hub: Hub, known: Entry) -> None:
    lay_out(Path("mouse"))
    hub.repositories["tiny/mouse"][LATER] = {**FILES, WEIGHTS: b"newer"}
    assert registry.locate("mouse", revision=LATER).name == f"mouse@{LATER}"


def test_a_stranger_is_not_looked_for_where_anybody_may_put_it(strange: Hub, known: Entry) -> None:
    plant(Path("weights/tiny--stranger"), hub_id=STRANGER)
    assert contents(registry.locate(STRANGER)) == STRANGE


def test_a_relative_folder_that_no_model_is_called_by_stays_a_folder(
    strange: Hub, known: Entry
) -> None:
    """weights/tiny has the form of a name of the hub; it is a folder where it is one."""
    lay_out(Path(STRANGER), {**FILES, WEIGHTS: b"mine"})
    assert registry.resolve(STRANGER) == (Path(STRANGER), None)
    assert strange.requests == []


def test_the_working_directorys_weights_are_the_users_own_where_bge_weights_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    register(monkeypatch, UNPINNED)
    note(lay_out(Path("weights/mouse")))
    with pytest.raises(CheckpointError, match="no hashes are pinned for that model"):
        registry.resolve("mouse")
    monkeypatch.setenv("BGE_WEIGHTS", str(tmp_path / "here" / "weights"))
    assert registry.locate("mouse").samefile("weights/mouse")


def test_another_models_files_in_the_users_own_place_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rat = replace(UNPINNED, name="rat", hub_id="tiny/rat", folder="rat", layers=3)
    register(monkeypatch, entry_of(), rat)
    lay_out(tmp_path / "cache" / "bge-engine" / "weights" / "rat")
    with pytest.raises(CheckpointError, match="num_hidden_layers is 2, but rat has 3"):
        registry.resolve("rat", offline=True)


def test_a_damaged_record_in_the_users_own_place_is_refused(
    strange: Hub, known: Entry, tmp_path: Path
) -> None:
    folder = registry.locate(STRANGER)
    (folder / RECORD).write_text("[" * 100_000)
    for way in (registry.resolve, pull):
        with pytest.raises(CheckpointError, match="is not a record that `bge pull` wrote"):
            way(STRANGER)
    assert registry.resolve(folder) == (folder, None)  # by its path it is the user's own


def test_a_folder_is_never_called_by_a_name_that_it_does_not_hold(known: Entry) -> None:
    assert registry.name_of(lay_out(Path("weights/mouse")), known) == "mouse"
    assert registry.name_of(Path("weights/mouse"), None) == "./mouse"
    assert registry.name_of(Path("weights/rat"), None) == "rat"


def test_what_was_compared_with_what(known: Entry, tmp_path: Path) -> None:
    folder = lay_out(tmp_path / "mine")
    pinned = f"pinned: {len(FILES)} files by size and SHA-256"
    assert registry.verification(folder, known) == pinned
    assert registry.verification(folder, None) == "none: a folder given by its path"
    assert registry.verification(folder, UNPINNED) == "not pinned, and no record of a download"
    note(folder)
    assert registry.verification(folder, UNPINNED) == (
        f"not pinned; recorded on 2026-01-02 at {COMMIT}, checked at each load"
    )
    (folder / RECORD).write_text((folder / RECORD).read_text().replace('"date"', '"dote"'))
    assert registry.verification(folder, UNPINNED).startswith(f"not pinned; recorded at {COMMIT}")


def test_weights_in_a_folder_below_are_hashed_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_out(tmp_path, {"0_Transformer/model.safetensors": b"below"})
    below = tmp_path / "0_Transformer" / "model.safetensors"
    monkeypatch.setattr("engine.checkpoint.tensor_files.weight_files", lambda folder: [below])
    assert registry.weights_hash(tmp_path) == hashlib.sha256(b"below").hexdigest()
