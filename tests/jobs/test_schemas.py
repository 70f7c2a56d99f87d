"""The schemas of what a job writes beside its shards: real files agree with them, others do not."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator as Validator

from engine.jobs.options import DTYPES, INPUT_FORMATS, NULLS, OUTPUT_FORMATS, QUOTINGS
from engine.jobs.reading.inputs import WHOLE_BYTES, Source
from engine.jobs.writing.manifest import VERSION
from engine.literals import POOLINGS, PRECISIONS
from tests.jobs.support import job, texts, write_parquet


def schema(name: str) -> dict[str, Any]:
    found = json.loads((files("engine.jobs") / "schemas" / name).read_text("utf-8"))
    Validator.check_schema(found)
    return dict(found)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """OUTPUT.job of a job with two rejected rows."""
    folder = tmp_path_factory.mktemp("schemas")
    lines = b'{"id": 1, "text": "a"}\n{"id": 2, "text": null}\nnot json\n'
    (folder / "rows.jsonl").write_bytes(lines)
    assert job(folder / "rows.jsonl", "--id", "id", "-o", folder / "out") == 3
    return folder / "out.job"


def test_manifests(finished: Path, tmp_path: Path) -> None:
    write_parquet(tmp_path / "in.parquet", texts(3))
    words = ["--query", "--normalize", "--format", "npy", "--dtype", "int8", "--keep", "id"]
    assert job(tmp_path / "in.parquet", "-o", tmp_path / "out", *words) == 0
    for folder in (finished, tmp_path / "out.job"):
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
        Validator(schema("manifest.json")).validate(manifest)
        assert manifest.keys() == schema("manifest.json")["properties"].keys()
        assert not Validator(schema("manifest.json")).is_valid({**manifest, "dim": "40"})


def test_an_input_that_is_too_large_to_be_hashed_whole(tmp_path: Path) -> None:
    with (tmp_path / "large.txt").open("wb") as file:
        file.truncate(WHOLE_BYTES + 1)
    source = Source(str(tmp_path / "large.txt"), "text", WHOLE_BYTES + 1)
    rule = schema("manifest.json")["$defs"]
    told = source.fingerprint()
    Validator({**rule["input"], "$defs": rule}).validate(told)
    assert told.keys() == rule["input"]["properties"].keys()


def test_rejects(finished: Path) -> None:
    lines = (finished / "rejects.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == 2
    for line in lines:
        Validator(schema("rejects.json")).validate(json.loads(line))
    known = {name for line in lines for name in json.loads(line)}
    assert known == schema("rejects.json")["properties"].keys()
    assert not Validator(schema("rejects.json")).is_valid({"file": "a", "row": -1, "reason": "b"})


def test_the_words_are_those_of_the_options() -> None:
    told = schema("manifest.json")["properties"]
    words = {name: tuple(rule["enum"]) for name, rule in told.items() if "enum" in rule}
    assert words == {
        "precision": PRECISIONS, "pooling": POOLINGS, "null": NULLS, "format": OUTPUT_FORMATS,
        "dtype": DTYPES, "quoting": (*QUOTINGS, None),
    }  # fmt: skip
    assert told["version"]["const"] == VERSION
    input_ = schema("manifest.json")["$defs"]["input"]["properties"]
    assert tuple(input_["format"]["enum"]) == INPUT_FORMATS
