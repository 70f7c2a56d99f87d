"""`bge explain`: one text, two texts, JSON, and wrong usage."""

import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import engine
from engine.explain import compare, explain
from tests.cli.command import TINY, Run, on_a_terminal
from tests.conftest import Load
from tests.support.synthetic import write_checkpoint

HERE = ["--model", TINY, "--offline"]
A, B = "the red fox", "the blue fox"
SIZES = {"hidden": 40, "layers": 2, "heads": 4, "ffn": 56, "vocab": 242, "positions": 64}


@pytest.fixture
def embedder(load: Load) -> engine.Embedder:
    return load("tiny", "reference")


def test_one_text(bge: Run, embedder: engine.Embedder) -> None:
    run, found = bge("explain", A, *HERE), explain(embedder, A)
    assert (run.status, run.err) == (0, "")
    title, _, header, *rest = run.out.splitlines()
    assert title == f"tiny: {len(found.tokens)} tokens through 2 layers"
    assert header.split() == ["#", "token", "id", "span", "norm", "mean", "cls", "nearest", "words"]
    for i, token in enumerate(found.tokens):
        start, stop = found.spans_L2[i]
        words = rest[i].split()
        assert words[:3] == [str(i), token, str(found.ids_L[i])]
        assert words[3] == ("-" if start < 0 else f"{start}:{stop}")
        assert words[4] == f"{found.norms_EL()[-1, i]:.2f}"
        assert words[5] == f"{found.shares_EL()[-1, i]:.1%}"
        assert words[6] == f"{found.attention_NHLL[-1, :, 0, i].mean():.1%}"
    length = len(found.tokens)
    assert re.search(
        rf"attention weights +\(5, {length}, {length}\) +0 +{2 * length**2 * 40:,}\n", run.out
    )
    assert "Attention in layer 2, head 1: " in run.out


def test_the_layer_and_the_head(bge: Run, embedder: engine.Embedder) -> None:
    run, found = bge("explain", A, *HERE, "--layer", "1", "--head", "4"), explain(embedder, A)
    _, _, shown = run.out.partition("Attention in layer 1, head 4: ")
    most = found.attention_NHLL[0, 3].max()
    assert f"█ is {most:.4f}\n" in shown
    rows = [line[5:] for line in shown.splitlines()[2 : 2 + len(found.tokens)]]
    for row, weights_L in zip(rows, found.attention_NHLL[0, 3], strict=True):
        cells = row[: 2 * len(found.tokens) : 2]
        assert cells == "".join(" ░▒▓█"[round(4 * float(w / most))] for w in weights_L)
    assert f" {found.norms_EL()[1, 0]:.2f}  " in run.out


def test_two_texts(bge: Run, embedder: engine.Embedder) -> None:
    run, found = bge("explain", A, B, *HERE), compare(embedder, A, B)
    assert (run.status, run.err) == (0, "")
    lines = run.out.splitlines()
    assert lines[0] == f"tiny: the cosine of the mean-pooled texts is {found.cosine:.4f}"
    assert lines[3].split() == ["gives", "first", "text", "second", "text"]
    for line, pair in zip(lines[4:14], found.top_pairs(10), strict=True):
        tokens = [str(pair.i), found.a.tokens[pair.i], str(pair.j), found.b.tokens[pair.j]]
        assert line.split() == [f"{pair.contribution:.4f}", *tokens]
    assert f"█ is {abs(found.contributions_AB).max():.4f}" in run.out
    columns = " ".join(f"{j} {token}" for j, token in enumerate(found.b.tokens))
    assert run.out.endswith(f"Columns: {columns}\n")


def test_a_checkpoint_with_cls_says_what_is_shown(bge: Run, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "cls", seed=3, pooling="cls", **SIZES)
    run = bge("explain", A, B, "--model", str(folder))
    assert run.status == 0 and "This checkpoint pools by cls, which takes one token;" in run.out
    assert "This checkpoint" not in bge("explain", A, B, *HERE).out
    assert "cls pools by cls." in bge("explain", A, "--model", str(folder)).out


def test_json_of_one_text(bge: Run, embedder: engine.Embedder) -> None:
    run, found = bge("explain", A, *HERE, "--json"), explain(embedder, A)
    got = json.loads(run.out)
    assert (got["text"], got["model"], got["pooling"], got["layer"]) == (A, "tiny", "mean", 2)
    assert [each["token"] for each in got["tokens"]] == [*found.tokens]
    assert [each["id"] for each in got["tokens"]] == found.ids_L.tolist()
    assert got["tokens"][0]["span"] is None
    assert got["tokens"][1]["span"] == found.spans_L2[1].tolist()
    for name, array in [
        ("hidden", found.hidden_ELD),
        ("attention", found.attention_NHLL),
        ("norms", found.norms_EL()),
        ("shares", found.shares_EL()),
    ]:
        assert np.array_equal(np.array(got[name], array.dtype), array), name
    assert np.array_equal(np.array(got["pooled"]["cls"], "f4"), found.pooled_ED("cls"))
    assert len(got["nearest_words"]) == len(found.tokens) and got["precisions"] == []
    assert got["steps"][0]["parameters"] == 242 * 40


def test_json_of_two_texts(bge: Run, embedder: engine.Embedder) -> None:
    got = json.loads(bge("explain", A, B, *HERE, "--json").out)
    found = compare(embedder, A, B)
    assert np.array_equal(np.array(got["contributions"]), found.contributions_AB)
    assert (got["a"]["text"], got["b"]["text"], got["cosine"]) == (A, B, found.cosine)


def test_prompts(bge: Run) -> None:
    one = json.loads(bge("explain", A, *HERE, "--query", "--json").out)
    assert one["text"] == "query: " + A
    two = json.loads(bge("explain", A, B, *HERE, "--query", "--json").out)
    assert (two["a"]["text"], two["b"]["text"]) == ("query: " + A, "passage: " + B)


@pytest.mark.slow
def test_precisions(bge: Run) -> None:
    run = bge("explain", A, *HERE, "--precisions")
    table = run.out.splitlines()[-4:]
    assert table[0].split() == ["precision", "1", "-", "cosine", "max|difference|"]
    assert [line.split()[0] for line in table[1:]] == ["float32", "int16", "int8"]
    assert float(table[1].split()[2]) < 1e-6 < float(table[3].split()[2])
    records = json.loads(bge("explain", A, *HERE, "--precisions", "--json").out)["precisions"]
    assert [record["precision"] for record in records] == ["float32", "int16", "int8"]


@pytest.mark.parametrize("texts", [["word, " * 80], ["東京 " * 20 + "x" * 90, "red " * 80]])
def test_no_line_is_over_80_columns_and_no_codes(texts: list[str], load: Load) -> None:
    words = [sys.executable, "-m", "engine", "explain", *texts, *HERE]
    seen = on_a_terminal(*words, environ={**os.environ, "PYTHONWARNINGS": "ignore"})
    lines = [line for line in seen.splitlines() if not line.startswith("bge: warning")]
    assert max(map(len, lines)) <= 80
    assert not re.search("[\x00-\x09\x0b-\x1f]", seen)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([A, "--layer", "3"], "--layer is 3; tiny has 2"),
        ([A, "--head", "6"], "--head is 6; tiny has 5"),
        ([A, "--layer", "0"], "'0' is not a positive integer"),
        ([A, B, "c"], "give one text, or two to compare; 3 were given"),
        ([A, B, "--precisions"], "--precisions can be used only with one text"),
        ([A, B, "--head", "2"], "--layer, --head and --precisions can be used only with one text"),
        ([A, "--precision", "int8"], "unrecognized arguments: --precision"),
    ],
)
def test_wrong_usage(bge: Run, words: list[str], complaint: str) -> None:
    run = bge("explain", *HERE, *words)
    assert run.status == 2 and run.out == "" and complaint in run.err
