"""PostgreSQL with pgvector: a real server, its rows and nearest rows, and what it refuses."""

import datetime
import decimal
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from engine import export
from engine.errors import EngineError, InputError
from engine.export import postgres as room
from tests.export.corpus import COLUMNS, DAY, DIM, MOMENT, ROWS, VECTORS, output
from tests.search.outputs import unit
from tests.serve.queue import postgres


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    with (
        tempfile.TemporaryDirectory() as folder,
        postgres.cluster(with_pgvector(Path(folder))) as server,
    ):
        yield server


def with_pgvector(folder: Path) -> Path:
    """The programs of this machine's server if pgvector is there, else those of a package.

    A server does not run as root. Another user may be unable to read the environment that the
    package is installed in, so its programs and their libraries are copied to the folder.
    """
    programs = postgres.installed()
    command = [programs / "pg_config", "--sharedir"]
    share = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    if Path(share, "extension", "vector.control").exists():
        return programs
    import pgserver

    package = Path(pgserver.__file__).parent
    folder.chmod(0o755)
    shutil.copytree(package / "pginstall", folder / "pgserver" / "pginstall")
    shutil.copytree(package.with_suffix(".libs"), folder / "pgserver.libs")
    return folder / "pgserver" / "pginstall" / "bin"


@pytest.fixture
def url(server: postgres.Server) -> str:
    url = server.database("library")
    server.psql("CREATE EXTENSION vector", "library")
    return url


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return output(tmp_path / "out")


def ask(url: str, query: str, *values: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query, values).fetchall()


def test_the_rows_and_their_types(url: str, out: Path) -> None:
    assert export.write(out, url, table="Books") == ROWS
    rows = ask(url, 'SELECT * FROM "Books" ORDER BY id')
    assert [row[0] for row in rows] == list(range(ROWS))
    assert [row[1] for row in rows] == COLUMNS['title "x"']
    assert rows[5][2] is None and rows[6][2:-1] == (
        1906, True, 2.0, decimal.Decimal(2**64 - 1), DAY, MOMENT, decimal.Decimal("12.50"),
        '["a", "é"]', b"\x00\xff\\", "en",
    )  # fmt: skip
    assert isinstance(rows[0][6], datetime.date) and isinstance(rows[0][7], datetime.datetime)


def test_vectors_to_the_bit_and_the_nearest_rows(url: str, out: Path) -> None:
    export.write(out, url)
    rows = ask(url, "SELECT embedding::real[] FROM documents ORDER BY id")
    assert np.array_equal(np.array([row[0] for row in rows], np.float32), VECTORS)
    assert ask(url, "SELECT DISTINCT vector_dims(embedding) FROM documents") == [(DIM,)]
    query = unit(1, seed=1)[0]
    nearest = "SELECT id FROM documents WHERE lang = 'de' ORDER BY embedding <=> %s::vector LIMIT 5"
    german = [row for row in np.argsort(-VECTORS @ query) if row % 2 == 1]
    assert ask(url, nearest, str(query.tolist())) == [(row,) for row in german[:5]]


def test_a_table_that_is_there_is_replaced_on_request(tmp_path: Path, url: str, out: Path) -> None:
    export.write(out, url)
    with pytest.raises(InputError, match=r"the table documents is there already; .*--replace"):
        export.write(out, url)
    other = output(tmp_path / "other", unit(3, 8), columns=None)
    export.write(other, url, replace=True)
    assert ask(url, "SELECT id, vector_dims(embedding) FROM documents") == [(0, 8), (1, 8), (2, 8)]
    assert ask(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == [
        ("documents",)
    ]


def test_readers_see_the_old_table_until_the_new_one_is_complete(
    tmp_path: Path, url: str, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export.write(out, url)
    texts = room._texts

    def interrupted(*given: Any) -> Iterator[str]:
        yield from list(texts(*given))[:2]
        assert ask(url, "SELECT count(*) FROM documents") == [(ROWS,)]
        raise KeyboardInterrupt

    monkeypatch.setattr(room, "_texts", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export.write(output(tmp_path / "other", columns=None), url, replace=True)
    assert ask(url, "SELECT count(*) FROM documents") == [(ROWS,)]
    assert ask(url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(1,)]


def test_a_table_that_a_view_uses_stays(url: str, out: Path) -> None:
    export.write(out, url)
    with psycopg.connect(url) as connection:
        connection.execute("CREATE VIEW titles AS SELECT id FROM documents")
    with pytest.raises(EngineError, match="view titles depends on table documents"):
        export.write(out, url, replace=True)
    assert ask(url, "SELECT count(*) FROM titles") == [(ROWS,)]


def test_the_extension_in_a_schema_of_its_own(server: postgres.Server, out: Path) -> None:
    url = server.database("apart")
    server.psql("CREATE SCHEMA extensions", "apart")
    server.psql("CREATE EXTENSION vector SCHEMA extensions", "apart")
    assert export.write(out, url) == ROWS


def test_what_the_database_refuses(server: postgres.Server, tmp_path: Path, out: Path) -> None:
    url = server.database("plain")
    with pytest.raises(EngineError, match="does not have the extension pgvector"):
        export.write(out, url)
    server.psql("CREATE EXTENSION vector", "plain")
    nul = output(tmp_path / "nul", unit(1), columns={"text": ["a\0b"]})
    with pytest.raises(EngineError, match=r"database plain on 127\.0\.0\.1: .*(NUL|0x00)"):
        export.write(nul, url)


@pytest.mark.parametrize("address", ["127.0.0.1:9/a", "127.0.0.1:x/a", "%zz/a", "[::1/a"])
def test_no_message_has_the_password(out: Path, address: str) -> None:
    with pytest.raises(EngineError) as caught:
        export.write(out, f"postgresql://someone:s3cr%40t@{address}")
    error: BaseException | None = caught.value
    while error:
        assert "s3cr" not in str(error)
        error = None if error.__suppress_context__ else error.__context__
