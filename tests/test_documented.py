"""Every public name has a docstring, and the reference shows all of them."""

import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support.paths import ROOT
from tests.support.reference import ADAPTERS, PUBLIC

each_module = pytest.mark.parametrize(
    "name", [*PUBLIC, *(pytest.param(name, marks=pytest.mark.slow) for name in ADAPTERS)]
)
Named = tuple[str, Any]


def public_names(module: ModuleType) -> Iterator[Named]:
    """Functions and classes of a public module, and the methods and properties of the classes."""
    for name in getattr(module, "__all__", vars(module)):
        found = getattr(module, name)
        if name.startswith("_") or not (inspect.isclass(found) or inspect.isfunction(found)):
            continue
        if hasattr(module, "__all__") or found.__module__ == module.__name__:
            yield name, found
            yield from _members(found) if inspect.isclass(found) else ()


def _members(kind: type) -> Iterator[Named]:
    """Those that are new in this class: a base class tells what overriding methods do."""
    for name, member in vars(kind).items():
        member = getattr(member, "__func__", member)  # class methods and static ones
        inherited = any(hasattr(base, name) for base in kind.__mro__[1:])
        if name.startswith("_") or inherited:
            continue
        if inspect.isfunction(member) or isinstance(member, property):
            yield f"{kind.__name__}.{name}", member


def is_told(found: Any) -> bool:
    """Whether it has a docstring, and not the signature that a dataclass writes there."""
    doc = found.__doc__ or ""
    return bool(doc.strip()) and not doc.startswith(f"{getattr(found, '__name__', '?')}(")


@each_module
def test_every_public_name_has_a_docstring(name: str) -> None:
    module = importlib.import_module(name)
    names = dict(public_names(module))
    assert module.__doc__ and names
    assert [name for name, found in names.items() if not is_told(found)] == []


@pytest.mark.slow
def test_the_reference_shows_them(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.support.reference", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    for name in [*PUBLIC, *ADAPTERS]:
        page = tmp_path.joinpath(*name.split(".")).with_suffix(".html").read_text("utf-8")
        for shown, _ in public_names(importlib.import_module(name)):
            assert f'id="{shown}"' in page, shown
