"""The words of `bge job` to Options."""

import pytest

from engine.jobs.arguments import parse
from engine.jobs.options import Dialect, Fields, Options, parse_fields, parse_template
from tests.jobs.support import job


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BGE_MODEL", raising=False)
    assert parse(["in.txt", "-o", "out"]) == Options(
        inputs=("in.txt",), output="out", model="bge-base-en-v1.5", precision="float32",
        revision=None, offline=False, threads=None, pooling=None, prompt=None, query=False,
        normalize=None, truncate_dim=None, chunk_tokens=None, chunk_overlap=0.0,
        fields=Fields(parse_template("text"), None, ()), input_format=None, dialect=Dialect(),
        format="parquet", dtype="float32", shard_rows=4096, max_rejects=None,
        ray=None, quiet=False, update=False, keep_removed=False,
    )  # fmt: skip


def test_each_option_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BGE_MODEL", "other")
    words = (
        "a b - -o out --text {t}! --id i:int64 --keep c,d:bool --keep e --null empty "
        "--input-format csv --delimiter ; --quoting none --encoding Latin-1 --precision int8 "
        "--revision r --offline --threads 3 --pooling cls --query --no-normalize --truncate-dim 7 "
        "--ray auto --format npy --dtype int8 --shard-rows 9 --max-rejects 0 --quiet "
        "--update --keep-removed --chunk-tokens 99 --chunk-overlap 0.2"
    )
    assert parse(words.split()) == Options(
        inputs=("a", "b", "-"), output="out", model="other", precision="int8", revision="r",
        offline=True, threads=3, pooling="cls", prompt=None, query=True, normalize=False,
        truncate_dim=7, chunk_tokens=99, chunk_overlap=0.2,
        fields=parse_fields("{t}!", "i:int64", ["c", "d:bool", "e"], "empty"), input_format="csv",
        dialect=Dialect(";", "none", "iso8859-1"), format="npy", dtype="int8", shard_rows=9,
        max_rejects=0, ray="auto", quiet=True, update=True, keep_removed=True,
    )  # fmt: skip
    assert parse(["a", "-o", "o", "--prompt", ""]).prompt == ""
    assert parse(["a", "-o", "o", "--encoding", "UTF8"]).dialect == Dialect()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("a", "required: -o"),
        ("-o out", "required: INPUT"),
        ("a -o out --threads 0", "0 is too small; give 1 or more"),
        ("a -o out --max-rejects -1", "-1 is too small; give 0 or more"),
        ("a -o out --query --prompt p", "not allowed with argument"),
        ("a -o out --text {", "is not a valid template"),
        ("a -o out --keep row", "conflicts with"),
        ("a -o out --keep text --chunk-tokens 9", "conflicts with"),
        ("a -o out --chunk-tokens 9 --chunk-overlap 0.6", "0.6 is not from 0 to 0.5"),
        ("a -o out --chunk-tokens 9 --chunk-overlap nan", "nan is not from 0 to 0.5"),
        ("a -o out --chunk-overlap 0.1", "--chunk-overlap needs --chunk-tokens"),
        ("a -o out --delimiter ;;", "';;' is not one character"),
        ("a -o out --encoding rot13", "'rot13' is not one that Python knows"),
        ("a -o out --out x", "unrecognized arguments"),
    ],
)
def test_wrong_usage(words: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parse(words.split())
    assert stop.value.code == 2 and told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["in.txt"], "required: -o"),
        (["in.txt", "-o", "x", "--keep", "embedding"], "conflicts with the output's own"),
        (["in.txt", "-o", "x", "--id", "a", "--keep", "a"], "given twice"),
        (["in.txt", "-o", "x", "--text", "{a!r}"], "write a column's name in braces"),
        (["in.txt", "-o", "x", "--shard-rows", "0"], "1 or more"),
        (["in.txt", "-o", "x", "--prompt", "a", "--query"], "not allowed with"),
    ],
)
def test_wrong_usage_is_told_with_status_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        job(*words)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
