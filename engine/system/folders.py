"""The folders of this user: where models, prepared weights and the queue are kept.

The one place that asks for a home directory. A user may have none: HOME is not set and the uid has
no entry in the user database, as in containers that run under any uid. What must be written then
goes to a temporary folder, with one warning.
"""

import os
import sys
import warnings
from functools import cache
from pathlib import Path

from engine.errors import EngineError

Place = tuple[str, str]  # environment variable, folder below the home directory
CACHE: dict[str, Place] = {
    "win32": ("LOCALAPPDATA", "AppData/Local"),
    "darwin": ("XDG_CACHE_HOME", "Library/Caches"),
    "": ("XDG_CACHE_HOME", ".cache"),
}
STATE: dict[str, Place] = {
    "win32": ("LOCALAPPDATA", "AppData/Local"),
    "darwin": ("", "Library/Application Support"),
    "": ("XDG_STATE_HOME", ".local/state"),
}


def home() -> Path | None:
    """The home directory, or None."""
    try:
        found = Path.home()
    except RuntimeError:
        return None
    return found if found.is_absolute() else None


def expand(path: str | Path) -> Path:
    """`path` with a leading ~ replaced. EngineError where that home directory is not known."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise EngineError(
            f"{path} begins with a home directory that cannot be found ({error}) "
            "Give the whole path, or set HOME."
        ) from error


def is_working_folder(path: str) -> bool:
    """Also for "" and relative paths, which name other folders in another working directory."""
    try:
        return not Path(path).is_absolute() or Path(path).samefile(os.curdir)
    except OSError:  # one of the two does not exist
        return False


def user_cache() -> Path:
    """The engine's folder in the user's cache, which need not exist; temporary without a home."""
    return user_cache_if_any() or _temporary()


def user_cache_if_any() -> Path | None:
    """As `user_cache`, but None without a home, for what can be done without it."""
    return _ours_in(CACHE)


def user_state() -> Path:
    """The engine's folder for what must last, outside any cache; temporary without a home."""
    return _ours_in(STATE) or _temporary()


def weights_home() -> Path:
    """Where fetched checkpoints go: $BGE_WEIGHTS, or a folder in the user's cache."""
    named = os.environ.get("BGE_WEIGHTS")
    return expand(named) if named else user_cache() / "weights"


def _ours_in(places: dict[str, Place]) -> Path | None:
    variable, below = places.get(sys.platform) or places[""]
    if named := os.environ.get(variable):
        return Path(named) / "bge-engine"
    found = home()
    return found / below / "bge-engine" if found else None


@cache
def warn_that_nothing_is_kept() -> None:
    """One warning a process, whatever it is that has no place."""
    warnings.warn(
        "there is no home directory (HOME is not set, and this user has no entry in the user "
        "database), so models and prepared weights are not kept when this process ends. Set HOME "
        "or XDG_CACHE_HOME, or both BGE_WEIGHTS and BGE_CACHE, to folders that can be written.",
        stacklevel=2,
    )


@cache
def _temporary() -> Path:
    """A private folder of this process, removed when it ends."""
    import atexit
    import shutil
    import tempfile

    warn_that_nothing_is_kept()
    try:
        folder, owner = Path(tempfile.mkdtemp(prefix="bge-engine-")), os.getpid()
    except OSError as error:
        raise EngineError(
            f"there is no home directory, and no temporary folder either: {error}. Set TMPDIR to a "
            "folder that can be written."
        ) from error

    def remove() -> None:
        if os.getpid() == owner:  # a forked child must leave it to its parent
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder
