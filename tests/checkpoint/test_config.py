"""Settings of a folder: each is read as sentence-transformers reads it, or refused.

tests/integration/test_sentence_transformers.py compares the same with that library.
"""

import json
import re
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest

from engine.checkpoint.config import Config, read_config
from engine.checkpoint.module_list import Module
from engine.errors import CheckpointError
from tests.checkpoint.test_json_files import SIZES_REFUSED
from tests.support.folders import REMOVED, copy_tiny, edit_json, write_modules
from tests.support.synthetic import TINY, write_json

BERT, POOLING = "config.json", "1_Pooling/config.json"
SETTINGS, LIMIT = "config_sentence_transformers.json", "sentence_bert_config.json"
TOKENIZER = "tokenizer_config.json"
WIDTH = {"embedding_dimension": 40}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return copy_tiny(tmp_path)


def read(folder: Path, name: str, **changes: Any) -> Config:
    edit_json(folder / name, **changes)
    return read_config(folder)


def refused(folder: Path, name: str, **changes: Any) -> str:
    """The message, which names the file."""
    with pytest.raises(CheckpointError) as caught:
        read(folder, name, **changes)
    assert str(folder / name) in str(caught.value)
    return str(caught.value)


def hold_wrong(message: str, path: Path, key: str, value: Any, allowed: str) -> None:
    shown = "missing" if value is REMOVED else json.dumps(value)
    assert message.startswith(f"{path}: {key} is {shown}; it must be {allowed}. Correct the file")


def test_the_tiny_checkpoint() -> None:
    config = read_config(TINY)
    assert config == Config(
        hidden=40,
        layers=2,
        heads=5,
        feed_forward=37,
        vocabulary=242,
        positions=61,
        token_types=2,
        eps=1e-12,
        pooling="mean",
        max_tokens=59,
        include_prompt=True,
        do_lower_case=False,
        prompts={"query": "query: ", "document": "passage: "},
        default_prompt=None,
        truncate_dim=None,
        similarity="cosine",
        transformer=TINY,
        after_pooling=(Module("Normalize", TINY / "2_Normalize"),),
    )


def test_prepared_weights_are_named_after_what_the_bert_computes() -> None:
    """A setting that does not change what the BERT computes is not part of the repr."""
    shown = {field.name for field in fields(Config) if field.repr}
    assert shown == {
        "hidden", "layers", "heads", "feed_forward", "vocabulary", "positions", "token_types",
        "eps", "pooling", "max_tokens", "include_prompt", "do_lower_case",
    }  # fmt: skip


def test_the_defaults_of_a_config() -> None:
    sizes = dict.fromkeys(["hidden", "layers", "heads", "feed_forward", "vocabulary"], 1)
    others = {"positions": 3, "token_types": 1, "eps": 0.1, "pooling": "cls", "max_tokens": 3}
    config = Config(**sizes, **others)  # type: ignore[arg-type]
    assert config.include_prompt and not config.do_lower_case
    assert (config.prompts, config.default_prompt, config.truncate_dim) == ({}, None, None)
    assert (config.similarity, config.transformer, config.after_pooling) == ("cosine", Path(), ())


# config.json

SIZES = {
    "hidden_size": "hidden",
    "num_hidden_layers": "layers",
    "num_attention_heads": "heads",
    "intermediate_size": "feed_forward",
    "vocab_size": "vocabulary",
    "max_position_embeddings": "positions",
    "type_vocab_size": "token_types",
}


@pytest.mark.parametrize("key", SIZES)
def test_each_size_is_read_from_its_field(key: str, folder: Path) -> None:
    value = 20 if key in ("num_attention_heads", "hidden_size") else 77
    assert getattr(read(folder, BERT, **{key: value}), SIZES[key]) == value


@pytest.mark.parametrize("key", SIZES)
@pytest.mark.parametrize("value", [*SIZES_REFUSED, None, REMOVED])
def test_each_size_is_a_positive_integer(key: str, value: Any, folder: Path) -> None:
    path, allowed = folder / BERT, "an integer of at least 1"
    edit_json(path, **{key: value})
    with pytest.raises(CheckpointError) as caught:
        read_config(folder)
    hold_wrong(str(caught.value), path, key, value, allowed)


def test_a_huge_size_is_an_integer_like_others(folder: Path) -> None:
    """The tensors then have another shape; nothing is allocated from a size in a file."""
    assert read(folder, BERT, vocab_size=10**40).vocabulary == 10**40


@pytest.mark.parametrize("heads", [3, 6, 41, 80])
def test_heads_must_divide_the_width(heads: int, folder: Path) -> None:
    message = refused(folder, BERT, num_attention_heads=heads)
    allowed = "a divisor of hidden_size, 40"
    hold_wrong(message, folder / BERT, "num_attention_heads", heads, allowed)


@pytest.mark.parametrize("heads", [1, 2, 8, 40])
def test_heads_that_divide_the_width(heads: int, folder: Path) -> None:
    assert read(folder, BERT, num_attention_heads=heads).heads == heads


@pytest.mark.parametrize("eps", [0, 1, 0.0, 1.0, -1e-12, "1e-12", True, float("nan"), 10**400])
def test_eps_lies_between_0_and_1(eps: Any, folder: Path) -> None:
    message = refused(folder, BERT, layer_norm_eps=eps)
    assert "layer_norm_eps is" in message and "it must be a number between 0 and 1" in message


@pytest.mark.parametrize(("eps", "read_as"), [(1e-5, 1e-5), (None, 1e-12), (REMOVED, 1e-12)])
def test_eps(eps: Any, read_as: float, folder: Path) -> None:
    assert read(folder, BERT, layer_norm_eps=eps).eps == read_as


OTHER_MODELS = {
    "model_type": (["roberta", "BERT", None, REMOVED, 1], '"bert"'),
    "hidden_act": (["relu", "gelu_new", "gelu_fast", "silu", 1], 'one of "gelu", "gelu_python"'),
    "position_embedding_type": (["relative_key", "relative_key_query", "rotary"], '"absolute"'),
    "is_decoder": ([True, 0, "false"], "false"),
    "pruned_heads": ([{"1": [0]}, True], "absent, because the engine does not support it"),
    "quantization_config": ([{"bits": 8}, 1], "absent, because the engine does not support it"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [(key, v, allowed) for key, (values, allowed) in OTHER_MODELS.items() for v in values],
)
def test_unsupported_architectures_are_refused(
    key: str, value: Any, allowed: str, folder: Path
) -> None:
    message = refused(folder, BERT, **{key: value})
    hold_wrong(message, folder / BERT, key, value, allowed)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hidden_act", "gelu"),
        ("hidden_act", "gelu_python"),
        ("hidden_act", None),
        ("hidden_act", REMOVED),
        ("position_embedding_type", REMOVED),
        ("position_embedding_type", None),
        ("is_decoder", False),
        ("pruned_heads", {}),
        ("quantization_config", None),
        ("attention_probs_dropout_prob", 0.1),
        ("architectures", ["BertForMaskedLM"]),
    ],
)
def test_equivalent_settings_are_accepted(key: str, value: Any, folder: Path) -> None:
    before = read_config(folder)
    assert read(folder, BERT, **{key: value}) == before


def test_an_adapter_is_refused(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(CheckpointError) as caught:
        read_config(folder)
    assert str(caught.value) == (
        f"{folder} has an adapter_config.json, and adapters (PEFT) are unsupported. Merge the "
        "adapter into the weights and save the model again."
    )


def test_a_folder_without_a_configuration(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        read_config(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} has no config.json. A checkpoint is a folder with config.json, "
        "model.safetensors and tokenizer.json; give the path of that folder."
    )


@pytest.mark.parametrize("name", [BERT, POOLING, SETTINGS, LIMIT, TOKENIZER])
@pytest.mark.parametrize("content", [b"[]", b"null", b"\xff", b"[" * 100_000, b'{"a":'])
def test_each_file_must_be_an_object(name: str, content: bytes, folder: Path) -> None:
    if name == TOKENIZER:
        (folder / LIMIT).unlink()
    (folder / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=re.escape(str(folder / name))):
        read_config(folder)


# without modules.json


def test_a_bare_bert_is_mean_pooling_and_nothing_else(folder: Path) -> None:
    """As sentence-transformers does: the files of its modules are not even opened."""
    (folder / "modules.json").unlink()
    write_json(folder / POOLING, {"pooling_mode": "cls"})
    write_json(folder / SETTINGS, {"prompts": {"query": "x"}, "truncate_dim": 7})
    (folder / LIMIT).write_text("not JSON")
    config = read_config(folder)
    assert (config.pooling, config.prompts, config.truncate_dim) == ("mean", {}, None)
    assert (config.max_tokens, config.after_pooling, config.transformer) == (61, (), folder)
    assert config.include_prompt and config.hidden == 40


def test_a_bare_bert_has_its_tokenizers_limit(folder: Path) -> None:
    (folder / "modules.json").unlink()
    assert read(folder, TOKENIZER, model_max_length=17).max_tokens == 17


# pooling


@pytest.mark.parametrize("mode", ["mean", "cls"])
@pytest.mark.parametrize("listed", [True, False])
def test_a_pooling_by_its_name(mode: str, listed: bool, folder: Path) -> None:
    write_json(folder / POOLING, {**WIDTH, "pooling_mode": [mode] if listed else mode})
    assert read_config(folder).pooling == mode


def test_a_name_overrides_flags(folder: Path) -> None:
    flags = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
    write_json(folder / POOLING, {**WIDTH, **flags, "pooling_mode": "cls"})
    assert read_config(folder).pooling == "cls"


@pytest.mark.parametrize("width", ["embedding_dimension", "word_embedding_dimension"])
def test_poolings_by_flags(width: str, folder: Path) -> None:
    for flags, pooling in (
        ({"pooling_mode_cls_token": True}, "cls"),
        ({"pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": False}, "mean"),
        ({"pooling_mode": None, "pooling_mode_cls_token": True}, "cls"),
        ({}, "mean"),
    ):
        write_json(folder / POOLING, {width: 40, **flags})
        assert read_config(folder).pooling == pooling


FLAGS = {
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
MODES = [(mode, [mode]) for mode in (*FLAGS.values(), "x", "")]
MODES += [
    (modes, modes) for modes in (["mean", "cls"], ["cls", "mean"], [], ["mean", "mean"], 1, {})
]


def hold_pooling(folder: Path, content: dict[str, Any], shown: Any) -> None:
    write_json(folder / POOLING, {**WIDTH, **content})
    with pytest.raises(CheckpointError) as caught:
        read_config(folder)
    assert str(caught.value) == (
        f"{folder / POOLING}: the pooling is {json.dumps(shown)}; the engine supports mean or "
        "cls, not both."
    )


@pytest.mark.parametrize(("mode", "shown"), MODES)
def test_another_pooling_is_refused(mode: Any, shown: Any, folder: Path) -> None:
    hold_pooling(folder, {"pooling_mode": mode}, shown)


@pytest.mark.parametrize("flag", FLAGS)
def test_another_pooling_by_its_flag_is_refused(flag: str, folder: Path) -> None:
    hold_pooling(folder, {flag: True}, [FLAGS[flag]])
    edit_json(folder / POOLING, **{flag: False})
    assert read_config(folder).pooling == "mean"


def test_two_flags_are_refused(folder: Path) -> None:
    both = {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}
    hold_pooling(folder, both, ["cls", "mean"])


def test_fields_of_the_pooling(folder: Path) -> None:
    message = refused(folder, POOLING, other=True)
    assert f"{folder / POOLING}: other is true; it must be absent; the known fields are " in message
    write_json(folder / POOLING, {"pooling_mode": "mean"})
    message = refused(folder, POOLING)
    path, allowed = folder / POOLING, "the width of the model"
    hold_wrong(message, path, "embedding_dimension", REMOVED, allowed)
    message = refused(folder, POOLING, **WIDTH, pooling_mode=REMOVED, pooling_mode_cls_token=1)
    hold_wrong(message, path, "pooling_mode_cls_token", 1, "true or false")


def test_a_pooling_without_its_file_is_refused(folder: Path) -> None:
    (folder / POOLING).unlink()
    with pytest.raises(CheckpointError) as caught:
        read_config(folder)
    path, allowed = folder / POOLING, "the width of the model"
    hold_wrong(str(caught.value), path, "embedding_dimension", REMOVED, allowed)


@pytest.mark.parametrize(("value", "read_as"), [(True, True), (False, False), (None, True)])
def test_include_prompt(value: Any, read_as: bool, folder: Path) -> None:
    assert read(folder, POOLING, include_prompt=value).include_prompt is read_as


def test_include_prompt_is_true_or_false(folder: Path) -> None:
    message = refused(folder, POOLING, include_prompt=0)
    hold_wrong(message, folder / POOLING, "include_prompt", 0, "true or false")


# the token limit


@pytest.mark.parametrize(
    ("max_seq_length", "tokenizer", "limit"),
    [
        (3, {}, 3),
        (20, {"model_max_length": 10}, 20),  # max_seq_length takes precedence
        (61, {}, 61),
        (None, {}, 61),
        (REMOVED, {}, 61),
        (None, {"model_max_length": 18}, 18),
        (None, {"model_max_length": 3}, 3),
        (None, {"model_max_length": 61}, 61),
        (None, {"model_max_length": 62}, 61),
        (None, {"model_max_length": int(1e30)}, 61),
        (None, {"model_max_length": 1e30}, 61),
        (None, {"model_max_length": 1e6}, 61),
        (None, {"model_max_length": float("inf")}, 61),
        (None, {"model_max_length": None, "max_len": 9}, 61),
        (None, {"max_len": 18}, 18),
        (None, {"max_len": 18, "model_max_length": 19}, 19),
    ],
)
def test_the_token_limit(max_seq_length: Any, tokenizer: Any, limit: int, folder: Path) -> None:
    edit_json(folder / TOKENIZER, **tokenizer)
    assert read(folder, LIMIT, max_seq_length=max_seq_length).max_tokens == limit


def test_the_limit_without_either_file(folder: Path) -> None:
    (folder / LIMIT).unlink()
    (folder / TOKENIZER).unlink()
    assert read_config(folder).max_tokens == 61


@pytest.mark.parametrize("positions", [301, 10**6, 10**18])
def test_without_a_limit_all_positions_are_used(positions: int, folder: Path) -> None:
    (folder / LIMIT).unlink()
    assert read(folder, BERT, max_position_embeddings=positions).max_tokens == positions
    assert read(folder, TOKENIZER, model_max_length=1e30).max_tokens == positions


@pytest.mark.parametrize("value", [62, 512, 10**30])
def test_a_limit_over_the_positions_is_refused(value: int, folder: Path) -> None:
    message, allowed = (
        refused(folder, LIMIT, max_seq_length=value),
        "at most max_position_embeddings, 61",
    )
    hold_wrong(message, folder / LIMIT, "max_seq_length", value, allowed)


@pytest.mark.parametrize("value", [0, 1, 2, -1, True, "59", 59.0])
def test_a_limit_is_an_integer_of_at_least_3(value: Any, folder: Path) -> None:
    message = refused(folder, LIMIT, max_seq_length=value)
    allowed = "an integer of at least 3"
    hold_wrong(message, folder / LIMIT, "max_seq_length", value, allowed)


@pytest.mark.parametrize("value", [0, "512", True, 512.0, 999_999.0, float("nan"), -1e30])
def test_a_tokenizers_limit_is_an_integer(value: Any, folder: Path) -> None:
    (folder / LIMIT).unlink()
    message = refused(folder, TOKENIZER, model_max_length=value)
    assert "model_max_length is" in message and "it must be an integer of at least 1" in message


@pytest.mark.parametrize(
    ("name", "key"), [(TOKENIZER, "model_max_length"), (BERT, "max_position_embeddings")]
)
def test_a_limit_without_room_for_a_text_is_refused(name: str, key: str, folder: Path) -> None:
    (folder / LIMIT).unlink()
    edit_json(folder / name, **{key: 2})
    with pytest.raises(CheckpointError) as caught:
        read_config(folder)
    assert str(caught.value) == (
        f"{folder}: the token limit is 2; a text needs at least 3 tokens, two of them special. "
        "Correct max_seq_length, model_max_length or max_position_embeddings."
    )


# sentence_bert_config.json


@pytest.mark.parametrize(
    "kind", ["roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"]
)
def test_old_names_of_the_settings(kind: str, folder: Path) -> None:
    (folder / LIMIT).rename(folder / f"sentence_{kind}_config.json")
    assert read_config(folder).max_tokens == 59


def test_the_first_settings_file_that_is_not_empty_is_read(folder: Path) -> None:
    write_json(folder / "sentence_roberta_config.json", {"max_seq_length": 20})
    assert read_config(folder).max_tokens == 59
    write_json(folder / LIMIT, {})
    assert read_config(folder).max_tokens == 20


@pytest.mark.parametrize(("value", "read_as"), [(True, True), (False, False), (None, False)])
def test_do_lower_case(value: Any, read_as: bool, folder: Path) -> None:
    assert read(folder, LIMIT, do_lower_case=value).do_lower_case is read_as


TEXT = {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}


def test_default_values_are_accepted(folder: Path) -> None:
    before = read_config(folder)
    after = read(
        folder,
        LIMIT,
        transformer_task="feature-extraction",
        modality_config=TEXT,
        module_output_name="token_embeddings",
        unpad_inputs=True,
        processing_kwargs={},
        query_length=None,
        model_args={},
    )
    assert after == before


UNSUPPORTED = [
    "processing_kwargs", "query_length", "document_length", "query_expansion",
    "tokenizer_name_or_path", "model_args", "tokenizer_args", "config_args", "model_kwargs",
    "processor_kwargs", "config_kwargs",
]  # fmt: skip


@pytest.mark.parametrize("key", UNSUPPORTED)
def test_unsupported_settings_are_refused(key: str, folder: Path) -> None:
    message = refused(folder, LIMIT, **{key: {"x": 1}})
    hold_wrong(
        message, folder / LIMIT, key, {"x": 1}, "absent, because the engine does not support it"
    )


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("transformer_task", "fill-mask", '"feature-extraction"'),
        ("module_output_name", "sentence_embedding", '"token_embeddings"'),
        ("modality_config", {"image": TEXT["text"]}, json.dumps(TEXT)),
        ("do_lower_case", 1, "true or false"),
        ("pooling", "max", "absent; the known fields are "),
    ],
)
def test_other_settings_are_refused(key: str, value: Any, allowed: str, folder: Path) -> None:
    message = refused(folder, LIMIT, **{key: value})
    assert f"{folder / LIMIT}: {key} is {json.dumps(value)}; it must be {allowed}" in message


# prompts and the rest of config_sentence_transformers.json


def test_prompts(folder: Path) -> None:
    prompts = {"query": "", "x": "a ", "document": None, "passage": "Ä"}
    read_as = {"query": "", "x": "a ", "document": "", "passage": "Ä"}
    assert read(folder, SETTINGS, prompts=prompts).prompts == read_as


@pytest.mark.parametrize("prompts", [["a"], "a", {"query": 1}, {"query": ["a"]}, {"query": False}])
def test_prompts_are_strings(prompts: Any, folder: Path) -> None:
    assert "prompts is" in refused(folder, SETTINGS, prompts=prompts)


@pytest.mark.parametrize("name", ["x", "query", "document", None])
def test_a_default_prompt(name: str | None, folder: Path) -> None:
    """sentence-transformers has prompts "query" and "document", empty unless the folder says."""
    config = read(folder, SETTINGS, prompts={"x": "a "}, default_prompt_name=name)
    assert config.default_prompt == name


@pytest.mark.parametrize("name", ["y", "", "passage"])
def test_a_default_prompt_must_be_there(name: str, folder: Path) -> None:
    message = refused(folder, SETTINGS, default_prompt_name=name)
    allowed = "the name of one of the prompts"
    hold_wrong(message, folder / SETTINGS, "default_prompt_name", name, allowed)


def test_a_default_prompt_is_a_string(folder: Path) -> None:
    message = refused(folder, SETTINGS, default_prompt_name=1)
    hold_wrong(message, folder / SETTINGS, "default_prompt_name", 1, "a string")


@pytest.mark.parametrize(("value", "read_as"), [(1, 1), (13, 13), (400, 400), (None, None)])
def test_truncate_dim(value: Any, read_as: int | None, folder: Path) -> None:
    assert read(folder, SETTINGS, truncate_dim=value).truncate_dim == read_as


@pytest.mark.parametrize("value", [0, -1, 13.0, "13", True])
def test_truncate_dim_is_a_positive_integer(value: Any, folder: Path) -> None:
    message, allowed = refused(folder, SETTINGS, truncate_dim=value), "an integer of at least 1"
    hold_wrong(message, folder / SETTINGS, "truncate_dim", value, allowed)


@pytest.mark.parametrize("name", ["cosine", "dot", "euclidean", "manhattan"])
def test_similarity(name: str, folder: Path) -> None:
    assert read(folder, SETTINGS, similarity_fn_name=name).similarity == name


@pytest.mark.parametrize("name", ["maxsim", "Cosine", 1])
def test_another_similarity_is_refused(name: Any, folder: Path) -> None:
    message = refused(folder, SETTINGS, similarity_fn_name=name)
    allowed = 'one of "cosine", "dot", "euclidean", "manhattan"'
    hold_wrong(message, folder / SETTINGS, "similarity_fn_name", name, allowed)


@pytest.mark.parametrize("kind", ["SparseEncoder", "CrossEncoder"])
def test_another_kind_of_model_is_refused(kind: str, folder: Path) -> None:
    message = refused(folder, SETTINGS, model_type=kind)
    hold_wrong(message, folder / SETTINGS, "model_type", kind, '"SentenceTransformer"')


def test_without_settings_nothing_is_set(folder: Path) -> None:
    (folder / SETTINGS).unlink()
    config = read_config(folder)
    assert (config.prompts, config.default_prompt, config.truncate_dim) == ({}, None, None)
    assert config.similarity == "cosine"


# folders that modules.json names


def test_each_module_is_read_from_its_own_folder(folder: Path) -> None:
    """A stale 1_Pooling, and settings in the wrong folder, are ignored."""
    bert = folder / "0_Transformer"
    bert.mkdir()
    for name in (BERT, LIMIT, TOKENIZER):
        (folder / name).rename(bert / name)
    write_json(folder / BERT, {"model_type": "other"})
    write_json(folder / LIMIT, {"max_seq_length": 4})
    write_json(folder / "pool" / "config.json", {**WIDTH, "pooling_mode": "cls"})
    edit_json(bert / LIMIT, max_seq_length=21)
    kind = "sentence_transformers.models."
    paths = {"0_Transformer": "Transformer", "pool": "Pooling", "d": "Dense", "n": "LayerNorm"}
    write_json(folder / "modules.json", [{"path": p, "type": kind + k} for p, k in paths.items()])
    config = read_config(folder)
    assert (config.transformer, config.max_tokens, config.pooling) == (bert, 21, "cls")
    assert config.prompts == {"query": "query: ", "document": "passage: "}
    after = (Module("Dense", folder / "d"), Module("LayerNorm", folder / "n"))
    assert config.after_pooling == after


def test_modules_after_the_pooling(folder: Path) -> None:
    write_modules(folder, ["Dense", "Normalize"])
    assert [module.kind for module in read_config(folder).after_pooling] == ["Dense", "Normalize"]
    write_modules(folder, [])
    assert read_config(folder).after_pooling == ()


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        read_config(TINY).hidden = 8  # type: ignore[misc]
