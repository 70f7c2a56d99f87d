"""The numbers of the page are those of `engine.explain`, and formulas made of them come out."""

import time
from pathlib import Path

import numpy as np
import pytest

import engine
from engine.explain import Explanation, compare, explain, nearest_words, precision_errors
from engine.explore.results import CHARACTERS, SHOWN, Results
from tests.conftest import Load
from tests.support.synthetic import MODULES, write_checkpoint, write_json

TEXT = "the red fox, and the blue one"
OTHER = "a blue fox"


@pytest.fixture(scope="module")
def results(load: Load) -> Results:
    return Results(load("tiny", "reference"))


def test_the_text_on_its_way(results: Results, load: Load) -> None:
    embedder = load("tiny", "reference")
    got, found = results.explain(TEXT), explain(embedder, TEXT)
    assert got["tokens"] == found.tokens and got["ids"] == found.ids_L.tolist()
    assert (got["count"], got["cut"], got["prompt"]) == (len(found.tokens), 0, 0)
    weights = np.array(got["attention"]) / got["weight_one"]
    np.testing.assert_allclose(weights, found.attention_NHLL, atol=0.51e-4)
    np.testing.assert_allclose(got["first"], found.hidden_ELD[:, :, :4], atol=0.51e-4)
    np.testing.assert_allclose(got["norms"], found.norms_EL(), atol=0.51e-4)
    np.testing.assert_allclose(got["shares"], found.shares_EL()[-1], atol=0.51e-4)
    assert np.shape(got["path"]) == (3, len(found.tokens), 2)
    assert np.mean(got["column"]) == pytest.approx(got["pooled"]["mean"][0], abs=1e-4)
    assert got["column"][0] == got["pooled"]["cls"][0]
    mean, cls = (embedder.encode(TEXT, pooling=pooling) for pooling in ("mean", "cls"))
    assert got["cls_mean_cosine"] == pytest.approx(float(mean @ cls), abs=1e-6)


def test_the_embedding_adds_up(results: Results) -> None:
    parts = results.explain(TEXT)["embedding"]
    added = np.add(np.add(parts["word"], parts["type"]), parts["position"])
    np.testing.assert_allclose(parts["sum"], added, atol=2e-4)
    assert len(parts["mean"]) == len(parts["deviation"]) == len(parts["sum"])


@pytest.mark.parametrize(("layer", "head"), [(1, 1), (2, 5)])
def test_a_weight_is_computed_as_the_page_says(results: Results, layer: int, head: int) -> None:
    got, detail = results.explain(TEXT), results.head(TEXT, layer, head)
    scores, largest, sums = (np.array(detail[each]) for each in ("scores", "largest", "sums"))
    products = np.array(detail["q"]) @ np.array(detail["k"]).T / np.sqrt(detail["width"])
    np.testing.assert_allclose(scores, products, atol=1e-3)
    weights = np.exp(scores - largest[:, None]) / sums[:, None]
    expected = np.array(got["attention"][layer - 1][head - 1]) / got["weight_one"]
    np.testing.assert_allclose(weights, expected, atol=3e-4)
    halves = detail["halves"]
    np.testing.assert_allclose(halves["came"]["first"], got["first"][layer - 1])
    np.testing.assert_allclose(halves["out"]["first"], got["first"][layer])
    np.testing.assert_allclose(halves["out"]["length"], got["norms"][layer])


def test_the_words_of_each_depth(results: Results, load: Load) -> None:
    embedder = load("tiny", "reference")
    words, found = results.words(TEXT, 2)["words"], explain(embedder, TEXT)
    for depth, nearest in enumerate(words):
        expected = nearest_words(embedder, found, depth, 4)[2]
        assert [text for text, _ in nearest] == [word.text for word in expected]
    assert len(words) == 3


def test_two_texts(results: Results, load: Load) -> None:
    got, found = results.compare(TEXT, OTHER), compare(load("tiny", "reference"), TEXT, OTHER)
    assert got["cosine"] == found.cosine
    np.testing.assert_allclose(got["contributions"], found.contributions_AB, atol=0.51e-5)
    i, j, most = found.top_pairs(1)[0]
    assert got["pairs"][0] == [found.a.tokens[i], found.b.tokens[j], round(most, 5)]
    x_D, y_D = found.a.hidden_ELD[-1, i], found.b.hidden_ELD[-1, j]
    divisor = np.prod([got[side][each] for side in "ab" for each in ("pooled", "length")])
    assert float(x_D @ y_D) / divisor == pytest.approx(most, abs=1e-6)


def test_many_texts(results: Results, load: Load) -> None:
    texts = [TEXT, OTHER, "the end"]
    got = results.matrix(texts)
    for pooling in ("mean", "cls"):
        vectors = load("tiny", "reference").encode(texts, pooling=pooling)
        np.testing.assert_allclose(got[pooling]["cosines"], vectors @ vectors.T, atol=0.51e-4)
        apart = [np.linalg.norm(vectors[0] - vectors[i]) for i in (1, 2)]
        points = np.array(got[pooling]["points"])  # three points lie in a plane: nothing is lost
        shown = [np.linalg.norm(points[0] - points[i]) for i in (1, 2)]
        np.testing.assert_allclose(shown, apart, atol=3e-4)
        assert sum(got[pooling]["shares"]) == pytest.approx(1, abs=2e-4)


def test_cosines_of_a_checkpoint_that_does_not_normalise(tmp_path: Path) -> None:
    folder = write_checkpoint(
        tmp_path / "raw", seed=1, hidden=40, layers=1, heads=4, ffn=56, vocab=242, positions=64
    )
    write_json(folder / "modules.json", MODULES[:2])
    with engine.load(folder, precision="reference", threads=1) as embedder:
        assert np.linalg.norm(embedder.encode(TEXT)) > 1.01
        got = Results(embedder).matrix([TEXT, OTHER])["mean"]["cosines"]
    assert [got[0][0], got[1][1]] == [1, 1] and got[0][1] < 1


@pytest.mark.parametrize("name", ["float32", "int16", "int8"])
def test_a_precision(results: Results, load: Load, name: str) -> None:
    (expected,) = precision_errors(load("tiny", "reference"), TEXT, [name])
    got = results.precision(TEXT, name)
    assert (1 - got["angle"], got["largest"]) == pytest.approx(expected[1:], abs=1e-12)
    vectors = (load("tiny", precision).encode(TEXT)[:4] for precision in (name, "reference"))
    for key, vector in zip(("first", "reference"), vectors, strict=True):
        np.testing.assert_allclose(got[key], vector, atol=0.51e-6)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::engine.TruncationWarning")
def test_of_a_long_text_the_first_tokens_are_shown(load: Load) -> None:
    embedder = load("minilm", "reference")
    results, text = Results(embedder), "red fox " * 200
    got, found = results.explain(text), explain(embedder, text)
    assert (len(got["tokens"]), got["count"], got["cut"]) == (SHOWN, 256, 146)
    assert np.shape(got["attention"]) == (6, 12, SHOWN, SHOWN)
    assert np.mean(got["column"]) == pytest.approx(got["pooled"]["mean"][0], abs=1e-4)
    assert np.shape(results.head(text, 6, 12)["scores"]) == (SHOWN, SHOWN)
    np.testing.assert_allclose(got["shares"], found.shares_EL()[-1, :SHOWN], atol=0.51e-4)
    assert len(results.compare(text, text)["b"]["tokens"]) == SHOWN


def test_the_saved_file_is_complete(results: Results, load: Load, tmp_path: Path) -> None:
    (tmp_path / "saved.npz").write_bytes(results.saved(TEXT))
    saved, found = (
        Explanation.load(tmp_path / "saved.npz"),
        explain(load("tiny", "reference"), TEXT),
    )
    assert saved.tokens == found.tokens
    assert np.array_equal(saved.attention_NHLL, found.attention_NHLL)


def test_what_is_too_much_or_does_not_exist(results: Results) -> None:
    wrong = {
        "the text has 20,001 characters; this page takes at most 20,000": lambda: results.explain(
            "a" * (CHARACTERS + 1)
        ),
        "21 texts; this page compares 1 to 20": lambda: results.matrix(["a"] * 21),
        "0 texts; this page compares": lambda: results.matrix([]),
        "layer is 3; this model has the layers 1 to 2": lambda: results.head("a", 3, 1),
        "head is 0; this model has the heads 1 to 5": lambda: results.head("a", 1, 0),
        "token is 3; this text has the tokens 0 to 2": lambda: results.words("a", 3),
        "name is 'int4'; it must be one of float32, int16, int8": lambda: results.precision(
            "a", "int4"
        ),
    }
    for message, ask in wrong.items():
        with pytest.raises(engine.InputError, match=message):
            ask()


@pytest.mark.slow
def test_a_text_takes_less_than_a_second(minilm: Path) -> None:
    """All that the page asks about a text, on MiniLM. CPU time of one thread, because others may be
    busy here, and threads that wait for each other take CPU time too."""
    results = Results(engine.load(minilm, precision="reference", threads=1))

    def seconds(text: str) -> float:
        began = time.process_time()
        results.explain(text)
        results.head(text, 6, 1)
        results.words(text, 1)
        results.compare(text, OTHER)
        return time.process_time() - began

    assert min(seconds(f"We sat on the river bank, {n} of us.") for n in range(3)) < 1
