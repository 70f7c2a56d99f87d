"""Every wrong type is an InputError that says what is allowed."""

import inspect
import warnings
from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict
from typing import Any, get_type_hints

import numpy as np
import pytest

from engine import options
from engine.embedder import Embedder
from engine.errors import InputError, TooLong, TruncationWarning, UnknownOption
from engine.options import (
    CutCount,
    EncodeArgs,
    EncodeOptions,
    callers_level,
    check_choice,
    check_count,
    check_known,
    check_prompt,
    check_texts,
    check_vectors,
    each_text,
)
from engine.tokenizer.tokens import Tokens


def refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        call()
    assert str(caught.value) == message


def test_the_defaults() -> None:
    assert EncodeOptions() == EncodeOptions(None, None, None, None, None, "warn", False)
    assert EncodeOptions().checked(40) == EncodeOptions()


def test_the_three_lists_of_options_agree() -> None:
    """The dataclass, the TypedDict, and the signature of `encode`."""
    signature = inspect.signature(Embedder.encode).parameters
    keywords = {name: p for name, p in signature.items() if p.kind is p.KEYWORD_ONLY}
    assert {name: p.default for name, p in keywords.items()} == asdict(EncodeOptions())
    types = {name: p.annotation for name, p in keywords.items()}
    assert types == get_type_hints(EncodeOptions) == get_type_hints(EncodeArgs)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("normalize_embeddings", "use normalize. Or use engine.compat.SentenceTransformer"),
        ("precision", "call engine.quantize"),
        ("promt", "the options are prompt, prompt_name, pooling, normalize, truncate_dim, on_tr"),
    ],
)
def test_an_unknown_option_is_answered_with_ours(name: str, advice: str) -> None:
    check_known(["prompt", "on_truncate"])
    with pytest.raises(UnknownOption, match=f"^encode has no option {name}: {advice}") as caught:
        check_known(["prompt", name])
    assert isinstance(caught.value, InputError) and isinstance(caught.value, TypeError)


def test_the_advice_is_for_options_that_are_not_ours() -> None:
    assert not set(options.ELSEWHERE) & set(asdict(EncodeOptions()))


@pytest.mark.parametrize(
    "keywords",
    [
        {"prompt": ""},
        {"prompt": "query: "},
        {"pooling": "cls"},
        {"pooling": "mean"},
        {"normalize": True},
        {"normalize": False},
        {"normalize": np.True_},
        {"truncate_dim": 1},
        {"truncate_dim": 40},
        {"truncate_dim": np.int64(40)},
        {"on_truncate": "error"},
        {"on_truncate": "ignore"},
        {"show_progress_bar": True},
    ],
)
def test_what_is_allowed(keywords: Any) -> None:
    given = EncodeOptions(**keywords)
    assert given.checked(40) is given


PROMPT = "; give a string, or None."
NORMALIZE = "; give True, False, or None."
POOLING, CUT = "; it must be one of mean, cls.", "; it must be one of warn, error, ignore."
DIM = "; it must be an integer from 1 to 40."
WRONG: list[tuple[str, Any, str]] = [
    *(("prompt", value, PROMPT) for value in (1, 0, b"query", ["a"], False)),
    *(("pooling", value, POOLING) for value in ("max", "CLS", "", 1, 0, ["cls"], True, b"cls")),
    *(("normalize", value, NORMALIZE) for value in (1, 0, "yes", "", [True], 1.0, np.int64(1))),
    *(("truncate_dim", value, DIM) for value in (0, -1, 41, 13.0, "13", True, False, [13], 1e9)),
    *(("on_truncate", value, CUT) for value in ("cut", None, 1, "", True, ["warn"])),
]


@pytest.mark.parametrize(("name", "value", "allowed"), WRONG)
def test_wrong_types_and_values(name: str, value: Any, allowed: str) -> None:
    refused(lambda: EncodeOptions(**{name: value}).checked(40), f"{name} is {value!r}{allowed}")


@pytest.mark.parametrize("value", [np.float32(3), np.bool_(True), np.array([1, 2]), np.int8(-1)])
def test_numpys_other_numbers_are_refused(value: Any) -> None:
    refused(lambda: check_count("n", value), f"n is {value!r}; it must be a positive integer.")


@pytest.mark.parametrize("kind", [int, np.int8, np.uint8, np.int32, np.int64, np.uint64])
def test_integers_of_all_kinds_are_counts(kind: Any) -> None:
    count = check_count("threads", kind(2))
    assert count == 2 and type(count) is int


def test_the_bounds_of_a_count() -> None:
    assert [check_count("n", n, 3) for n in (1, 2, 3)] == [1, 2, 3]
    assert check_count("n", 1) == 1 and check_count("n", 10**30) == 10**30
    refused(lambda: check_count("n", 4, 3), "n is 4; it must be an integer from 1 to 3.")
    refused(lambda: check_count("n", 0), "n is 0; it must be a positive integer.")
    refused(lambda: check_count("n", 1, 0), "n is 1; it must be an integer from 1 to 0.")
    refused(lambda: check_count("n", None), "n is None; it must be a positive integer.")


def test_choices_are_strings_of_the_list() -> None:
    check_choice("x", "a", ("a", "b"))
    check_choice("x", np.str_("b"), ("a", "b"))
    refused(lambda: check_choice("x", "ab", ("ab c",)), "x is 'ab'; it must be one of ab c.")
    refused(lambda: check_choice("x", 1, ("1",)), "x is 1; it must be one of 1.")


def test_prompts() -> None:
    check_prompt(None)
    check_prompt("")
    refused(lambda: check_prompt(3), "prompt is 3; give a string, or None.")


def test_poolings_of_each_text() -> None:
    check_vectors([], None, 40)
    check_vectors(["mean", "cls"], 40, 40)
    refused(lambda: check_vectors(["mean", "x"], None, 40), f"pooling is 'x'{POOLING}")
    refused(lambda: check_vectors(["mean"], 0, 40), f"truncate_dim is 0{DIM}")
    refused(lambda: check_vectors([], 41, 40), f"truncate_dim is 41{DIM}")


def test_texts() -> None:
    assert check_texts(("a", "b")) == ["a", "b"]
    assert check_texts(iter(["a", ""])) == ["a", ""]
    assert check_texts(np.array(["a", "b"])) == ["a", "b"]
    assert check_texts([]) == []
    refused(lambda: check_texts(["a", None]), "text 1 is of type NoneType; give strings.")
    refused(lambda: check_texts([b"a"]), "text 0 is of type bytes; give strings.")
    refused(lambda: check_texts(["a", 1.5], 7), "text 8 is of type float; give strings.")


def test_one_text_is_not_several() -> None:
    """A string is an iterable of its letters, which nobody means."""
    for check in (check_texts, each_text):
        refused(lambda check=check: check("ab"), "texts is str; give an iterable of strings.")
        refused(lambda check=check: check(b"ab"), "texts is bytes; give an iterable of strings.")
        refused(lambda check=check: check(7), "texts is int; give an iterable of strings.")
        refused(lambda check=check: check(None), "texts is NoneType; give an iterable of strings.")
        refused(
            lambda check=check: check(np.array("ab")),
            "texts cannot be iterated (iteration over a 0-d array); give strings.",
        )


# texts that were cut


def cut(length: int, cut: int) -> Tokens:
    return Tokens(np.zeros(length, np.int32), cut)


def test_truncated_texts_are_counted_over_all_windows() -> None:
    count = CutCount(5, "warn")
    count.add([cut(5, 0), cut(5, 3)])
    count.add([])
    count.add([cut(5, 1), cut(2, 0), cut(5, 40)])
    assert (count.texts, count.cut_texts, count.cut_tokens) == (5, 3, 44)
    with pytest.warns(TruncationWarning) as caught:
        count.warn()
    assert [str(one.message) for one in caught] == [
        "3 of 5 texts were longer than 5 tokens and were truncated; 44 tokens were dropped. "
        "Split long texts, or pass on_truncate='ignore'."
    ]
    assert caught[0].filename == __file__


@pytest.mark.parametrize(("on_truncate", "missing"), [("warn", 0), ("ignore", 9), ("error", 0)])
def test_no_warning(on_truncate: str, missing: int) -> None:
    count = CutCount(5, on_truncate)
    count.add([cut(5, missing)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        count.warn()


def test_truncation_that_is_not_allowed() -> None:
    count = CutCount(5, "error")
    count.add([cut(5, 0)] * 3)
    with pytest.raises(TooLong) as caught:
        count.add([cut(4, 0), cut(5, 2), cut(5, 9)])
    assert str(caught.value) == (
        "text 4 has 7 tokens; this model takes 5. Split the text, or truncate it with "
        "on_truncate='warn'."
    )


# the caller's line


def run_as(filename: str, code: str, **names: Any) -> Any:
    """Runs code that says it is of another file."""
    exec(compile(code, filename, "exec"), names)
    return names


INSIDE = options.PACKAGE + "some_module.py"


def test_the_level_of_a_call_from_outside() -> None:
    assert callers_level() == 1


def test_the_level_of_a_call_through_the_package() -> None:
    code = "def level(): return callers_level()\ndef outer(): return level()"
    names = run_as(INSIDE, code, callers_level=callers_level)
    assert (names["level"](), names["outer"]()) == (2, 3)


@pytest.mark.parametrize("folder", ["_client", "s", ".py", "-2"])
def test_a_sibling_of_the_package_is_outside(folder: str) -> None:
    """.../engine_client/x.py begins like .../engine, and is the caller's own."""
    code = "def level(): return callers_level()"
    neighbour = options.PACKAGE[:-1] + folder + "/x.py"
    assert run_as(neighbour, code, callers_level=callers_level)["level"]() == 1


def test_where_all_frames_are_of_the_package() -> None:
    """The outermost frame is named; the walk ends there."""

    class Frame:
        def __init__(self, outer: Any) -> None:
            self.f_back = outer
            self.f_code = compile("", INSIDE, "exec")

    frames = Frame(Frame(Frame(None)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(options.sys, "_getframe", lambda depth: frames)
        level = callers_level()
    assert level == 3


def test_options_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        EncodeOptions().pooling = "cls"  # type: ignore[misc]
