"""`export.write`: targets, names and packages that are refused before anything is read."""

import sys
from pathlib import Path

import pytest

from engine import export
from engine.errors import EngineError, InputError
from tests.export.corpus import output
from tests.search.outputs import unit


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return output(tmp_path_factory.mktemp("export") / "out", unit(3), columns=None)


@pytest.mark.parametrize(
    "target",
    ["", "file.db", "sqlite:", "sqlite:///", "sqlite:file.db", "postgresql:host", "lancedb:",
     "lancedb:s3://bucket", "mysql://user:secret@host/a", "secret"],
)  # fmt: skip
def test_targets_that_are_none(out: Path, target: str) -> None:
    with pytest.raises(InputError, match="give sqlite:///path/to/file, postgresql://") as caught:
        export.write(out, target)
    assert "secret@" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "1a", "a b", "a.b", 'a"', "ä", "a" * 41])
def test_names_that_no_table_gets(out: Path, name: str) -> None:
    with pytest.raises(InputError, match="a name has 1 to 40 letters, digits and underscores"):
        export.write(out, "sqlite:///never.db", table=name)


@pytest.mark.parametrize(
    ("module", "target", "extra"),
    [
        ("apsw", "sqlite:///never.db", "sqlite"),
        ("sqlite_vec", "sqlite:///never.db", "sqlite"),
        ("psycopg", "postgresql://host/never", "postgres"),
        ("lancedb", "lancedb:never", "lancedb"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    out: Path, monkeypatch: pytest.MonkeyPatch, module: str, target: str, extra: str
) -> None:
    for name in list(sys.modules):
        if name.startswith("engine.export."):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)  # type: ignore[arg-type]
    with pytest.raises(EngineError, match=rf"{module}: pip install 'bge-engine\[{extra}\]'"):
        export.write(out, target)
