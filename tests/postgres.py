"""A real PostgreSQL for tests: a cluster of its own, on a free port, gone with the context.

    with postgres.cluster() as server:
        url = server.database("queue")

It needs a server's programs: on Debian and Ubuntu `apt-get install postgresql`. initdb refuses to
run as root; then the cluster runs as the user that the package made, or as nobody.
"""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Server:
    """A running cluster, reached on loopback without a password."""

    programs: Path
    port: int
    user: str

    def database(self, name: str) -> str:
        """Make an empty database of that name, and give its URL."""
        self.psql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        self.psql(f'CREATE DATABASE "{name}"')
        return f"postgresql://{self.user}@127.0.0.1:{self.port}/{name}"

    def psql(self, statement: str, database: str = "postgres") -> str:
        """The rows of one statement, unaligned, one a line."""
        where = f"host=127.0.0.1 port={self.port} user={self.user} dbname={database}"
        command = [self.programs / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement, where]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@contextlib.contextmanager
def cluster() -> Iterator[Server]:
    """A new cluster, running; stopped and deleted at the end."""
    programs, owner = _programs(), _owner()
    folder = Path(tempfile.mkdtemp(prefix="bge-postgres-"))
    try:
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        initdb = [programs / "initdb", "-D", folder / "data", "-U", "tester", "-A", "trust", "-N"]
        _run([*initdb, "-E", "UTF8", "--locale", "C"], owner, folder)
        server = Server(programs, _free_port(), "tester")
        with _postmaster(server, owner, folder):
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _postmaster(server: Server, owner: pwd.struct_passwd, folder: Path) -> Iterator[None]:
    options = {"port": server.port, "listen_addresses": "127.0.0.1", "max_connections": 100}
    settings = [f"--{name}={value}" for name, value in options.items()]
    command = [server.programs / "postgres", "-D", folder / "data", "-k", folder, *settings]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, **_as(owner))
    try:
        _wait_until_ready(server, process, folder / "log")
        yield
    finally:
        process.terminate()  # "smart" would wait for clients; they have been killed or closed
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    ready = [server.programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(server.port)]
    for _ in range(300):
        if process.poll() is not None:
            raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text()}")
        if subprocess.run(ready, check=False).returncode == 0:
            return
        time.sleep(0.1)
    raise RuntimeError(f"PostgreSQL was not ready after 30 s:\n{log.read_text()}")


def _programs() -> Path:
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
