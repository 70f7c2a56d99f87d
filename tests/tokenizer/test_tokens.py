"""Tokens of texts: truncation, counts, offsets."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import CheckpointError, InputError
from engine.tokenizer import tokens as module
from engine.tokenizer.tokens import Token, Tokenizer, Tokens, clean
from tests.support.paths import ROOT
from tests.tokenizer.tiny_tokenizer import generic, ids, load, write

CLS, SEP, UNK, MASK = 2, 3, 1, 4
A, B, C, D = 45, 46, 47, 48


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return load(write(tmp_path_factory.mktemp("tiny")), max_tokens=5)


def both(tokens: list[Tokens]) -> list[tuple[list[int], int]]:
    return [(one.ids.tolist(), one.cut) for one in tokens]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ([CLS, SEP], 0)),
        ("a b", ([CLS, A, B, SEP], 0)),
        ("a b c", ([CLS, A, B, C, SEP], 0)),
        ("a b c d", ([CLS, A, B, C, SEP], 1)),
    ],
)
def test_the_limit_counts_the_special_tokens(
    tiny: Tokenizer, text: str, expected: tuple[list[int], int]
) -> None:
    assert both(tiny.tokenize([text])) == [expected]
    assert len(tiny.tokenize([text])[0]) == len(expected[0])


def test_a_cut_text_loses_its_end_or_its_start(tiny: Tokenizer) -> None:
    text = "a b c d"
    assert both(tiny.tokenize([text], side="right")) == [([CLS, A, B, C, SEP], 1)]
    assert both(tiny.tokenize([text], side="left")) == [([CLS, B, C, D, SEP], 1)]
    assert both(tiny.tokenize([text], special=False)) == [([A, B, C, D], 0)]
    assert both(tiny.tokenize(["a b c d a a"], special=False, side="left")) == [
        ([B, C, D, A, A], 1)
    ]
    assert both(tiny.tokenize([text], truncate=False)) == [([CLS, A, B, C, D, SEP], 0)]


def test_the_side_of_the_checkpoint_is_the_default(tmp_path: Path) -> None:
    left = load(write(tmp_path, truncation_side="left"), max_tokens=4)
    assert left.side == "left"
    assert both(left.tokenize(["a b c"])) == [([CLS, B, C, SEP], 1)]
    assert both(left.tokenize(["a b c"], side="right")) == [([CLS, A, B, SEP], 1)]


def test_ids_are_int32(tiny: Tokenizer) -> None:
    for options in ({}, {"special": False}, {"truncate": False}):
        for text in ("", "a", "a b c d"):
            (tokens,) = tiny.tokenize([text], **options)
            assert tokens.ids.dtype == np.int32 and tokens.ids.flags.c_contiguous


def test_no_texts(tiny: Tokenizer) -> None:
    assert tiny.tokenize([]) == [] and tiny.count([]) == []


def test_count_is_of_the_whole_text(tiny: Tokenizer) -> None:
    texts = ["", "a", "a b c d a b", "a " * 70_000]
    assert tiny.count(texts) == [2, 3, 8, 70_002]
    assert tiny.count(texts, special=False) == [0, 1, 6, 70_000]


def test_details_have_the_offsets_of_each_token(tiny: Tokenizer) -> None:
    text = "É the(ab\u200b) [MASK]"
    assert tiny.details(text) == [
        Token(CLS, "[CLS]", True, None, None),
        Token(49, "e", False, 0, 1),
        Token(81, "the", False, 2, 5),
        Token(12, "(", False, 5, 6),
        *shifted(tiny.details("ab", special=False), 6),
        Token(13, ")", False, 9, 10),
        Token(MASK, "[MASK]", False, 11, 17),
        Token(SEP, "[SEP]", True, None, None),
    ]
    assert tiny.details(text, special=False) == tiny.details(text)[1:-1]
    assert tiny.details("", special=False) == []


def shifted(tokens: list[Token], by: int) -> list[Token]:
    return [
        Token(token.id, token.text, token.special, (token.start or 0) + by, (token.stop or 0) + by)
        for token in tokens
    ]


def test_details_of_a_long_text_are_those_of_its_parts(tiny: Tokenizer) -> None:
    unit = "the (ab) [MASK] é. "
    details = tiny.details(unit * 4000, special=False)
    one = tiny.details(unit, special=False)
    assert details == [token for i in range(4000) for token in shifted(one, i * len(unit))]


def test_details_of_a_giant_text_are_refused(tiny: Tokenizer) -> None:
    assert len(tiny.details("a" + " " * 999_999)) == 3
    with pytest.raises(InputError, match=r"has 1000001 characters.*at most 1000000. Split"):
        tiny.details("a" + " " * 1_000_000)


def test_ids_become_text_again(tiny: Tokenizer) -> None:
    (tokens,) = tiny.tokenize(["a b c"], truncate=False)
    assert tiny.decode(tokens.ids) == "a b c"
    assert tiny.decode(tokens.ids, skip_special=False) == "[CLS] a b c [SEP]"


def test_pieces_of_words_are_joined() -> None:
    tokenizer = Tokenizer(ROOT / "weights" / "tiny", max_tokens=64)
    (tokens,) = tokenizer.tokenize(["unbelievable qzxj tokenization, yes"], truncate=False)
    assert len(tokens) > 7  # words in pieces
    assert tokenizer.decode(tokens.ids) == "unbelievable qzxj tokenization, yes"


@pytest.mark.parametrize("length", [1, 65_535, 65_536, 65_537, 200_000])
@pytest.mark.parametrize("side", ["right", "left"])
def test_a_long_text_has_the_tokens_of_the_whole(tiny: Tokenizer, length: int, side: str) -> None:
    text = ("a b c, d " * (length // 9 + 1))[:length]
    (whole,) = tiny._encode([text])
    (tokens,) = tiny.tokenize([text], special=False, truncate=False)
    assert tokens.ids.tolist() == whole.tolist() and tokens.cut == 0
    (cut,) = tiny.tokenize([text], special=False, side=side)
    kept = whole[:5] if side == "right" else whole[-5:]
    assert cut.ids.tolist() == kept.tolist()
    assert cut.cut == len(whole) - len(kept)


@pytest.mark.parametrize("part", ["a b c, d ", ".", "a"])
def test_without_counting_what_is_cut_only_the_first_pieces_are_tokenised(
    tiny: Tokenizer, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (part * 300_000)[:300_000] + " end"
    counted, counted_left = tiny.tokenize([text])[0], tiny.tokenize([text], side="left")[0]
    given: list[str] = []
    encode = Tokenizer._encode
    spy = lambda self, texts: given.extend(texts) or encode(self, texts)  # noqa: E731
    monkeypatch.setattr(Tokenizer, "_encode", spy)
    (tokens,) = tiny.tokenize([text], count_cut=False)
    assert tokens.ids.tolist() == counted.ids.tolist()
    assert 0 < tokens.cut <= counted.cut or tokens.cut == counted.cut == 0
    assert sum(map(len, given)) < 20_000
    (left,) = tiny.tokenize([text], side="left", count_cut=False)
    assert left.ids.tolist() == counted_left.ids.tolist() and left.cut == counted_left.cut


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 700, 2000])
def test_threads_and_groups_change_nothing(tmp_path: Path, threads: int, count: int) -> None:
    tokenizer = load(write(tmp_path), threads=threads)
    texts = ["a" * (i % 7) + " b" * (i % 11) for i in range(count)]
    for place in range(0, count, 50):
        texts[place] = "c d " * (17_000 if place % 500 == 0 else 900)
    found = both(tokenizer.tokenize(texts))
    assert found == [pair for text in texts for pair in both(tokenizer.tokenize([text]))]


def test_a_call_of_the_library_is_bounded(tiny: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    groups: list[list[int]] = []
    encode = Tokenizer._encode

    def spy(self: Tokenizer, texts: list[str]) -> Any:
        groups.append([len(text) for text in texts])
        return encode(self, texts)

    monkeypatch.setattr(Tokenizer, "_encode", spy)
    tiny.tokenize(["a " * n for n in (20_000, 30_000, 15_000, 40_000, 32_768, 32_769, 1, 2)])
    assert groups[0] == [40_000, 60_000, 30_000]
    assert groups[-1] == [2, 4]
    assert [65_536] in groups
    others = [group for group in groups[1:-1] if group != [65_536]]
    assert {len(group) for group in others} == {1} and max(others) == [16_384]
    assert sum(map(sum, others)) == 80_000 + 65_538
    assert module.LONG == 65_536 and module.BATCH == 131_072


def test_groups_are_shared_among_threads(tmp_path: Path) -> None:
    tokenizer = load(write(tmp_path), threads=4)
    sizes = [len(part) for part in tokenizer._parts(["a"] * 400)]
    assert sizes == [100] * 4
    assert [len(part) for part in tokenizer._parts(["a"] * 63)] == [63]
    assert [len(part) for part in tokenizer._parts(["a"] * 64)] == [32, 32]
    assert {len(part) for part in tokenizer._parts(["a"] * 5120)} == {512}
    assert [len(part) for part in load(tmp_path)._parts(["a"] * 900)] == [900]


def test_a_lone_surrogate_is_dropped(tiny: Tokenizer) -> None:
    assert clean("a\ud800b") == "a\ufffdb"
    assert clean("\ud83e\udd17") == "🤗"
    assert clean("été") == "été"
    assert ids(tiny, "a\udfff b") == [A, B]


def test_the_smallest_limit(tmp_path: Path) -> None:
    assert both(load(write(tmp_path), max_tokens=3).tokenize(["b a"])) == [([CLS, B, SEP], 1)]


def test_an_id_without_a_row_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    load(tmp_path, vocabulary=242)
    with pytest.raises(CheckpointError, match=r"the id 241, .* has 241 rows .* ids 0 to 240"):
        load(tmp_path, vocabulary=241)


@pytest.mark.parametrize("id", [242, 2**31 - 1, 2**31, 2**32 - 1])
@pytest.mark.parametrize("name", ["BertTokenizer", "PreTrainedTokenizerFast"])
def test_a_sparse_id_is_refused(tmp_path: Path, id: int, name: str) -> None:
    content = generic()
    content["model"]["vocab"]["hello"] = id
    write(tmp_path, {"tokenizer.json": content}, tokenizer_class=name)
    with pytest.raises(CheckpointError, match=f"'hello' the id {id}, .*resize_token_embeddings"):
        load(tmp_path)
    if id < 2**31:
        assert ids(load(tmp_path, vocabulary=None), "hello") == [id]
    else:
        with pytest.raises(CheckpointError, match="'hello' the id"):
            load(tmp_path, vocabulary=None)


def test_an_added_token_without_a_row_is_refused(tmp_path: Path) -> None:
    decoder = {"242": {"content": "[NEW]", "special": True}}
    write(tmp_path, added_tokens_decoder=decoder)
    with pytest.raises(CheckpointError, match=r"'\[NEW\]' the id 242"):
        load(tmp_path)
    assert ids(load(tmp_path, vocabulary=243), "a[NEW]") == [A, 242]


def template(*single: tuple[str, int], cls: tuple[int, ...] = (CLS,)) -> dict[str, Any]:
    """A post-processor of these parts, "A" or a special token, each with its type."""
    parts = [
        {"Sequence" if id == "A" else "SpecialToken": {"id": id, "type_id": type_id}}
        for id, type_id in single
    ]
    tokens = {
        "[CLS]": {"id": "[CLS]", "ids": list(cls), "tokens": ["[CLS]"] * len(cls)},
        "[SEP]": {"id": "[SEP]", "ids": [SEP], "tokens": ["[SEP]"]},
    }
    pair = [{"Sequence": {"id": id, "type_id": 0}} for id in "AB"]
    return {"type": "TemplateProcessing", "single": parts, "pair": pair, "special_tokens": tokens}


RIGHT = ("[CLS]", 0), ("A", 0), ("[SEP]", 0)


@pytest.mark.parametrize(
    "processor",
    [
        None,
        template(("A", 0)),
        template(("[CLS]", 0), ("A", 0)),
        template(("A", 0), ("[CLS]", 0), ("[SEP]", 0)),
        template(("[CLS]", 0), ("[SEP]", 0), ("A", 0)),
        template(("[CLS]", 0), ("A", 1), ("[SEP]", 0)),
        template(("[CLS]", 1), ("A", 0), ("[SEP]", 0)),
        template(*RIGHT, cls=(CLS, CLS)),
    ],
)
def test_any_other_template_is_refused(tmp_path: Path, processor: Any) -> None:
    content = generic(post_processor=processor)
    write(tmp_path, {"tokenizer.json": content}, tokenizer_class="PreTrainedTokenizerFast")
    with pytest.raises(CheckpointError, match=r"gives .* for an empty text and .*BERT's gives"):
        load(tmp_path)


def test_the_template_of_the_file_is_used(tmp_path: Path) -> None:
    content = generic(post_processor=template(("[SEP]", 0), ("A", 0), ("[CLS]", 0)))
    write(tmp_path, {"tokenizer.json": content}, tokenizer_class="PreTrainedTokenizerFast")
    assert both(load(tmp_path).tokenize(["a"])) == [([SEP, A, CLS], 0)]
    assert [token.id for token in load(tmp_path).details("a")] == [SEP, A, CLS]


def test_a_vocabulary_without_the_unknown_token_is_refused(tmp_path: Path) -> None:
    content = generic()
    content["model"]["unk_token"] = "[unknown]"
    write(tmp_path, {"tokenizer.json": content}, tokenizer_class="PreTrainedTokenizerFast")
    with pytest.raises(CheckpointError, match=r"does not work: Exception: .*Missing .UNK. token"):
        load(tmp_path)


def test_the_users_variable_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    load(write(tmp_path))
    assert os.environ["TOKENIZERS_PARALLELISM"] == "true"
    monkeypatch.delenv("TOKENIZERS_PARALLELISM")
    load(tmp_path)
    assert os.environ["TOKENIZERS_PARALLELISM"] == "false"
