"""What sentence-transformers' own `encode` does, and ours beside it on one checkpoint."""

import copy
import pickle
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import engine
from engine.catalog import registry
from engine.compat import SentenceTransformer
from engine.literals import SIMILARITIES
from tests.conftest import Load
from tests.support.paths import WEIGHTS
from tests.support.toy_embedder import toy_embedder

TEXTS = ["red fox", "", "The blue one, and the green fox.", "a", "blue green " * 60, "red fox"]
BAR = 1e-6  # relative: both sides round each of some thousand operations to 24 bits
PROMPTS = {"x": "green fox "}


@pytest.fixture(scope="module")
def ours(load: Load) -> SentenceTransformer:
    return SentenceTransformer(load("tiny", "float32"), prompts=PROMPTS)


@pytest.fixture(scope="module")
def theirs() -> Any:
    from sentence_transformers import SentenceTransformer as Original

    folder = str(WEIGHTS / "tiny")
    return Original(folder, device="cpu", prompts=PROMPTS, local_files_only=True)


pytestmark = [
    pytest.mark.reference,
    pytest.mark.filterwarnings("ignore::engine.TruncationWarning"),
]


def same(found: Any, expected: Any) -> None:
    """Of one type, shape and dtype, and the same numbers."""
    assert type(found) is type(expected)
    if isinstance(expected, list):
        assert len(found) == len(expected)
        for pair in zip(found, expected, strict=True):
            same(*pair)
        return
    assert tuple(found.shape) == tuple(expected.shape) and found.dtype == expected.dtype
    if found.dtype in (np.int8, np.uint8):  # bits
        assert np.array_equal(found, expected)
    scale = max(1.0, float(abs(expected).max()))
    assert np.abs(np.asarray(found, "f8") - np.asarray(expected, "f8")).max() <= BAR * scale


FORMS: dict[str, Callable[[], Any]] = {
    "one": lambda: TEXTS[2],
    "empty text": lambda: "",
    "list": lambda: TEXTS,
    "list of one": lambda: TEXTS[:1],
    "tuple": lambda: tuple(TEXTS),
    "array": lambda: np.array(TEXTS),
    "array of objects": lambda: np.array(TEXTS, object),
}
MORE_FORMS: dict[str, Callable[[], Any]] = {  # which theirs refuses
    "generator": lambda: (text for text in TEXTS),
    "series": lambda: pd.Series(TEXTS),
    "series with another index": lambda: pd.Series(TEXTS, index=range(9, 3, -1)),
    "keys": lambda: dict.fromkeys(TEXTS).keys(),
}


@pytest.mark.parametrize("form", FORMS)
def test_input(form: str, ours: SentenceTransformer, theirs: Any) -> None:
    same(ours.encode(FORMS[form]()), theirs.encode(FORMS[form]()))


@pytest.mark.parametrize("form", MORE_FORMS)
def test_any_iterable(form: str, ours: SentenceTransformer, theirs: Any) -> None:
    expected = theirs.encode([*MORE_FORMS[form]()])
    same(ours.encode(MORE_FORMS[form]()), expected)


OPTIONS: list[dict[str, Any]] = [
    {},
    {"batch_size": 2},
    {"show_progress_bar": False},
    {"convert_to_tensor": True},
    {"convert_to_tensor": True, "convert_to_numpy": False},
    {"convert_to_numpy": False},
    {"normalize_embeddings": True},
    {"truncate_dim": 7},
    {"truncate_dim": 7, "normalize_embeddings": True},
    {"truncate_dim": 1000},
    {"precision": None},
    {"precision": "binary"},
    {"precision": "ubinary"},
    {"precision": "ubinary", "truncate_dim": 12, "convert_to_tensor": True},
    {"prompt": "blue "},
    {"prompt": ""},
    {"prompt_name": "query"},
    {"prompt_name": "x"},
    {"prompt_name": "x", "prompt": "blue "},
    {"device": "cpu"},
    {"output_value": "token_embeddings", "convert_to_tensor": True},
    {"output_value": "token_embeddings", "convert_to_tensor": True, "prompt_name": "x"},
]
METHODS = ["encode", "encode_query", "encode_document"]


@pytest.mark.parametrize("texts", ["one", "list"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options(
    options: dict[str, Any], method: str, texts: str, ours: SentenceTransformer, theirs: Any
) -> None:
    given = FORMS[texts]()
    same(getattr(ours, method)(given, **options), getattr(theirs, method)(given, **options))


@pytest.mark.parametrize(
    "options",
    [
        {"default_prompt_name": "x"},
        {"default_prompt_name": "query", "truncate_dim": 9},
        {"prompts": {"query": "blue ", "passage": "red "}},
        {"truncate_dim": 1000},
    ],
    ids=str,
)
def test_constructor(options: dict[str, Any], load: Load) -> None:
    from sentence_transformers import SentenceTransformer as Original

    options = {"prompts": PROMPTS, **options}
    theirs = Original(str(WEIGHTS / "tiny"), device="cpu", local_files_only=True, **options)
    ours = SentenceTransformer(load("tiny", "float32"), **options)
    for method in METHODS:
        same(getattr(ours, method)(TEXTS), getattr(theirs, method)(TEXTS))
    assert ours.get_sentence_embedding_dimension() == theirs.get_embedding_dimension()


@pytest.mark.parametrize(
    "prompts",
    [
        {"passage": "red ", "corpus": "blue "},
        {"corpus": "blue ", "query": "fox "},
        {"x": "green "},
        {},
    ],
    ids=str,
)
def test_prompts_that_are_changed(prompts: dict[str, str], load: Load, theirs: Any) -> None:
    """Which prompt encode_query and encode_document take, without and with a default prompt."""
    ours = SentenceTransformer(load("tiny", "float32"))
    for default in [None, *prompts]:
        changed = copy.copy(theirs)
        for model in (ours, changed):
            model.prompts, model.default_prompt_name = prompts, default
        for method in METHODS:
            same(getattr(ours, method)(TEXTS), getattr(changed, method)(TEXTS))


def test_prompts_are_those_of_the_checkpoint_alone(load: Load) -> None:
    """engine.load knows prompts of models whose checkpoints have none; sentence-transformers does
    not, so that these vectors are other ones."""
    entry = replace(registry.entry("bge-base-en-v1.5"), files={})
    embedder = toy_embedder(entry=entry)
    assert embedder.prompts["query"]
    model = SentenceTransformer(embedder)
    assert model.prompts == {"query": "", "document": ""}
    assert np.array_equal(model.encode_query("red"), embedder.encode("red", prompt=""))


def test_arguments_by_place_and_by_their_older_name(ours: SentenceTransformer, theirs: Any) -> None:
    same(ours.encode(TEXTS, "x", None, 2), theirs.encode(TEXTS, "x", None, 2))
    for method in METHODS:
        expected = getattr(theirs, method)(TEXTS, None, "blue ")
        same(getattr(ours, method)(TEXTS, None, "blue "), expected)
        same(getattr(ours, method)(inputs=TEXTS, prompt="blue "), expected)
        same(getattr(ours, method)(sentences=TEXTS, prompt="blue "), expected)


def test_truncation_within_a_context(ours: SentenceTransformer, theirs: Any) -> None:
    for outside in (None, 20):
        for model in (ours, theirs):
            model.truncate_dim = outside
        for dim in (7, 1000, None):
            with ours.truncate_embeddings(dim), theirs.truncate_embeddings(dim):
                same(ours.encode(TEXTS), theirs.encode(TEXTS))
                assert ours.get_embedding_dimension() == theirs.get_embedding_dimension()
        same(ours.encode(TEXTS), theirs.encode(TEXTS))
    ours.truncate_dim = theirs.truncate_dim = None


@pytest.mark.parametrize(
    "options",
    [
        {"precision": "float16"},
        {"prompt_name": "y"},
        {"batch_size": 0},
        {"unheard_of": True},
    ],
    ids=str,
)
def test_both_refuse(options: dict[str, Any], ours: SentenceTransformer, theirs: Any) -> None:
    for model in (ours, theirs):
        with pytest.raises(ValueError):
            model.encode(TEXTS, **options)


@pytest.mark.parametrize("function", [None, *SIMILARITIES])
def test_similarities(function: Any, load: Load, theirs: Any) -> None:
    from sentence_transformers import SimilarityFunction

    ours = SentenceTransformer(load("tiny", "float32"), similarity_fn_name=function)
    theirs.similarity_fn_name = function or "cosine"
    assert ours.similarity_fn_name == theirs.similarity_fn_name
    ours.similarity_fn_name = SimilarityFunction(theirs.similarity_fn_name)
    with pytest.raises(engine.InputError, match="similarity_fn_name is 'angle'"):
        ours.similarity_fn_name = "angle"
    a, b = ours.encode(TEXTS[:3]), ours.encode(TEXTS[3:])
    for name in ("similarity", "similarity_pairwise"):
        expected = getattr(theirs, name)(a, b)
        same(getattr(ours, name)(a, b), expected.numpy())
        same(getattr(ours, name)(a, ours.encode(TEXTS[3:], convert_to_tensor=True)), expected)
    with pytest.raises(engine.InputError, match="3 vectors and 2 vectors make no pairs"):
        ours.similarity_pairwise(a, b[:2])


def test_the_functions_of_sentence_transformers(ours: SentenceTransformer, theirs: Any) -> None:
    from sentence_transformers import util

    texts = TEXTS[:5]  # no two alike, whose order would be left to chance
    pairs = [util.paraphrase_mining(model, texts) for model in (ours, theirs)]
    assert [pair[1:] for pair in pairs[0]] == [pair[1:] for pair in pairs[1]]
    hits = [
        util.semantic_search(
            *(model.encode(each, convert_to_tensor=True) for each in (texts[:2], texts[2:]))
        )
        for model in (ours, theirs)
    ]
    assert [[hit["corpus_id"] for hit in each] for each in hits[0]] == [
        [hit["corpus_id"] for hit in each] for each in hits[1]
    ]


def test_what_the_model_says(ours: SentenceTransformer, theirs: Any) -> None:
    assert ours.max_seq_length == ours.get_max_seq_length() == theirs.max_seq_length
    assert ours.get_embedding_dimension() == theirs.get_embedding_dimension()
    assert ours.prompts == theirs.prompts
    assert ours.device == theirs.device
    expected = theirs.tokenize(TEXTS)
    for name, values in ours.tokenize(TEXTS).items():
        assert np.array_equal(values, expected[name].numpy())


# where it differs


def test_no_texts_have_the_length_of_a_vector(ours: SentenceTransformer) -> None:
    """Theirs has the shape (0,), which cannot be stacked with others."""
    assert ours.encode([]).shape == (0, 40)
    assert ours.encode([], convert_to_tensor=True).shape == (0, 40)
    assert ours.encode([], convert_to_numpy=False) == []
    assert ours.encode([], output_value="token_embeddings") == []


@pytest.mark.parametrize("precision", ["int8", "uint8"])
def test_bytes_depend_on_the_text_alone(precision: Any, ours: SentenceTransformer) -> None:
    found = ours.encode(TEXTS, precision=precision)
    assert np.array_equal(found, engine.quantize(ours.encode(TEXTS), precision).values)
    assert np.array_equal(found[2], ours.encode(TEXTS[2], precision=precision))


def test_vectors_of_tokens_are_arrays(ours: SentenceTransformer) -> None:
    found = ours.encode(TEXTS, output_value="token_embeddings")
    assert [type(one) for one in found] == [np.ndarray] * len(TEXTS)


def test_long_texts_warn(ours: SentenceTransformer) -> None:
    with pytest.warns(engine.TruncationWarning, match="1 of 1 texts"):
        ours.encode("red " * 600)


def test_tensors_need_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    model = SentenceTransformer(toy_embedder())
    assert model.encode("red").shape == (3,) and model.device == "cpu"
    for options in ({"convert_to_tensor": True}, {"convert_to_numpy": False}):
        with pytest.raises(engine.EngineError, match="Tensors need torch, which is not installed"):
            model.encode("red", **options)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"device": "cuda"}, "device is 'cuda'"),
    ({"output_value": None}, "output_value is None; it must be one of sentence_embedding, token"),
    ({"pool": {}}, "pool is {}, which has no effect here"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_refused(options: dict[str, Any], message: str, ours: SentenceTransformer) -> None:
    with pytest.raises(engine.InputError, match=message):
        ours.encode(TEXTS, **options)


def test_a_constructor_that_refuses() -> None:
    with pytest.raises(engine.InputError, match=r"cache_folder is 'x'.*set HF_HUB_CACHE"):
        SentenceTransformer(toy_embedder(), cache_folder="x")
    with pytest.raises(engine.InputError, match="prompt_name is 'y'; the prompts are"):
        SentenceTransformer(toy_embedder(), default_prompt_name="y")
    with pytest.raises(engine.EngineError, match="No pool is needed: encode uses all cores"):
        SentenceTransformer(toy_embedder()).start_multi_process_pool(["cpu"] * 4)
    with pytest.raises(engine.InputError, match="revision is 'x', but an Embedder is given"):
        SentenceTransformer(toy_embedder(), revision="x")


def test_a_name_is_loaded() -> None:
    model = SentenceTransformer(WEIGHTS / "tiny", trust_remote_code=True, local_files_only=True)
    with model.embedder:
        assert model.encode(TEXTS).shape == (6, 40)
        assert "tiny" in repr(model)


def test_copies(ours: SentenceTransformer) -> None:
    for copied in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        with copied.embedder:
            assert np.array_equal(copied.encode_query(TEXTS), ours.encode_query(TEXTS))
