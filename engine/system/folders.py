"""This user's folders for models, prepared weights and the queue.

Only this module looks up the home directory. A user may have none: HOME is not set and the uid has
no entry in the user database. That is usual in containers that run under an arbitrary uid. Files
then go to a temporary folder, with one warning.
"""

import os
import sys
import warnings
from functools import cache
from pathlib import Path

from engine.errors import EngineError

Place = tuple[str, str]  # (environment variable, default: a folder in the home directory)
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
    """The home directory, or None if there is none."""
    try:
        found = Path.home()
    except RuntimeError:
        return None
    return found if found.is_absolute() else None


def expand(path: str | Path) -> Path:
    """`path` with a leading ~ replaced. Raises EngineError if that home directory is unknown."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise EngineError(
            f"{path} begins with a home directory that cannot be found: {error} "
            "Give an absolute path, or set HOME."
        ) from error


def is_working_folder(path: str) -> bool:
    """Whether `path` is the working directory or depends on it, as "" and relative paths do."""
    try:
        return not Path(path).is_absolute() or Path(path).samefile(os.curdir)
    except OSError:  # one of the two folders does not exist
        return False


def user_cache() -> Path:
    """The engine's folder in the user's cache; it may not exist yet.

    A temporary folder if there is no home directory.
    """
    return user_cache_if_any() or _temporary()


def user_cache_if_any() -> Path | None:
    """As `user_cache`, but None if there is no home directory. For files that are optional."""
    return _engine_folder(CACHE)


def user_state() -> Path:
    """The engine's folder for data that must be kept, so it is outside the cache.

    A temporary folder if there is no home directory.
    """
    return _engine_folder(STATE) or _temporary()


def weights_home() -> Path:
    """The folder for downloaded checkpoints: $BGE_WEIGHTS, or a folder in the user's cache."""
    named = os.environ.get("BGE_WEIGHTS")
    return expand(named) if named else user_cache() / "weights"


def prepared_home() -> Path | None:
    """The folder for prepared weights and kernels: $BGE_CACHE, or a folder in the user's cache.

    None for a user without a home directory.
    """
    if named := os.environ.get("BGE_CACHE"):
        return expand(named)
    base = user_cache_if_any()
    return base / "prepared" if base else None


def _engine_folder(places: dict[str, Place]) -> Path | None:
    variable, below = places.get(sys.platform) or places[""]
    if named := os.environ.get(variable):
        return Path(named) / "bge-engine"
    found = home()
    return found / below / "bge-engine" if found else None


@cache
def warn_that_nothing_is_kept() -> None:
    """Warns once per process that there is no home directory."""
    warnings.warn(
        "there is no home directory (HOME is not set, and this user has no entry in the user "
        "database), so models and prepared weights are deleted when this process ends. Set HOME "
        "or XDG_CACHE_HOME, or both BGE_WEIGHTS and BGE_CACHE, to writable folders.",
        stacklevel=2,
    )


@cache
def _temporary() -> Path:
    """A private temporary folder, deleted when this process ends."""
    import atexit
    import shutil
    import tempfile

    warn_that_nothing_is_kept()
    try:
        folder, owner = Path(tempfile.mkdtemp(prefix="bge-engine-")), os.getpid()
    except OSError as error:
        raise EngineError(
            "there is no home directory, and a temporary folder cannot be created: "
            f"{error}. Set HOME or TMPDIR to a writable folder."
        ) from error

    def remove() -> None:
        if os.getpid() == owner:  # not in a forked child: its parent still uses the folder
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder
