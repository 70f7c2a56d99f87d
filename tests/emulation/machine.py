"""An emulated arm64 machine that runs this project's Python code, made from nothing.

    python -m tests.emulation.machine [--numba] [CPU ...]

makes it, and says for each CPU what it can do and how far its vectors are from those of this
machine. It needs Linux, the package tools of Debian 12, and pip. Only processes are emulated
(qemu's user mode): the files, the kernel and the number of cores are those of this machine.

The CPUs are qemu's; `cpus` lists them. Debian 12's qemu 7.2 has cortex-a72 (no dotprod),
neoverse-n1 (dotprod) and max (all that qemu knows, with i8mm, bf16 and SVE). neoverse-v1 came
later. Properties follow a comma: LIKE_NEOVERSE_V1 is close to it in vector instructions.
"""

import argparse
import json
import os
import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.emulation import check, parts
from tests.support.paths import ROOT

LIKE_NEOVERSE_V1 = "max,sme=off,sve-max-vq=2"  # SVE of 256 bits; and SVE2, which it does not have
CPUS = ("cortex-a72", "neoverse-n1", "max", "max,sve=off", LIKE_NEOVERSE_V1)
# All other variables of this machine stay outside: OPENBLAS_CORETYPE, for one, names an x86 CPU.
INHERITED = ("HOME", "PATH", "TMPDIR")


@dataclass(frozen=True)
class Machine:
    """Paths of the emulator, of a root folder with Python, and of Python packages."""

    qemu: Path
    root: Path
    site: Path

    def python(self, cpu: str) -> Path:
        """A script that starts Python under this CPU. It is sys.executable there.

        So a program that starts itself again works, also with an empty environment, as the engine
        starts its compiler. The kernel cannot start the emulated Python itself. The script is
        beside it, because Python looks for its library from there.
        """
        folder = self.root / "usr/bin"
        script, real = folder / f"python-{cpu}", folder / f"python{parts.PYTHON}"
        options = ["-cpu", cpu, "-L", str(self.root), "-0", str(script)]
        start = shlex.join([str(self.qemu), *options, str(real)])
        content = f'#!/bin/sh\nexec {start} "$@"\n'
        if not script.exists() or script.read_text("utf-8") != content:
            part = script.with_name(f"{script.name}.{os.getpid()}.part")
            part.write_text(content, "utf-8")
            part.chmod(0o755)
            part.replace(script)
        return script

    def environment(self) -> dict[str, str]:
        """Its variables. Caches and bytecode are apart from those of this machine."""
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        return inherited | {
            "PYTHONPATH": os.pathsep.join([str(self.site), str(ROOT)]),
            "PYTHONNOUSERSITE": "1",
            "PYTHONPYCACHEPREFIX": str(parts.folder() / "bytecode"),
            "XDG_CACHE_HOME": str(parts.folder() / "cache"),
        }


def machine(numba: bool = False) -> Machine:
    """The machine; what is missing is made first. Raises parts.Unavailable if that fails."""
    return Machine(parts.emulator(), parts.root(), parts.site(numba))


def run(
    cpu: str,
    arguments: Sequence[str],
    environment: Mapping[str, str] | None = None,
    *,
    numba: bool = False,
    timeout: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Runs the emulated Python with these arguments, and waits for it.

    environment: variables to add; of this process's own only INHERITED are passed on. It can start
    sys.executable as another process, but "python3" would be this machine's, which is not emulated.
    With a CPU that qemu does not have, the return code is 1 and stderr says so.
    """
    one = machine(numba)
    return subprocess.run(
        [str(one.python(cpu)), *arguments],
        env=one.environment() | dict(environment or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=timeout,
    )


def cpus() -> list[str]:
    """The names of the CPUs that the emulator has."""
    command = [str(parts.emulator()), "-cpu", "help"]
    said = subprocess.run(command, capture_output=True, encoding="utf-8").stdout  # returns 1
    return said.split()[2:]  # after "Available CPUs:"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("cpu", nargs="*", default=CPUS)
    parser.add_argument("--numba", action="store_true", help="with numba and its compiler")
    options = parser.parse_args()
    for made in (parts.emulator, parts.root, lambda: parts.site(options.numba)):
        began = time.perf_counter()
        place = made()
        print(f"{size_mib(place):5.0f} MiB, {time.perf_counter() - began:4.1f} s  {place}")
    print("CPUs:", *cpus())
    native = check.report()
    for cpu in options.cpu:
        print(f"{cpu}: {compared(cpu, native, options.numba)}")


def compared(cpu: str, native: check.Report, numba: bool) -> str:
    """What the check says under the emulated CPU, beside this machine's."""
    began = time.perf_counter()
    done = run(cpu, ["-m", "tests.emulation.check"], numba=numba)
    if done.returncode:
        return done.stderr.strip()
    took, found = time.perf_counter() - began, json.loads(done.stdout)
    pairs = zip(found["vector"], native["vector"], strict=True)
    difference = max(abs(a - b) for a, b in pairs)
    features = " ".join(found["features"])
    return (
        f"hwcap {found['hwcap']:#x}, hwcap2 {found['hwcap2']:#x} ({features}); "
        f"difference {difference:.1e}; {took:.1f} s"
    )


def size_mib(place: Path) -> float:
    """Of a file, or of a folder's files together."""
    files = [place] if place.is_file() else place.rglob("*")
    return sum(file.lstat().st_size for file in files if not file.is_dir()) / 2**20


if __name__ == "__main__":
    main()
