"""The command in a folder full of modules that must not run: installed from a wheel, and editable.

Before any program starts, `python -m` itself looks for a few modules of the standard library in the
working directory, and for the program's package. Only Python can prevent that (`python -P`). No
other module may be imported from there.
"""

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Mapping
from configparser import ConfigParser
from importlib.util import find_spec
from pathlib import Path

import pytest

import engine
from tests.integration import planted
from tests.support import checkpoints
from tests.support.paths import ROOT

DEPENDENCIES = ("numpy", "numba", "llvmlite", "tokenizers", "safetensors")
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
OF_PYTHON = "import runpy, sys; print(*sys.modules)"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The distribution, built from a copy of the tree as pip would build it."""
    folder = tmp_path_factory.mktemp("wheel")
    tree, out = folder / "tree", folder / "out"
    leave = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "engine", tree / "engine", ignore=leave)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    out.mkdir()
    command = [sys.executable, "-c", BUILD, str(out)]
    subprocess.run(command, cwd=tree, check=True, capture_output=True)
    (made,) = out.glob("*.whl")
    return made


def environment(folder: Path, *beside: Path) -> Path:
    """A virtual environment that finds our dependencies, and the folders `beside`: its `bin`."""
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    specs = [find_spec(name) for name in DEPENDENCIES]
    homes = [Path(spec.origin).parents[1] for spec in specs if spec and spec.origin]
    lines = dict.fromkeys(map(str, (*beside, *homes)))
    (packages / "here.pth").write_text("".join(f"{line}\n" for line in lines))
    return folder / "bin"


def script(path: Path, entry: str, python: Path) -> None:
    """The command of an entry point, as pip writes it."""
    module, function = entry.split(":")
    code = f"import sys\nfrom {module} import {function}\nsys.exit({function}())\n"
    path.write_text(f"#!{python}\n{code}")
    path.chmod(0o755)


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    """Not only modules: pages, registries, and any data file that is added."""
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if name.startswith("engine/")}
    files = (path for path in (ROOT / "engine").rglob("*") if path.is_file())
    present = {path.relative_to(ROOT).as_posix() for path in files if path.suffix != ".pyc"}
    assert held == present


@pytest.fixture(scope="module", params=["wheel", "editable"])
def installed(
    request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The `bin` of an environment in which this package is installed."""
    folder = tmp_path_factory.mktemp(request.param) / "venv"
    if request.param == "editable":
        bin, entry = environment(folder, ROOT), "engine.cli.main:main"
    else:
        bin = environment(folder)
        (packages,) = folder.glob("lib/python*/site-packages")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(packages)
        (entries,) = packages.glob("*.dist-info/entry_points.txt")
        config = ConfigParser()
        config.read(entries)
        entry = config["console_scripts"]["bge"]
    script(bin / "bge", entry, bin / "python")
    where = "import engine; print(engine.__file__)"
    found = run([bin / "python", "-c", where], tmp_path_factory.mktemp("empty"))
    assert (str(folder) in found) == (request.param == "wheel")
    return bin


@pytest.fixture(scope="module")
def cache(installed: Path) -> Path:
    """An empty cache: the first command in an environment compiles."""
    return installed.parent / "cache"


def run(command: list[str | Path], here: Path, **changes: str) -> str:
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "BGE_"))}
    done = subprocess.run(
        command, cwd=here, env={**environ, **changes}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def embedding(command: list[str | Path], here: Path, cache: Path) -> list[float]:
    words = ["embed", "--model", str(checkpoints.tiny()), "--threads", "1", "hello"]
    found: Mapping[str, list[float]] = json.loads(
        run([*command, *words], here, BGE_CACHE=str(cache))
    )
    return found["embedding"]


@pytest.fixture(scope="module")
def expected() -> list[float]:
    with engine.load(checkpoints.tiny(), threads=1) as one:
        return [float(x) for x in one.encode("hello")]


def test_the_command_runs_nothing_of_the_working_directory(
    installed: Path, cache: Path, tmp_path: Path, expected: list[float]
) -> None:
    here = planted.folder(tmp_path / "here", planted.ALL)
    planted.package(here, "engine")
    assert embedding([installed / "bge"], here, cache) == pytest.approx(expected, abs=1e-6)
    assert planted.ran(here) == set()


def test_python_m_runs_nothing_of_the_working_directory(
    installed: Path, cache: Path, tmp_path: Path, expected: list[float]
) -> None:
    python = installed / "python"
    own = set(run([python, "-I", "-c", OF_PYTHON], tmp_path).split())
    here = planted.folder(tmp_path / "here", planted.ALL - own)
    found = embedding([python, "-m", "engine"], here, cache)
    assert found == pytest.approx(expected, abs=1e-6)
    assert planted.ran(here) == set()
