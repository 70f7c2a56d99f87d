"""The bits of vectors, computed by the compiled kernels of this machine and of emulated ones.

    python -m tests.emulation.vectors [--texts N] [CPU ...]

Kernels are compiled here, for the kind of CPU that is emulated, and only run there. The exit status
is 1 where bits differ that README says are the same.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping

import engine
from engine.fast.codegen.target import TARGETS, host_target
from engine.literals import Precision
from tests.emulation import machine, parts
from tests.support.checkpoints import FOLDERS
from tests.support.golden import golden
from tests.support.paths import ROOT

# And the target that each is. Of "max" only i8mm is wanted; libraries are slow under emulated SVE.
CPUS = {"cortex-a72": "neon", "neoverse-n1": "dotprod", "max,sve=off": "i8mm"}
PRECISIONS: tuple[Precision, ...] = ("float32", "int16", "int8")
CHECKPOINTS = ("tiny", "minilm")
Hashes = dict[str, str]


def hashes(texts: int) -> Hashes:
    """SHA-256 of the vectors of the first golden texts, by checkpoint and precision."""
    found = {}
    for checkpoint in CHECKPOINTS:
        for precision in PRECISIONS:
            with engine.load(FOLDERS[checkpoint](), precision=precision, threads=1) as embedder:
                given = golden(checkpoint).texts[:texts]
                vectors = embedder.encode(given, on_truncate="ignore")
            found[f"{checkpoint} {precision}"] = hashlib.sha256(vectors.tobytes()).hexdigest()
    return found


def emulated(cpu: str, texts: int) -> Hashes:
    """The same from an emulated CPU; RuntimeError with what it said if it fails."""
    folders = {
        "BGE_CACHE": str(parts.folder() / "prepared"),
        "BGE_WEIGHTS": str(FOLDERS["minilm"]().parent),
    }
    for checkpoint in CHECKPOINTS:
        for precision in PRECISIONS:
            prepare(str(FOLDERS[checkpoint]()), precision, CPUS[cpu], folders)
    command = "-m", "tests.emulation.vectors", "--here", "--texts", str(texts)
    done = machine.run(cpu, command, folders, numba=True)
    if done.returncode:
        raise RuntimeError(f"{cpu}: {done.stderr}")
    found: Hashes = json.loads(done.stdout.splitlines()[-1])
    return found


def prepare(folder: str, precision: str, target: str, folders: Mapping[str, str]) -> None:
    """Compiles for the emulated CPU on this one, into the cache that the emulated one reads."""
    command = [sys.executable, "-m", "engine", "prepare", folder, "--target", target]
    command += ["--precision", precision]
    subprocess.run(command, check=True, env=os.environ | folders, cwd=ROOT)


def differing(cpu: str, expected: Hashes, texts: int) -> list[str]:
    """The checkpoints and precisions of which the bits differ from this machine's."""
    alike = host_target().levels == TARGETS[CPUS[cpu]].levels
    compared = [name for name in expected if alike or not name.endswith("int8")]
    found = emulated(cpu, texts)
    return [name for name in compared if found[name] != expected[name]]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("cpu", nargs="*", default=list(CPUS), help=f"of {', '.join(CPUS)}")
    parser.add_argument("--texts", type=int, default=20)
    parser.add_argument("--here", action="store_true", help="only print this machine's hashes")
    options = parser.parse_args()
    expected = hashes(options.texts)
    if options.here:
        print(json.dumps(expected))
        return 0
    status = 0
    for cpu in options.cpu:
        began = time.perf_counter()
        names = differing(cpu, expected, options.texts)
        verdict = f"other bits: {', '.join(names)}" if names else "the same bits"
        print(f"{cpu} ({CPUS[cpu]}): {verdict} ({time.perf_counter() - began:.0f} s)", flush=True)
        status |= bool(names)
    return status


if __name__ == "__main__":
    sys.exit(main())
