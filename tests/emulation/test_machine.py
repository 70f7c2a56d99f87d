"""How the emulated Python is started. An emulator that only prints stands in; no download."""

import subprocess
from pathlib import Path

import pytest

from tests.emulation import machine, parts
from tests.emulation.machine import Machine


@pytest.fixture
def printing(tmp_path: Path) -> Machine:
    """A machine whose emulator prints its arguments, one a line."""
    qemu = tmp_path / "an emulator"
    qemu.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n', "utf-8")
    qemu.chmod(0o755)
    (tmp_path / "root/usr/bin").mkdir(parents=True)
    return Machine(qemu, tmp_path / "root", tmp_path / "site")


def test_the_script_needs_no_environment(printing: Machine) -> None:
    """The engine starts its compiler with an environment of its own."""
    script = printing.python("max,sve=off")
    said = subprocess.run([script, "-c", "a b"], env={}, capture_output=True, encoding="utf-8")
    python = printing.root / f"usr/bin/python{parts.PYTHON}"
    options = ["-cpu", "max,sve=off", "-L", str(printing.root), "-0", str(script), str(python)]
    assert said.stdout.splitlines() == [*options, "-c", "a b"]


def test_the_script_follows_a_new_emulator(printing: Machine) -> None:
    script = printing.python("max")
    Machine(Path("/new/qemu"), printing.root, printing.site).python("max")
    assert "/new/qemu" in script.read_text("utf-8")
    assert list(script.parent.iterdir()) == [script]


def test_variables_of_this_machine_stay_outside(
    printing: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("PYTHONHOME", "elsewhere")
    assert not {"OPENBLAS_CORETYPE", "PYTHONHOME"} & printing.environment().keys()


def test_run_adds_variables(printing: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "machine", lambda numba: printing)
    printing.qemu.write_text('#!/bin/sh\necho "$ADDED"\n', "utf-8")
    assert machine.run("max", [], {"ADDED": "yes"}).stdout == "yes\n"
