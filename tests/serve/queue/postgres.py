"""A real PostgreSQL for tests: a cluster of its own, on a free port, gone with the context.

    with postgres.cluster() as server:
        url = server.database("queue")
        server.crash()

It needs a server's programs: on Debian and Ubuntu `apt-get install postgresql`. initdb refuses to
run as root; then the cluster runs as the user that the package made, or as nobody.
"""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

USER = "tester"


class Server:
    """A running cluster, reached on loopback without a password."""

    def __init__(self, programs: Path, owner: pwd.struct_passwd, folder: Path) -> None:
        self.port = _free_port()
        self._programs = programs
        self._owner = owner
        self._folder = folder
        self._process = self._start()

    def database(self, name: str) -> str:
        """Make an empty database of that name, and give its URL."""
        self.psql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        self.psql(f'CREATE DATABASE "{name}"')
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{name}"

    def psql(self, statement: str, database: str = "postgres") -> str:
        """The rows of one statement, unaligned, one a line."""
        where = f"host=127.0.0.1 port={self.port} user={USER} dbname={database}"
        options = ["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement]
        command = [self._programs / "psql", *options, where]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def crash(self, absence: float = 0.0) -> None:
        """End at once, as when the machine fails, stay away for so many seconds, and return."""
        self.stop(signal.SIGQUIT)
        time.sleep(absence)
        self._process = self._start()

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Shut down; SIGINT is the orderly way that waits for no client."""
        self._process.send_signal(how)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        settings = {"port": self.port, "listen_addresses": "127.0.0.1", "fsync": "off"}
        options = [f"--{name}={value}" for name, value in settings.items()]
        command = [self._programs / "postgres", "-D", self._folder / "data", "-k", self._folder]
        with (self._folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [*command, *options], cwd=self._folder, stdout=log, stderr=log, **_as(self._owner)
            )
        self._wait_until_ready(process)
        return process

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        command = [self._programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        for _ in range(300):
            if process.poll() is None and subprocess.run(command, check=False).returncode == 0:
                return
            time.sleep(0.1)
        process.kill()
        raise RuntimeError(f"PostgreSQL does not run:\n{(self._folder / 'log').read_text()}")


@contextlib.contextmanager
def cluster(programs: Path | None = None) -> Iterator[Server]:
    """A new cluster, running; stopped and deleted at the end. programs: the folder of initdb."""
    programs, owner = programs or installed(), _owner()
    folder = Path(tempfile.mkdtemp(prefix="bge-postgres-"))
    try:
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        initdb = [programs / "initdb", "-D", folder / "data", "-U", USER, "-A", "trust", "-N"]
        _run([*initdb, "-E", "UTF8", "--locale", "C"], owner, folder)
        server = Server(programs, owner, folder)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def installed() -> Path:
    """The folder of initdb: on the PATH, or the newest of Debian's versions."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda f: int(f.parts[-2]))
    if not folders:
        raise RuntimeError("no PostgreSQL server here; install it: apt-get install postgresql")
    return folders[-1]


def _owner() -> pwd.struct_passwd:
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("postgres")
    return pwd.getpwnam("nobody")


def _as(owner: pwd.struct_passwd) -> dict[str, int]:
    if os.geteuid() == owner.pw_uid:
        return {}
    return {"user": owner.pw_uid, "group": owner.pw_gid}


def _run(command: Sequence[str | Path], owner: pwd.struct_passwd, folder: Path) -> None:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, **_as(owner)
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
