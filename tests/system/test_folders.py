"""The user's folders, for users with a home directory and without."""

import os
import pwd
from pathlib import Path

import pytest

import engine
from engine.errors import EngineError
from engine.system import folders
from tests.fast import fast_process
from tests.support import checkpoints


@pytest.fixture
def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a uid without an entry in the user database."""

    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "BGE_WEIGHTS", "BGE_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    folders._temporary.cache_clear()
    folders.warn_that_nothing_is_kept.cache_clear()


def test_home_and_what_lies_below(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert folders.home() == Path("/home/me")
    assert folders.expand("~/x") == Path("/home/me/x")
    assert folders.expand("/x") == Path("/x") and folders.expand("x") == Path("x")
    monkeypatch.setenv("HOME", "relative")
    assert folders.home() is None


@pytest.mark.parametrize(
    ("platform", "environment", "cache", "state"),
    [
        ("linux", {}, "/home/me/.cache", "/home/me/.local/state"),
        ("linux", {"XDG_CACHE_HOME": "/c", "XDG_STATE_HOME": "/s"}, "/c", "/s"),
        ("darwin", {}, "/home/me/Library/Caches", "/home/me/Library/Application Support"),
        ("win32", {}, "/home/me/AppData/Local", "/home/me/AppData/Local"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local", "/local"),
    ],
)
def test_where_each_platform_has_them(
    platform: str,
    environment: dict[str, str],
    cache: str,
    state: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("XDG_CACHE_HOME", "XDG_STATE_HOME", "LOCALAPPDATA", "BGE_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/me", **environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", platform)
    assert folders.user_cache() == folders.user_cache_if_any() == Path(cache) / "bge-engine"
    assert folders.user_state() == Path(state) / "bge-engine"
    assert folders.weights_home() == Path(cache) / "bge-engine" / "weights"
    monkeypatch.setenv("BGE_WEIGHTS", "~/models")
    assert folders.weights_home() == Path("/home/me/models")


def test_without_a_home_one_temporary_folder_and_one_warning(no_home: None) -> None:
    assert folders.home() is None and folders.user_cache_if_any() is None
    with pytest.warns(UserWarning, match=r"no home directory .* BGE_WEIGHTS and BGE_CACHE") as seen:
        cache = folders.user_cache()
        assert cache == folders.user_state() and folders.weights_home() == cache / "weights"
        folders.warn_that_nothing_is_kept()
    assert len(seen) == 1 and cache.is_dir() and cache.stat().st_mode & 0o777 == 0o700


def test_without_a_home_the_queue_has_a_place_too(no_home: None) -> None:
    from engine.serve.queue.database import default_url

    with pytest.warns(UserWarning, match="no home directory"):
        assert default_url().database == f"{folders.user_state()}/queue.sqlite"


def test_without_a_home_a_path_below_it_is_refused(no_home: None) -> None:
    with pytest.raises(EngineError, match=r"^~/models begins with a home .* absolute path"):
        folders.expand("~/models")
    with pytest.raises(EngineError, match="~/tiny begins with a home directory"):
        engine.load("~/tiny")


def test_a_known_name_is_looked_for_without_a_home(
    no_home: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with (
        pytest.warns(UserWarning, match="no home directory"),
        pytest.raises(engine.ModelNotFound, match="offline"),
    ):
        engine.load("bge-small-en-v1.5", offline=True)


@pytest.mark.parametrize("entry", ["", ".", "..", "lib"])
def test_relative_entries_depend_on_the_working_folder(entry: str) -> None:
    assert folders.is_working_folder(entry)


def test_the_working_folder_under_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "link").symlink_to("here")
    monkeypatch.chdir(tmp_path / "here")
    assert folders.is_working_folder(str(tmp_path / "here"))
    assert folders.is_working_folder(str(tmp_path / "link"))
    assert not folders.is_working_folder(str(tmp_path))
    assert not folders.is_working_folder(str(tmp_path / "nowhere"))


ENCODE = """
import os, pwd, sys, warnings
try:
    os.setreuid(54321, -1)  # unknown, but files are still reached as root
except PermissionError:
    pwd.getpwuid = {}.__getitem__
import engine
from engine.fast.codegen import compilation
from engine.fast.weights import code_files
with open(sys.argv[2], "rb") as file:
    code = file.read()[:-code_files.END]
compilation.compiled = lambda *_: code
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    for _ in range(2):
        vector = engine.load(sys.argv[1], threads=1).encode("hello")
print(vector.tobytes().hex(), len(seen))
"""
GONE = ("HOME", "XDG_CACHE_HOME", "BGE_CACHE", "BGE_WEIGHTS")


@pytest.mark.parametrize("cache", [False, True])
def test_a_process_of_an_unknown_user(
    cache: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The right vector, with one warning, or none where there is a folder for what is made."""
    from engine.fast.codegen.target import host_target
    from tests.fast.weights.test_prepared import kernels_file

    with engine.load(checkpoints.tiny(), threads=1) as one:
        expected = one.encode("hello").tobytes().hex()
    with pytest.MonkeyPatch.context() as patch:
        code = folders.prepared_home()
        assert code
        code = code / kernels_file("float32", host_target().name, patch)
    for name in GONE:
        monkeypatch.delenv(name, raising=False)
    given = {"BGE_CACHE": str(tmp_path / "cache")} if cache else {}
    found = fast_process.run(ENCODE, checkpoints.tiny(), code, **given)
    assert found.split() == [expected, "0" if cache else "1"]
    assert not os.environ.get("HOME") and (not cache or any((tmp_path / "cache").iterdir()))
