"""Texts in, vectors out, with results computed by hand."""

import asyncio
import itertools
import runpy
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import engine
from engine.embedder import WINDOW
from engine.errors import InputError, NotFinite, TooLong, TruncationWarning
from engine.vectors.modules import Modules
from tests.conftest import Load
from tests.support.toy_embedder import CLS, ID, SEP, encoder, toy_embedder

Array = NDArray[Any]

RED, DOG, THE, SMALL = (ID[word] for word in ("red", "dog", "the", "small"))
ENTRIES = ["encode", "encode_query", "encode_document", "stream"]


def mean(*ids: int) -> list[float]:
    """Of (id, place, 1) over [CLS], the ids, [SEP]."""
    whole = [CLS, *ids, SEP]
    return [sum(whole) / len(whole), (len(whole) - 1) / 2, 1]


def hold(found: Array, *expected: list[float]) -> None:
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.array(expected), rtol=3e-7)


def call(embedder: engine.Embedder, entry: str, texts: Any, **options: Any) -> Array:
    found = getattr(embedder, entry)(texts, **options)
    return np.concatenate(list(found)) if entry == "stream" else found


# texts and their order


def test_one_string_is_one_vector() -> None:
    embedder = toy_embedder()
    for entry in ENTRIES[:3]:
        vector = call(embedder, entry, "red dog")
        assert vector.shape == (3,)
        hold(vector[None], mean(RED, DOG))


@pytest.mark.parametrize(
    "make", [list, tuple, iter, dict.fromkeys, np.array, lambda t: (x for x in t)]
)
def test_any_iterable(make: Callable[[list[str]], Any]) -> None:
    texts = ["red dog", "", "the"]
    for entry in ENTRIES:
        hold(call(toy_embedder(), entry, make(texts)), mean(RED, DOG), mean(), mean(THE))


def test_no_texts_have_the_length_of_a_vector() -> None:
    embedder = toy_embedder(truncate_dim=2)
    assert embedder.encode([]).shape == (0, 2)
    assert embedder.encode(iter([]), truncate_dim=3).shape == (0, 3)
    assert embedder.encode([]).dtype == np.float32
    assert list(embedder.stream([])) == []


@pytest.mark.parametrize(("count", "windows"), [(1, [1]), (2048, [2048]), (4097, [2048, 2048, 1])])
def test_windows(count: int, windows: list[int]) -> None:
    embedder = toy_embedder()
    words = [word for word in ID if word.isascii() and word.isalpha() and word.islower()][:20]
    texts = list(itertools.islice(itertools.product(words, repeat=3), count))  # no text twice
    vectors = embedder.encode([" ".join(text) for text in texts])
    assert encoder(embedder).pooled_texts == windows and WINDOW == 2048
    hold(vectors, *(mean(*(ID[word] for word in text)) for text in texts))


@pytest.mark.slow
def test_many_threads_get_larger_windows() -> None:
    embedder = toy_embedder()
    embedder.threads = 16
    texts = [" ".join(str(i)) for i in range(5000)]
    embedder.encode(texts)
    assert len(encoder(embedder).pooled_texts) == 2  # of 16 * 256 texts


@pytest.mark.parametrize("place", [0, 2047, 2048, 5000])
def test_a_text_is_numbered_over_all_windows(place: int) -> None:
    texts: list[Any] = ["red"] * place
    for entry in ENTRIES:
        with pytest.raises(InputError) as caught:
            call(toy_embedder(), entry, iter([*texts, float("nan"), "red"]))
        assert str(caught.value) == f"text {place} is of type float; give strings."


@pytest.mark.parametrize("place", [0, 2047, 2048])
def test_a_text_that_is_too_long_is_numbered_too(place: int) -> None:
    embedder = toy_embedder(max_tokens=4)
    with pytest.raises(TooLong) as caught:
        embedder.encode(["red"] * place + ["red dog the"], on_truncate="error")
    assert str(caught.value) == (
        f"text {place} has 5 tokens; this model takes 4. Split the text, or truncate it with "
        "on_truncate='warn'."
    )
    hold(embedder.encode(["red dog"], on_truncate="error"), mean(RED, DOG))


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (None, "texts is NoneType; give an iterable of strings."),
        (b"red", "texts is bytes; give an iterable of strings."),
        (3, "texts is int; give an iterable of strings."),
        (np.array("red"), "texts cannot be iterated (iteration over a 0-d array); give strings."),
        (["red", None], "text 1 is of type NoneType; give strings."),
        ([b"red"], "text 0 is of type bytes; give strings."),
        ([["red"]], "text 0 is of type list; give strings."),
        (np.ones((2, 2)), "text 0 is of type ndarray; give strings."),
    ],
)
def test_wrong_texts(entry: str, texts: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        call(toy_embedder(), entry, texts)
    assert str(caught.value) == message


def test_a_stream_of_one_string_is_refused() -> None:
    with pytest.raises(InputError, match="texts is str; give an iterable of strings"):
        toy_embedder().stream("red")


# options

WRONG = [
    ("prompt", 3, "a string, or None"),
    ("pooling", "max", "one of mean, cls"),
    ("pooling", "", "one of mean, cls"),
    ("normalize", 1, "True, False, or None"),
    ("truncate_dim", 4, "an integer from 1 to 3"),
    ("truncate_dim", 0, "an integer from 1 to 3"),
    ("truncate_dim", 2.0, "an integer from 1 to 3"),
    ("truncate_dim", True, "an integer from 1 to 3"),
    ("on_truncate", "cut", "one of warn, error, ignore"),
    ("on_truncate", None, "one of warn, error, ignore"),
]


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize(("name", "value", "allowed"), WRONG)
def test_wrong_options(entry: str, name: str, value: Any, allowed: str) -> None:
    """Also where there are no texts, and before a stream begins."""
    with pytest.raises(InputError, match=f"^{name} is {value!r}; .*{allowed}"):
        getattr(toy_embedder(), entry)([], **{name: value})


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_unknown_option(entry: str) -> None:
    with pytest.raises(TypeError, match="batch_size"):
        getattr(toy_embedder(), entry)(["a"], batch_size=3)


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_option_of_sentence_transformers(entry: str) -> None:
    with pytest.raises(engine.UnknownOption, match="normalize_embeddings: use normalize"):
        getattr(toy_embedder(), entry)([], normalize_embeddings=True)


@pytest.mark.parametrize("entry", ENTRIES)
def test_each_option_is_passed_on(entry: str) -> None:
    embedder = toy_embedder(modules=Modules([], 3, True))
    hold(call(embedder, entry, ["red"], pooling="cls", normalize=False), [CLS, 0, 1])
    hold(call(embedder, entry, ["red"], truncate_dim=2, normalize=False), mean(RED)[:2])
    length = sum(x * x for x in mean(RED)) ** 0.5
    hold(call(embedder, entry, ["red"], truncate_dim=np.int64(1)), [mean(RED)[0] / length])
    hold(call(embedder, entry, ["red"], truncate_dim=1, normalize=True), [1])
    hold(call(embedder, entry, ["red"], prompt="the ", normalize=False), mean(THE, RED))


# prompts

PROMPTS = {"query": "the ", "document": "small ", "x": "dog "}


@pytest.mark.parametrize(
    ("prompts", "default", "plain", "query", "document"),
    [
        (PROMPTS, None, [], [THE], [SMALL]),
        (PROMPTS, "x", [DOG], [THE], [SMALL]),
        ({"x": "dog "}, "x", [DOG], [], []),  # no prompt of its own: none, not the default
        ({**PROMPTS, "query": ""}, "x", [DOG], [], [SMALL]),
        ({**PROMPTS, "document": ""}, "x", [DOG], [THE], []),
        ({"query": "the "}, None, [], [THE], []),  # never the query's prompt for a document
        ({"document": "small "}, None, [], [], [SMALL]),
        ({"passage": "small ", "corpus": "dog "}, None, [], [], []),
        ({"x": ""}, "x", [], [], []),
        ({}, "query", [], [], []),
        ({}, None, [], [], []),
    ],
)
def test_which_prompt(prompts: Any, default: Any, plain: Any, query: Any, document: Any) -> None:
    embedder = toy_embedder(prompts=prompts, default_prompt=default)
    expected = {"encode": plain, "stream": plain, "encode_query": query}
    for entry, before in {**expected, "encode_document": document}.items():
        hold(call(embedder, entry, ["red"]), mean(*before, RED))
        hold(call(embedder, entry, ["red"], prompt=None), mean(*before, RED))
        hold(call(embedder, entry, ["red"], prompt=""), mean(RED))
        hold(call(embedder, entry, ["red"], prompt="dog dog "), mean(DOG, DOG, RED))


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_prompt_by_its_name(entry: str) -> None:
    embedder = toy_embedder(prompts=PROMPTS, default_prompt="query")
    hold(call(embedder, entry, ["red"], prompt_name="x"), mean(DOG, RED))
    hold(call(embedder, entry, ["red"], prompt_name="x", prompt="small "), mean(SMALL, RED))
    for wrong in ("y", "", 3, ["x"]):
        with pytest.raises(
            InputError, match=r"prompt_name is .* prompts of this model are .'query"
        ):
            getattr(embedder, entry)([], prompt_name=wrong)


def test_a_prompt_that_the_pooling_leaves_out() -> None:
    embedder = toy_embedder(prompts=PROMPTS, include_prompt=False)
    hold(embedder.encode_query(["red"]), [(RED + SEP) / 2, 2.5, 1])
    hold(embedder.encode(["red"]), mean(RED))


# asyncio


def test_aencode_leaves_the_event_loop_free() -> None:
    async def main() -> tuple[Array, bool]:
        went_on = asyncio.Event()

        def texts() -> Iterator[str]:
            yield "red"
            loop.call_soon_threadsafe(went_on.set)
            assert asyncio.run_coroutine_threadsafe(went_on.wait(), loop).result(10)

        loop = asyncio.get_running_loop()
        return await toy_embedder().aencode(texts(), prompt="the "), went_on.is_set()

    vectors, went_on = asyncio.run(main())
    hold(vectors, mean(THE, RED))
    assert went_on


# streams


def test_a_stream_is_lazy_and_in_chunks() -> None:
    taken: list[int] = []

    def endless() -> Iterator[str]:
        for n in itertools.count():
            taken.append(n)
            yield "red " * (n % 5)

    embedder = toy_embedder()
    stream = embedder.stream(endless(), chunk=4)
    assert not taken
    first, second = next(stream), next(stream)
    assert len(taken) == 8 and encoder(embedder).pooled_texts == [4, 4]
    hold(first, mean(), mean(RED), mean(RED, RED), mean(RED, RED, RED))
    hold(second, mean(RED, RED, RED, RED), mean(), mean(RED), mean(RED, RED))


@pytest.mark.parametrize("chunk", [1, 2, 5, 7, np.int64(3), 10**9])
def test_chunks(chunk: Any) -> None:
    parts = list(toy_embedder().stream(["red"] * 7, chunk=chunk))
    size = min(int(chunk), 7)
    assert [len(part) for part in parts] == [size] * (7 // size) + [7 % size] * (7 % size > 0)


@pytest.mark.parametrize("chunk", [0, -1, 1.0, "3", True, None])
def test_wrong_chunks(chunk: Any) -> None:
    with pytest.raises(InputError) as caught:
        toy_embedder().stream(["red"], chunk=chunk)
    assert str(caught.value) == f"chunk is {chunk!r}; it must be a positive integer."


# progress


def test_progress_is_shown_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    toy_embedder().encode(["red"] * 3)
    assert capsys.readouterr() == ("", "")
    toy_embedder().encode(["red"] * 3, show_progress_bar=True)
    out, err = capsys.readouterr()
    assert out == "" and "] 3 of 3 texts, " in err
    toy_embedder().encode(iter(["red"] * 3), show_progress_bar=True)
    assert "\r3 texts" in capsys.readouterr().err


# the warning about truncated texts


def test_one_warning_for_all_windows(recwarn: pytest.WarningsRecorder) -> None:
    embedder = toy_embedder(max_tokens=4)
    texts = ["red"] * 2048 + ["red dog the small"] + ["red dog the"] * 2
    vectors = embedder.encode(texts)
    hold(vectors[-3:], *[mean(RED, DOG)] * 3)
    assert [(one.category, str(one.message)) for one in recwarn] == [
        (
            TruncationWarning,
            "3 of 2051 texts were longer than 4 tokens and were truncated; 4 tokens were dropped. "
            "Split long texts, or pass on_truncate='ignore'.",
        )
    ]


def test_no_warning_if_nothing_was_truncated_or_it_is_ignored() -> None:
    embedder = toy_embedder(max_tokens=4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        embedder.encode(["red dog"])
        embedder.encode(["red dog the"], on_truncate="ignore")


def helper(embedder: engine.Embedder, entry: str, texts: Any) -> int:
    """A function between the test and the call: its line is the caller's."""
    call = getattr(embedder, entry)
    if entry != "stream":
        call(texts)  # line 1 of the two that may be named
        return helper.__code__.co_firstlineno + 4
    list(call(texts))
    return helper.__code__.co_firstlineno + 6


@pytest.mark.parametrize("entry", ENTRIES)
def test_the_warning_names_the_callers_line(entry: str) -> None:
    embedder = toy_embedder(max_tokens=4)
    texts: Any = ["red dog the"]
    with pytest.warns(TruncationWarning) as caught:
        line = helper(embedder, entry, texts)
    assert [(one.filename, one.lineno) for one in caught] == [(__file__, line)]


def test_a_loop_over_a_stream_is_the_caller() -> None:
    stream = toy_embedder(max_tokens=4).stream(["red dog the"])
    with pytest.warns(TruncationWarning) as caught:
        lines = [len(part) for part in stream]
    assert lines == [1]
    (one,) = caught
    here = test_a_loop_over_a_stream_is_the_caller.__code__.co_firstlineno
    assert (one.filename, one.lineno - here) == (__file__, 3)


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_script_is_the_caller(entry: str, tmp_path: Path) -> None:
    """At module level there is no function around the call."""
    script = tmp_path / "script.py"
    ask = f"list(embedder.{entry}(texts))" if entry == "stream" else f"embedder.{entry}(texts)"
    script.write_text(f"texts = ['red dog the']\n\n{ask}\n")
    names = {"embedder": toy_embedder(max_tokens=4)}
    with pytest.warns(TruncationWarning) as caught:
        runpy.run_path(str(script), names)
    assert [(one.filename, one.lineno) for one in caught] == [(str(script), 3)]


# counts and similarity


def test_counts_of_tokens() -> None:
    embedder = toy_embedder(max_tokens=4)
    assert embedder.count_tokens("red dog the small") == 6
    assert embedder.count_tokens(["", "red " * 99, "dog"]) == [2, 101, 3]
    assert embedder.count_tokens(iter(["red"])) == [3]
    assert embedder.count_tokens([]) == []
    for wrong in (3, None, b"red", [1], np.array("red")):
        with pytest.raises(InputError, match="text"):
            embedder.count_tokens(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("cosine", 0.8), ("dot", 8), ("euclidean", -(13**0.5)), ("manhattan", -5)],
)
def test_similarity_is_the_checkpoints(name: str, expected: float) -> None:
    found = toy_embedder(similarity=name).similarity([[3.0, 4.0]], [[0.0, 2.0], [0.0, 2.0]])
    np.testing.assert_allclose(found, [[expected, expected]], rtol=1e-6)


def test_similarity_of_different_widths() -> None:
    with pytest.raises(InputError, match="similarity of vectors of length 2 with vectors of len"):
        toy_embedder().similarity(np.ones((1, 2)), np.ones((1, 3)))


def damaged(monkeypatch: pytest.MonkeyPatch) -> engine.Embedder:
    """NaN for every text of one token more than "red"."""
    embedder = toy_embedder()
    pooled = embedder._encoder.pooled

    def with_nan(ids: Any, poolings: Any) -> Any:
        rows = pooled(ids, poolings)
        rows[[len(one) == 4 for one in ids]] = np.nan
        return rows

    monkeypatch.setattr(embedder._encoder, "pooled", with_nan)
    return embedder


@pytest.mark.parametrize("place", [0, 7, 2048, 4099])
def test_a_vector_that_is_not_finite_is_numbered_over_all_windows(
    place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["red"] * 4100
    texts[place] = "red red"
    with pytest.raises(NotFinite, match=f"text {place} ") as raised:
        damaged(monkeypatch).encode(texts)
    assert raised.value.texts == (place,)


def test_all_repetitions_of_what_is_not_finite_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFinite) as raised:
        damaged(monkeypatch).encode(["red", "red red", "red", "red red"])
    assert raised.value.texts == (1, 3)


def test_texts_of_the_same_tokens_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    embedder, seen = toy_embedder(), []
    pooled = embedder._encoder.pooled

    def counted(ids: Any, poolings: Any) -> Any:
        seen.extend(one.tolist() for one in ids)
        return pooled(ids, poolings)

    texts = ["red", "blue", "red", "RED", "red red", "blue"]
    expected = np.stack([embedder.encode(text) for text in texts])
    monkeypatch.setattr(embedder._encoder, "pooled", counted)
    assert np.array_equal(embedder.encode(texts), expected)
    assert len(seen) == len({tuple(ids) for ids in seen}) < len(texts)


def test_tokens_of_ids_are_those_of_the_text(load: Load) -> None:
    embedder = load("tiny", "float32")
    (tokens,) = embedder.tokenize(["token ids of a text"])
    given = embedder.tokens_of(tokens.ids.tolist())
    assert np.array_equal(embedder.encode_tokens([given]), embedder.encode(["token ids of a text"]))
    assert given.cut == 0


def test_too_many_ids_are_cut_before_the_last(load: Load) -> None:
    embedder = load("tiny", "float32")
    limit = embedder.max_tokens
    ids = [*range(5, 5 + limit + 2), 3]
    tokens = embedder.tokens_of(ids)
    assert (tokens.ids.tolist(), tokens.cut) == ([*ids[: limit - 1], 3], 3)
    with pytest.raises(engine.TooLong):
        embedder.tokens_of(ids, truncate=False)
    for wrong in ([], [-1], [embedder.config.vocabulary], [1.5]):
        with pytest.raises(engine.InputError):
            embedder.tokens_of(wrong)  # type: ignore[arg-type]
