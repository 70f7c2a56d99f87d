"""Texts to ids and ids to vectors, over arithmetic done by hand."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.catalog import registry
from engine.catalog.models import Entry
from engine.checkpoint.module_list import Module
from engine.errors import InputError, NotFinite, TooLong
from engine.token_embedder import TokenEmbedder
from engine.tokenizer.tokens import Tokens
from engine.vectors.modules import Modules
from tests.support.folders import copy_tiny
from tests.support.synthetic import TINY
from tests.support.toy_embedder import CLS, ID, SEP, encoder, toy_embedder

Array = NDArray[Any]

ENTRY = Entry("toy-base", "org/toy-base", "cls", 3, 1, 1, 1, "abc", prompts={"query": "the "})
RED, DOG, THE, SMALL = (ID[word] for word in ("red", "dog", "the", "small"))


def ids(*texts: Tokens) -> list[list[int]]:
    return [one.ids.tolist() for one in texts]


def refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        call()
    assert str(caught.value) == message


# what it says of itself


def test_the_attributes_of_a_plain_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = toy_embedder()
    assert (embedder.name, embedder.hub_id, embedder.revision) == ("tiny", None, None)
    assert (embedder.folder, embedder.precision, embedder.threads) == (TINY, "toy", 1)
    assert (embedder.dim, embedder.max_tokens) == (3, 59)
    assert (embedder.pooling, embedder.target) == ("mean", "toy")
    assert toy_embedder(pooling="cls", max_tokens=7).pooling == "cls"
    assert toy_embedder(pooling="cls", max_tokens=7).max_tokens == 7
    monkeypatch.chdir(TINY)
    assert toy_embedder(folder=Path()).name == "tiny"


def test_the_attributes_of_a_known_model() -> None:
    embedder = toy_embedder(entry=ENTRY)
    assert (embedder.name, embedder.hub_id) == ("toy-base", "org/toy-base")
    assert embedder.revision == "abc"


def test_the_folders_prompts_override_the_registrys() -> None:
    assert toy_embedder(entry=ENTRY, prompts={"x": "y"}).prompts == {"query": "the ", "x": "y"}
    assert toy_embedder(entry=ENTRY, prompts={"query": ""}).prompts == {"query": ""}
    assert toy_embedder(prompts={"x": "y"}).prompts == {"x": "y"}


@pytest.mark.parametrize(
    ("kind", "default", "text"),
    [
        (None, "x", "red "),
        (None, "empty", ""),
        (None, "query", ""),  # not among the prompts
        (None, None, ""),
        ("x", None, "red "),
        ("empty", "x", ""),
        ("query", "x", ""),  # not the default
    ],
)
def test_the_prompt_for_a_kind_of_text(kind: str | None, default: Any, text: str) -> None:
    embedder = toy_embedder(prompts={"x": "red ", "empty": ""}, default_prompt=default)
    assert embedder.prompt_for(kind) == embedder.prompt_for(kind, None) == text
    assert embedder.prompt_for(kind, "") == "" and embedder.prompt_for(kind, "dog ") == "dog "
    assert embedder.default_prompt == embedder.prompt_for(None)


@pytest.mark.parametrize(("truncate_dim", "dim"), [(None, 5), (1, 1), (5, 5), (6, 5), (400, 5)])
def test_the_length_of_a_vector(truncate_dim: int | None, dim: int) -> None:
    modules = Modules([], 5, False)
    assert toy_embedder(modules=modules, truncate_dim=truncate_dim).dim == dim


def test_the_hash_of_the_weights(tmp_path: Path) -> None:
    folder = copy_tiny(tmp_path)
    expected = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    after = (Module("Normalize", folder / "nowhere"),)
    assert toy_embedder(transformer=folder, after_pooling=after).model_hash == expected


def test_the_hash_of_modules_after_the_pooling(tmp_path: Path) -> None:
    folder, hashes = copy_tiny(tmp_path), []
    kinds = {"dense": "Dense", "unit": "Normalize", "norm": "LayerNorm"}
    for name, kind in kinds.items():
        (folder / name).mkdir()
        if kind != "Normalize":
            (folder / name / "model.safetensors").write_bytes(name.encode())
    for path in (folder, folder / "dense", folder / "norm"):
        hashes.append(hashlib.sha256((path / "model.safetensors").read_bytes()).hexdigest())
    expected = hashlib.sha256("".join(hashes).encode()).hexdigest()
    after = tuple(Module(kind, folder / name) for name, kind in kinds.items())
    embedder = toy_embedder(transformer=folder, after_pooling=after)
    assert embedder.model_hash == expected
    (folder / "model.safetensors").unlink()
    assert embedder.model_hash == expected  # computed once


def test_the_hash_of_the_settings(tmp_path: Path) -> None:
    folder = copy_tiny(tmp_path)
    embedder = toy_embedder()
    embedder.folder = folder
    before = embedder.settings_hash
    hashes = [before]
    for name in ("tokenizer.json", "config.json", "1_Pooling/config.json"):
        (folder / name).write_bytes((folder / name).read_bytes() + b" ")
        hashes.append(registry.settings_hash(folder))
    (folder / "model.safetensors").write_bytes(b"")
    (folder / "README.md").write_bytes(b"")
    assert registry.settings_hash(folder) == hashes[-1] and len(set(hashes)) == 4
    assert embedder.settings_hash == before  # computed once


def test_its_representation() -> None:
    embedder = toy_embedder(truncate_dim=2)
    assert repr(embedder) == "<Embedder tiny: 2 numbers, toy, threads=1>"


# texts to ids


def test_ids_of_texts() -> None:
    embedder = toy_embedder()
    tokens = embedder.tokenize(["red dog", "", "Small"])
    assert ids(*tokens) == [[CLS, RED, DOG, SEP], [CLS, SEP], [CLS, SMALL, SEP]]
    assert [(one.cut, one.prompt) for one in tokens] == [(0, 0)] * 3
    assert all(one.ids.dtype == np.int32 for one in tokens)
    assert ids(*embedder.tokenize(iter(["red"]))) == [[CLS, RED, SEP]]
    assert embedder.tokenize([]) == []


def test_options_of_tokenize() -> None:
    embedder = toy_embedder(max_tokens=4)
    text = ["red dog the small"]
    assert ids(*embedder.tokenize(text)) == [[CLS, RED, DOG, SEP]]
    assert ids(*embedder.tokenize(text, truncation_side="left")) == [[CLS, THE, SMALL, SEP]]
    whole = [RED, DOG, THE, SMALL]
    assert ids(*embedder.tokenize(text, truncate=False)) == [[CLS, *whole, SEP]]
    assert ids(*embedder.tokenize([text[0] + " red"], add_special_tokens=False)) == [whole]
    assert embedder.tokenize(text)[0].cut == 2
    assert ids(*embedder.tokenize(text, prompt="small ")) == [[CLS, SMALL, RED, SEP]]
    assert ids(*embedder.tokenize(text, prompt="")) == [[CLS, RED, DOG, SEP]]


def test_a_prompt_that_the_pooling_counts() -> None:
    (tokens,) = toy_embedder(include_prompt=True).tokenize(["red"], prompt="the small ")
    assert tokens.prompt == 0


@pytest.mark.parametrize(
    ("prompt", "options", "length"),
    [
        ("the small ", {}, 3),  # [CLS] and two words
        ("the small ", {"add_special_tokens": False}, 2),
        ("", {}, 0),
        (None, {}, 0),
        (" ", {}, 1),
        ("the " * 9, {}, 5),  # cut to the limit of 6, [SEP] not counted
        ("the " * 9, {"truncate": False}, 10),
    ],
)
def test_a_prompt_that_the_pooling_leaves_out(
    prompt: str | None, options: dict[str, Any], length: int
) -> None:
    embedder = toy_embedder(include_prompt=False, max_tokens=6)
    tokens = embedder.tokenize(["red", "dog dog"], prompt=prompt, **options)
    assert [one.prompt for one in tokens] == [length, length]
    plain = embedder.tokenize([(prompt or "") + text for text in ("red", "dog dog")], **options)
    assert ids(*tokens) == ids(*plain)
    assert [one.cut for one in tokens] == [one.cut for one in plain]


def test_details_of_tokens() -> None:
    (details,) = toy_embedder().token_details(["Red dog"], prompt="the ")
    shown = [(one.id, one.text, one.special, one.start, one.stop) for one in details]
    assert shown == [
        (CLS, "[CLS]", True, None, None),
        (THE, "the", False, 0, 3),
        (RED, "red", False, 4, 7),
        (DOG, "dog", False, 8, 11),
        (SEP, "[SEP]", True, None, None),
    ]


def test_details_are_not_cut() -> None:
    embedder = toy_embedder(max_tokens=3)
    first, second = embedder.token_details(["red " * 9, ""], add_special_tokens=False)
    assert [one.id for one in first] == [RED] * 9 and second == []
    assert len(embedder.token_details(["red " * 9])[0]) == 11


@pytest.mark.parametrize("entry", ["tokenize", "token_details"])
def test_wrong_arguments(entry: str) -> None:
    call = getattr(toy_embedder(), entry)
    refused(lambda: call(["a", 1]), "text 1 is of type int; give strings.")
    refused(lambda: call("red"), "texts is str; give an iterable of strings.")
    refused(lambda: call(["a"], prompt=0), "prompt is 0; give a string, or None.")


@pytest.mark.parametrize("side", ["middle", "Left", ""])
def test_a_wrong_side(side: Any) -> None:
    message = f"truncation_side is {side!r}; it must be one of right, left."
    refused(lambda: toy_embedder().tokenize(["a"], truncation_side=side), message)


# ids to vectors

TOKENS = [Tokens(np.array(row, np.int32)) for row in ([2, 7, 3], [2, 5, 6, 3])]
MEANS, FIRSTS = [[4, 1, 1], [4, 1.5, 1]], [[2, 0, 1], [2, 0, 1]]  # (id, place, 1)


def doubled(x: Array) -> Array:
    """A step that makes four numbers of three."""
    return np.concatenate([2 * x, x[:, :1]], axis=1).astype(np.float32)


def unit(rows: Any) -> Array:
    wide = np.asarray(rows, np.float64)
    return wide / np.sqrt((wide**2).sum(axis=1, keepdims=True))


def hold(found: Array, expected: Any) -> None:
    assert found.dtype == np.float32 and found.flags.c_contiguous
    np.testing.assert_allclose(found, expected, rtol=3e-7)


def test_vectors_of_each_pooling() -> None:
    embedder = toy_embedder()
    hold(embedder.encode_tokens(TOKENS), MEANS)
    hold(embedder.encode_tokens(TOKENS, pooling="cls"), FIRSTS)
    hold(toy_embedder(pooling="cls").encode_tokens(TOKENS), FIRSTS)
    hold(toy_embedder(pooling="cls").encode_tokens(TOKENS, pooling="mean"), MEANS)
    hold(embedder.encode_tokens(TOKENS, pooling=["cls", "mean"]), [FIRSTS[0], MEANS[1]])
    assert encoder(embedder).hidden_texts == []


def test_no_texts() -> None:
    embedder = toy_embedder(modules=Modules([doubled], 4, True))
    assert embedder.encode_tokens([]).shape == (0, 4)
    assert embedder.encode_tokens([], pooling=[], truncate_dim=2).shape == (0, 2)


@pytest.mark.parametrize("normalizes", [False, True])
@pytest.mark.parametrize("of_model", [None, 1, 2, 3, 4, 400])
@pytest.mark.parametrize("of_call", [None, 1, 3, 4])
def test_normalize_and_truncate_dim(normalizes: bool, of_model: Any, of_call: Any) -> None:
    """None: as the checkpoint says, before the cut. True: after it. False: not at all."""
    modules = Modules([doubled], 4, normalizes)
    embedder = toy_embedder(modules=modules, truncate_dim=of_model)
    rows = np.array([[8, 2, 2, 4], [8, 3, 2, 4]], np.float64)
    cut = min(of_call or of_model or 4, 4)
    encode = embedder.encode_tokens
    hold(encode(TOKENS, normalize=False, truncate_dim=of_call), rows[:, :cut])
    hold(encode(TOKENS, normalize=True, truncate_dim=of_call), unit(rows[:, :cut]))
    said = unit(rows) if normalizes else rows
    hold(encode(TOKENS, normalize=None, truncate_dim=of_call), said[:, :cut])
    hold(encode(TOKENS, truncate_dim=of_call), said[:, :cut])


def test_tokens_of_a_prompt_are_left_out() -> None:
    embedder = toy_embedder(modules=Modules([doubled], 4, False))
    tokens = [replace(TOKENS[0], prompt=1), replace(TOKENS[1], prompt=2)]
    hold(embedder.encode_tokens(tokens), [[10, 3, 2, 5], [9, 5, 2, 4.5]])
    hold(embedder.encode_tokens(tokens, pooling="cls"), [[14, 2, 2, 7], [12, 4, 2, 6]])
    assert encoder(embedder).pooled_texts == []
    mixed = [tokens[0], TOKENS[1]]
    hold(embedder.encode_tokens(mixed, pooling=["mean", "cls"]), [[10, 3, 2, 5], [4, 0, 2, 2]])


def test_last_hidden_states() -> None:
    embedder = toy_embedder(modules=Modules([doubled], 4, True), truncate_dim=2)
    first, second = embedder.token_embeddings(TOKENS)
    assert first.tolist() == [[2, 0, 1], [7, 1, 1], [3, 2, 1]]
    assert second.shape == (4, 3)


def test_finish() -> None:
    rows = np.array([[3, 4, 12], [0, 0, 5]], np.float32)
    hold(TokenEmbedder.finish(rows), unit(rows))
    hold(TokenEmbedder.finish(rows, normalize=False), rows)
    hold(TokenEmbedder.finish(rows, normalize=False, truncate_dim=2), [[3, 4], [0, 0]])
    hold(TokenEmbedder.finish(rows, truncate_dim=2), [[0.6, 0.8], [0, 0]])


def test_a_pooling_for_each_text() -> None:
    encode = toy_embedder().encode_tokens
    for count in (0, 1, 3):
        given = ["mean"] * count
        message = f"{count} poolings for 2 texts; give one for each."
        refused(lambda given=given: encode(TOKENS, pooling=given), message)
    refused(lambda: encode(TOKENS, pooling=""), "pooling is ''; it must be one of mean, cls.")
    refused(
        lambda: encode(TOKENS, pooling=["cls", "max"]),
        "pooling is 'max'; it must be one of mean, cls.",
    )


def test_a_wrong_length_of_vectors() -> None:
    modules = Modules([doubled], 4, False)
    for wrong in (0, 5, True, "3"):
        with pytest.raises(
            InputError, match=r"^truncate_dim is .*; it must be an integer from 1 to 4\."
        ):
            toy_embedder(modules=modules).encode_tokens(TOKENS, truncate_dim=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("entry", ["encode_tokens", "token_embeddings"])
def test_the_number_of_tokens(entry: str) -> None:
    embedder = toy_embedder(max_tokens=4)
    call = getattr(embedder, entry)
    assert len(call([Tokens(np.array([2], np.int32)), TOKENS[1]])) == 2
    with pytest.raises(TooLong, match=r"^a text has 5 tokens; this model takes 1 to 4\. Use"):
        call([TOKENS[0], Tokens(np.array([2, 5, 6, 7, 3], np.int32))])
    with pytest.raises(InputError, match=r"0 tokens.* 1 to 4"):
        call([Tokens(np.array([], np.int32))])


# its end, and copies


def test_closing() -> None:
    with toy_embedder() as embedder:
        assert not encoder(embedder).closed
    assert encoder(embedder).closed
    other = toy_embedder()
    other.close()
    assert encoder(other).closed


def test_an_error_inside_the_context_is_raised_and_closes() -> None:
    with pytest.raises(KeyError), toy_embedder() as embedder:
        raise KeyError
    assert encoder(embedder).closed


def test_a_copy_is_what_its_loader_makes() -> None:
    assert toy_embedder().__reduce__() == (toy_embedder, ())


def test_ids_of_any_integer_type_are_the_same_ids() -> None:
    """int64, as numpy makes them of a list, was once read as pairs of int32."""
    embedder = toy_embedder()
    right = embedder.encode_tokens([Tokens(np.array([2, 70, 3], np.int32))], normalize=False)
    for ids in (np.array([2, 70, 3]), np.array([2, 70, 3], ">i2"), np.array([2, 0, 70, 0, 3])[::2]):
        assert np.array_equal(embedder.encode_tokens([Tokens(ids)], normalize=False), right)
        assert len(embedder.token_embeddings([Tokens(ids)])[0]) == 3


@pytest.mark.parametrize("ids", [[2, 242, 3], [2, -1, 3], [2, 2**31 - 1, 3], [2.0, 70.0], [True]])
@pytest.mark.parametrize("entry", ["encode_tokens", "token_embeddings"])
def test_ids_that_are_not_the_models_are_refused(entry: str, ids: list[Any]) -> None:
    embedder = toy_embedder()
    with pytest.raises(InputError, match="token id"):
        getattr(embedder, entry)([Tokens(np.array([2, 70, 3], np.int32)), Tokens(np.array(ids))])
    assert not embedder._encoder.pooled_texts and not embedder._encoder.hidden_texts  # type: ignore[attr-defined]


@pytest.mark.parametrize("number", [np.nan, np.inf, 3e38])
def test_vectors_that_are_not_finite_are_named(
    number: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = toy_embedder()
    pooled = np.ones((4, 3), np.float32)
    pooled[1:3, 2] = number
    monkeypatch.setattr(embedder._encoder, "pooled", lambda ids, poolings: pooled)
    with pytest.raises(NotFinite, match="text 1") as raised:
        embedder.encode_tokens(embedder.tokenize(["red"] * 4))
    assert raised.value.texts == (1, 2)


def test_hidden_states_that_are_not_finite_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = toy_embedder()
    states = [np.ones((3, 3), np.float32), np.full((3, 3), np.nan, np.float32)]
    monkeypatch.setattr(embedder._encoder, "hidden", lambda ids: states)
    with pytest.raises(NotFinite) as raised:
        embedder.token_embeddings(embedder.tokenize(["red"] * 2))
    assert raised.value.texts == (1,)
