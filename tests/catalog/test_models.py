"""What registry.toml and published.json say, held against itself and against arithmetic."""

import math
import re
import tomllib
from fnmatch import fnmatch

import numpy as np
import pytest

from engine.catalog.models import HERE, Entry, FileFact, entries, entry, is_known
from engine.catalog.verify import NEEDED, WEIGHTS
from engine.errors import InputError, ModelNotFound

NAMES = [each.name for each in entries()]
FIRST = ["bge-small-en-v1.5", "bge-base-en-v1.5", "bge-large-en-v1.5", "all-MiniLM-L6-v2"]
each_entry = pytest.mark.parametrize("known", entries(), ids=NAMES)


def test_the_facts_are_part_of_the_package() -> None:
    project = tomllib.loads((HERE.parents[1] / "pyproject.toml").read_text("utf-8"))
    package = HERE.parent
    there = [file for file in package.rglob("*") if file.is_file()]
    data = {file.relative_to(package).as_posix() for file in there}
    data = {name for name in data if not name.endswith((".py", ".pyc"))}
    kernels = "fast/shipped/*.kernels"  # in a checkout from which a wheel is built
    data = {name for name in data if not fnmatch(name, kernels)}
    patterns = set(project["tool"]["setuptools"]["package-data"]["engine"])
    assert {name for name in data if not any(fnmatch(name, each) for each in patterns)} == set()
    assert {each for each in patterns if not any(fnmatch(name, each) for name in data)} <= {kernels}


def test_names_are_told_apart_in_any_case() -> None:
    spellings = [
        spelling.lower()
        for known in entries()
        for spelling in (known.name, known.hub_id, known.cf_id)
        if spelling
    ]
    assert len(spellings) == len(set(spellings))


@each_entry
def test_an_entry_is_well_formed(known: Entry) -> None:
    assert known.pooling in ("mean", "cls")
    assert known.dim % known.heads == 0
    assert known.ffn == 4 * known.dim
    assert set(known.prompts) <= {"query", "document"}
    assert all(prompt.endswith(" ") for prompt in known.prompts.values())
    assert known.revision is None or re.fullmatch("[0-9a-f]{40}", known.revision)
    assert known.revision or not known.files
    for fact in known.files.values():
        assert fact.size is None or fact.size > 0
        assert fact.sha256 is None or re.fullmatch("[0-9a-f]{64}", fact.sha256)
    if known.files:
        assert set(NEEDED) <= set(known.files)
        assert known.files[WEIGHTS].sha256


@pytest.mark.parametrize("name", FIRST)
def test_the_first_checkpoints_are_pinned_to_the_byte(name: str) -> None:
    known = entry(name)
    assert known.revision
    assert known.max_tokens
    unknown = [path for path, fact in known.files.items() if not (fact.size and fact.sha256)]
    expected = ["sentence_bert_config.json"] if name == "bge-base-en-v1.5" else []
    assert unknown == expected
    assert known.published


@pytest.mark.parametrize("name", FIRST)
def test_the_weights_are_as_large_as_the_sizes_make_them(name: str) -> None:
    """float32 of all tensors (the pooler is stored too), and a header of some kilobytes."""
    known = entry(name)
    vocabulary, positions, types = 30522, 512, 2
    wide, ffn = known.dim, known.ffn
    embeddings = (vocabulary + positions + types + 2) * wide
    attention = 4 * (wide * wide + wide) + 2 * wide
    feed_forward = 2 * wide * ffn + ffn + wide + 2 * wide
    pooler = wide * wide + wide
    numbers = embeddings + known.layers * (attention + feed_forward) + pooler
    size = known.files[WEIGHTS].size
    assert size is not None
    assert 8 <= size - 4 * numbers <= 60_000


@pytest.mark.parametrize(
    "spelled",
    ["bge-base-en-v1.5", "BAAI/bge-base-en-v1.5", "@cf/baai/bge-base-en-v1.5", "BGE-Base-EN-v1.5 "],
)
def test_a_checkpoint_has_several_names(spelled: str) -> None:
    assert entry(spelled).hub_id == "BAAI/bge-base-en-v1.5"


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("bge-base-en", "bge-base-en-v1.5"),
        ("bge-bass-en-v1.5", "bge-base-en-v1.5"),
        ("@cf/baai/bge-bass-en-v1.5", "bge-base-en-v1.5"),
        ("all-minilm-l6", "all-MiniLM-L6-v2"),
        ("minilm-l12-v2", "all-MiniLM-L12-v2"),
        ("e5-smal-v2", "e5-small-v2"),
    ],
)
def test_an_unknown_name_is_answered_with_near_ones(wrong: str, meant: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        entry(wrong)
    message = str(caught.value)
    assert message.startswith(f"No model is known as {wrong!r}. Did you mean ")
    assert meant in message
    assert "`bge models`" in message


def test_a_name_that_is_near_to_none() -> None:
    with pytest.raises(ModelNotFound) as caught:
        entry("word2vec")
    assert "Did you mean" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("BAAI/bge-m3", "XLM-RoBERTa"), ("BGE-M3", "XLM-RoBERTa"), ("all-mpnet-base-v2", "MPNet")],
)
def test_what_is_no_bert_is_refused_with_the_reason(name: str, kind: str) -> None:
    with pytest.raises(ModelNotFound, match=rf"is not a plain BERT \({kind}\)"):
        entry(name)


def test_another_revision_pins_nothing() -> None:
    known = entry("all-MiniLM-L6-v2")
    assert known.at(None) is known
    assert known.at(known.revision) is known
    other = known.at("refs/pr/3")
    assert (other.name, other.revision) == ("all-MiniLM-L6-v2", "refs/pr/3")
    assert (dict(other.files), other.pypi) == ({}, None)
    assert (known.folder, other.folder) == ("all-MiniLM-L6-v2", "all-MiniLM-L6-v2@refs--pr--3")
    assert known.command == "bge pull all-MiniLM-L6-v2"
    assert other.command == "bge pull all-MiniLM-L6-v2 --revision refs/pr/3"


def test_sizes_are_added_up() -> None:
    assert entry("all-MiniLM-L6-v2").size == 91_567_913
    assert entry("e5-small-v2").size is None
    known = entry("bge-base-en-v1.5")
    content = {"max_seq_length": 512, "do_lower_case": True}
    assert known.files["sentence_bert_config.json"] == FileFact(content=content)
    assert known.size == 438_900_223


@each_entry
def test_published_numbers_fit_the_checkpoint(known: Entry) -> None:
    for row in known.published:
        values = np.array(row.values)
        assert row.pooling in ("mean", "cls")
        assert 0 <= row.start_index <= row.start_index + len(values) <= known.dim
        assert row.text
        assert row.source
        assert 0 < row.tolerance <= 1e-3
        if len(values) == known.dim:
            assert math.isclose(np.linalg.norm(values), 1, abs_tol=2e-6)
    for pair in known.cosines:
        assert -1 < pair.cosine < 1
        assert pair.prompt_a in ("", *known.prompts.values())


def test_whole_vectors_are_published_for_bge_base_and_small() -> None:
    whole = {
        name: [row for row in entry(name).published if len(row.values) == entry(name).dim]
        for name in FIRST
    }
    assert [len(rows) for rows in whole.values()] == [1, 4, 0, 0]
    plain, spaced, *_ = whole["bge-base-en-v1.5"]
    assert spaced.text.split() == plain.text.split()
    assert spaced.text != plain.text
    assert spaced.values == plain.values
    assert plain.values[:2] == (0.0066853194, -0.034372192)


def test_every_other_name_of_the_hub_is_a_repository_of_which_nothing_is_known() -> None:
    known = entry(" google-bert/bert-base-uncased ")
    assert known == Entry("google-bert/bert-base-uncased", "google-bert/bert-base-uncased")
    assert (known.folder, known.command) == (
        "google-bert--bert-base-uncased",
        "bge pull google-bert/bert-base-uncased",
    )
    assert (known.sizes, dict(known.files), known.published, known.prompts) == ({}, {}, (), {})
    later = known.at("v2/x")
    assert later.folder == "google-bert--bert-base-uncased@v2--x"
    assert later.command == "bge pull google-bert/bert-base-uncased --revision v2/x"


def test_only_the_model_itself_is_refused_not_what_others_call_by_its_last_name() -> None:
    assert entry("someone/bge-m3").hub_id == "someone/bge-m3"


@pytest.mark.parametrize("name", ["a/b/c", "../a", "a\\b", "/a/b", "a--b/c", ""])
def test_what_can_be_no_repository_is_no_name(name: str) -> None:
    with pytest.raises(ModelNotFound, match="No model is known as"):
        entry(name)


def test_no_folder_of_a_repository_is_that_of_a_known_model() -> None:
    """Neither has "--" in its name, so that org--name can be read in one way only."""
    assert not any("--" in known.folder or "@" in known.folder for known in entries())


@pytest.mark.parametrize(
    ("name", "known"),
    [("gte-small", True), (" GTE-Small", True), ("thenlper/gte-small", True), ("gte", False),
     ("@CF/baai/bge-base-en-v1.5", True), ("x/gte-small", False), ("./gte-small", False)],
)  # fmt: skip
def test_names_of_the_registry(name: str, known: bool) -> None:
    assert is_known(name) is known


def test_sizes_by_the_names_of_config_json() -> None:
    assert entry("all-MiniLM-L6-v2").sizes == {
        "hidden_size": 384,
        "num_hidden_layers": 6,
        "num_attention_heads": 12,
        "intermediate_size": 1536,
    }


@pytest.mark.parametrize("revision", ["../x", "a b", ""])
def test_a_revision_that_can_be_none_is_refused(revision: str) -> None:
    with pytest.raises(InputError, match="it must be a commit, a branch or a tag"):
        entry("gte-small").at(revision)


@each_entry
def test_a_folder_may_lack_only_what_the_tokenizer_repeats(known: Entry) -> None:
    optional = {path for path, fact in known.files.items() if fact.optional}
    assert optional <= {"special_tokens_map.json", "tokenizer_config.json", "vocab.txt"}
    assert all(fact.decides for fact in known.files.values())
