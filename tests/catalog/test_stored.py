"""What is kept on disk: listed as the rest of the package names it, and removed as a whole."""

import shutil
import threading
from pathlib import Path

import pytest

from engine.catalog import stored
from engine.catalog.staging import Staging, locked
from engine.catalog.stored import Stored, remove
from engine.checkpoint.config import read_config
from engine.fast.codegen.target import TARGETS
from engine.fast.weights import prepared
from engine.fast.weights.packing import Shape
from tests.support.checkpoints import tiny


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for models; prepared files go beside it."""
    monkeypatch.setenv("BGE_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("BGE_CACHE", str(tmp_path / "prepared"))
    return tmp_path / "weights"


def listed() -> dict[str, Stored]:
    return {one.name: one for one in stored.stored()}


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def test_nothing_is_kept_where_there_are_no_folders(weights: Path) -> None:
    assert stored.stored() == []


def test_a_model_with_its_unfinished_download(weights: Path) -> None:
    model = weights / "acme--tiny"
    shutil.copytree(tiny(), model)
    part = Staging(weights / "half", "a" * 40, {}).parts
    part.mkdir(parents=True)
    (part / "model.safetensors").write_bytes(b"x" * 1000)
    (weights / "notes").mkdir()  # of the user, who may keep other things there
    found = listed()
    assert {one.kind for one in found.values()} == {"model"}
    assert {name: one.size for name, one in found.items()} == {
        "acme--tiny": size(model), "half": 1000,
    }  # fmt: skip
    for one in found.values():
        remove(one)
    assert stored.stored() == [] and size(weights) == 0
    assert not model.exists() and (weights / "notes").is_dir()


def test_what_was_prepared_is_one_entry_for_all_versions(weights: Path) -> None:
    shape = Shape(TARGETS["avx2"], "int8")
    prepared.weights(tiny(), read_config(tiny()), shape)
    folder = weights.parent / "prepared"
    (file,) = folder.glob("*.weights")
    shutil.copy(file, file.with_name(f"{file.stem[:-32]}{'0' * 32}.weights"))
    kernels = folder / prepared.shipped_name(shape)
    kernels.write_bytes(b"code")
    found = listed()
    assert {name: (one.kind, one.size) for name, one in found.items()} == {
        "avx2-int8": ("kernels", 4),
        "tiny-int8-avx2": ("weights", size(folder) - 4),
    }
    assert found["tiny-int8-avx2"].used >= file.stat().st_mtime
    remove(found["tiny-int8-avx2"])
    assert listed().keys() == {"avx2-int8"}
    prepared.weights(tiny(), read_config(tiny()), shape)  # is made again
    assert listed().keys() == {"avx2-int8", "tiny-int8-avx2"}


def test_a_link_is_removed_and_not_what_it_points_to(weights: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny(), tmp_path / "mine")
    weights.mkdir()
    (weights / "linked").symlink_to(tmp_path / "mine")
    remove(listed()["linked"])
    assert stored.stored() == [] and (tmp_path / "mine" / "config.json").is_file()


def test_a_removal_that_was_cut_short_can_be_repeated(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny(), weights / "tiny")

    def interrupted(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", interrupted)
        with pytest.raises(KeyboardInterrupt):
            remove(listed()["tiny"])
    assert not (weights / "tiny").exists()  # no half model under its name
    remove(listed()["tiny"])
    assert stored.stored() == []


def test_a_removal_waits_for_a_download(weights: Path) -> None:
    shutil.copytree(tiny(), weights / "tiny")
    entry = listed()["tiny"]
    thread = threading.Thread(target=remove, args=[entry])
    with locked(weights / "tiny"):
        thread.start()
        thread.join(0.2)
        assert (weights / "tiny" / "config.json").is_file()
    thread.join(30)
    assert not (weights / "tiny").exists()
