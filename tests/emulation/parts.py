"""Makes the parts of an emulated arm64 machine: an emulator, Debian's Python, wheels of PyPI.

Each part is a folder in the user's cache. It is filled under another name and renamed, so a part
that exists is whole, and one that was interrupted is made again. The system is not changed and root
is not needed: apt-get works on lists and archives of its own, and packages are only unpacked.
"""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path

from engine.system import folders
from engine.system.files import PrivateFolder

PYTHON = "3.11"  # of Debian 12
# apt-get adds what these depend on. libstdc++6 is for the wheels, the others are Python.
PACKAGES = (f"python{PYTHON}-minimal", f"libpython{PYTHON}-stdlib", "libstdc++6")
WHEELS = ("numpy", "safetensors", "tokenizers")
COMPILER = ("llvmlite", "numba")
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux2014_aarch64", "manylinux_2_17_aarch64")
EMULATORS = ("qemu-aarch64-static", "qemu-aarch64")
PATIENCE_S = 900  # for one command; all of them took 6 s in a fast network

# A file, because only a file that apt-get reads after the system's can clear their hooks, which
# clean the system's cache.
APT = """\
Dir::State "{folder}/state";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
APT::Architecture "{architecture}";
#clear APT::Architectures;
APT::Architectures {{ "{architecture}"; }};
APT::Sandbox::User "root";
APT::Install-Recommends "false";
APT::Update::Error-Mode "any";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
#clear DPkg::Pre-Install-Pkgs;
"""


class Unavailable(RuntimeError):
    """The emulated machine cannot be made here."""


def folder() -> Path:
    """Where the parts are."""
    return folders.user_cache() / "emulation"


def emulator() -> Path:
    """The path of qemu-aarch64: the system's, else Debian's package for this machine."""
    for name in EMULATORS:
        if found := shutil.which(name):
            return Path(found)
    return made("qemu", _fill_qemu) / EMULATORS[0]


def root() -> Path:
    """A root folder with Debian's Python for arm64 and the libraries that it needs."""
    return made(f"python{PYTHON}", lambda part: _unpack_debian("arm64", PACKAGES, part))


def site(numba: bool) -> Path:
    """A folder of arm64 packages for Python, in the versions that are installed here.

    numba: with it and its compiler, which are four fifths of the whole.
    """
    names = (*WHEELS, *COMPILER) if numba else WHEELS
    wanted = [f"{name}=={version(name)}" for name in names]
    name = "site-" + "-".join(wanted).replace("==", "-")
    return made(name, lambda part: _fill_site(part, wanted))


def made(name: str, fill: Callable[[Path], None]) -> Path:
    """The part of this name. If it does not exist, `fill` is called with a folder to fill."""
    place = folder() / name
    if place.exists():
        return place
    with PrivateFolder(folder()) as private, private.locked(f"{name}.lock"):
        if not place.exists():  # another process may have made it while this one waited
            part = place.with_name(f"{name}.part")
            if part.exists():
                shutil.rmtree(part)
            part.mkdir()
            fill(part)
            part.rename(place)
    return place


def _fill_qemu(part: Path) -> None:
    """Only the emulator of arm64: the package has thirty others."""
    architecture = _output("dpkg", "--print-architecture").strip()
    with tempfile.TemporaryDirectory(dir=part) as unpacked:
        _unpack_debian(architecture, ["qemu-user-static"], Path(unpacked))
        shutil.move(Path(unpacked) / "usr/bin" / EMULATORS[0], part / EMULATORS[0])


def _fill_site(part: Path, wanted: Iterable[str]) -> None:
    platforms = [word for name in PLATFORMS for word in ("--platform", name)]
    with tempfile.TemporaryDirectory(dir=part) as wheels:
        _output(
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
            *("--only-binary=:all:", *platforms, "--python-version", PYTHON, "--no-deps"),
            *("--dest", wheels, *wanted),
        )
        for wheel in Path(wheels).glob("*.whl"):
            with zipfile.ZipFile(wheel) as file:
                file.extractall(part)


def _unpack_debian(architecture: str, packages: Iterable[str], to: Path) -> None:
    """Downloads packages with all that they depend on, from the system's sources; unpacks them."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "state").mkdir()
        (work / "status").touch()  # no package is installed, so that every dependency is taken
        archives = work / "cache/archives"
        archives.mkdir(parents=True)
        config = work / "apt.conf"
        config.write_text(APT.format(folder=work, architecture=architecture), "utf-8")
        _output("apt-get", "--config-file", str(config), "--quiet", "update")
        install = ("--download-only", "--yes", "install", *packages)
        _output("apt-get", "--config-file", str(config), "--quiet", *install)
        for package in sorted(archives.glob("*.deb")):
            _output("dpkg-deb", "--extract", str(package), str(to))


def _output(*command: str) -> str:
    """What the command prints. Raises Unavailable if it fails."""
    failure = "An emulated arm64 machine cannot be made here: "
    needs = "\nIt needs Debian 12's apt-get and dpkg-deb, pip, and their package registries."
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            stdin=subprocess.DEVNULL,
            timeout=PATIENCE_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{failure}{error}{needs}") from error
    if done.returncode:
        said = "\n".join((done.stderr or done.stdout).splitlines()[-8:])
        program = Path(command[0]).name
        raise Unavailable(f"{failure}{program} ended with {done.returncode}:\n{said}{needs}")
    return done.stdout
