"""The compiling process: what it sees, what it says, and machine code where it is not allowed."""

import os
import site
import sys
from pathlib import Path

import pytest

from engine.errors import EngineError
from engine.fast.codegen import compilation
from engine.fast.codegen.target import TARGETS, host_target
from tests.integration import planted

TARGET = TARGETS["avx2"]


def test_a_compiler_that_fails_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation, "START", "raise SystemExit('no such instruction')")
    with pytest.raises(EngineError, match=r"kernels for avx2 in int8 .*(?s:.*no such instruction)"):
        compilation.compiled(TARGET, "int8")


@pytest.mark.parametrize("executable", ["/nowhere/python", "/etc/passwd"])
def test_a_compiler_that_does_not_start_is_an_engine_error(
    executable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compilation.sys, "executable", executable)
    with pytest.raises(EngineError, match="the process did not start"):
        compilation.compiled(TARGET, "int8")


def test_of_the_environment_only_what_is_named_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"PATH": "/bin", "NUMBA_OPT": "0", "PYTHONHOME": "/x"})
    assert compilation.environment(TARGET, "int8") == {
        "PATH": "/bin",
        "BGE_COMPILE_FOR": "avx2",
        "BGE_COMPILE_PRECISION": "int8",
        "NUMBA_CPU_NAME": TARGET.cpu,
        "NUMBA_CPU_FEATURES": TARGET.features,
    }


def test_packages_are_sought_where_they_are_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First in site-packages, last in PYTHONPATH, never in the working directory."""
    here, given, other = (tmp_path / name for name in ("here", "given", "other"))
    for folder in (here, given, other):
        folder.mkdir()
    installed = site.getsitepackages()[0]
    monkeypatch.chdir(here)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", str(given), str(here)]))
    monkeypatch.setattr(sys, "path", ["", str(here), str(given), ".", str(other), installed])
    assert compilation.search_path() == [installed, str(other), str(given)]
    monkeypatch.chdir(installed)
    assert installed in compilation.search_path()


def test_whatever_the_surroundings_the_code_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted modules, numba's file of settings, and variables that once changed the code."""
    target = host_target()
    expected = compilation.compiled(target, "float32")
    monkeypatch.chdir(planted.folder(tmp_path / "here", planted.ALL))
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    poison = {"OPT": "0", "DISABLE_JIT": "1", "DEBUGINFO": "1", "BOUNDSCHECK": "1"}
    for name, value in poison.items():
        monkeypatch.setenv(f"NUMBA_{name}", value)
    (tmp_path / "here" / ".numba_config.yaml").write_text("opt: 0\ndisable_jit: 1\n")
    elsewhere = planted.folder(tmp_path / "elsewhere", planted.ALL)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", str(elsewhere)]))
    monkeypatch.setenv("PYTHONSTARTUP", str(elsewhere / "numba.py"))
    monkeypatch.setenv("PYTHONOPTIMIZE", "2")
    assert compilation.compiled(target, "float32") == expected
    assert planted.ran(tmp_path / "here") == planted.ran(elsewhere) == set()
