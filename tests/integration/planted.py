"""Folders full of modules that must not run: each writes its name to the file RAN next to it."""

import sys
from collections.abc import Iterable
from pathlib import Path

OTHERS = {
    "numba",
    "llvmlite",
    "numpy",
    "tokenizers",
    "safetensors",
    "yaml",
    "scipy",
    "sitecustomize",
}
ALL = (sys.stdlib_module_names - set(sys.builtin_module_names)) | OTHERS
CODE = """
from _io import open
with open({ran!r}, "a") as file:
    file.write(__name__ + " ")
"""


def folder(path: Path, modules: Iterable[str]) -> Path:
    """A new folder with these modules."""
    path.mkdir()
    for name in modules:
        (path / f"{name}.py").write_text(CODE.format(ran=str(path / "RAN")))
    return path


def package(path: Path, name: str) -> None:
    """A package in a folder that was made by `folder`."""
    (path / name).mkdir()
    (path / name / "__init__.py").write_text(CODE.format(ran=str(path / "RAN")))


def ran(path: Path) -> set[str]:
    """The modules of the folder that have run."""
    file = path / "RAN"
    return set(file.read_text().split()) if file.exists() else set()
