"""Damaged and nonsensical folders: an EngineError, or an embedder whose vectors are finite.

Any other exception fails, and so does a folder that takes more than 2 s or 500 MB. A crash ends the
test run. BGE_FUZZ_EXAMPLES sets how many folders each of the four tests makes: 150 by default,
5000 for about ten minutes.
"""

import json
import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, target
from hypothesis import strategies as st

import engine
from tests.support.folders import copy_tiny, edit_json, write_modules, write_tensors

EXAMPLES = int(os.environ.get("BGE_FUZZ_EXAMPLES", "150"))
SECONDS, BYTES = 2.0, 500_000_000
TEXTS = ["red dog", "", "small orange " * 40]
WEIGHTS = "model.safetensors"
PEAK = Path("/proc/self/clear_refs")

fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint with every kind of module, an old field or two, and prompts."""
    folder = copy_tiny(tmp_path_factory.mktemp("fuzz"))
    rng, kinds = np.random.default_rng(1), ["Dense", "LayerNorm", "Dense", "Normalize"]
    write_modules(folder, kinds)
    edit_json(folder / "1_Pooling" / "config.json", include_prompt=False, pooling_mode="mean")
    edit_json(folder / "tokenizer_config.json", model_max_length=50)
    about = {"default_prompt_name": "query", "truncate_dim": 9, "similarity_fn_name": "dot"}
    edit_json(folder / "config_sentence_transformers.json", **about)
    for name, inputs, outputs in (("2_Dense", 40, 12), ("4_Dense", 12, 12)):
        shape = {"in_features": inputs, "out_features": outputs, "use_residual": True}
        edit_json(folder / name / "config.json", **shape, bias=inputs == outputs)
        weight = rng.standard_normal((outputs, inputs)).astype(np.float32)
        others = {"linear.bias": weight[0]} if inputs == outputs else {"residual.weight": weight}
        write_tensors(folder / name / WEIGHTS, {"linear.weight": weight, **others})
    norm = {"norm.weight": np.ones(12, np.float32), "norm.bias": np.zeros(12, np.float32)}
    write_tensors(folder / "3_LayerNorm" / WEIGHTS, norm)
    edit_json(folder / "3_LayerNorm" / "config.json", dimension=12)
    return folder


JSON_FILES = [
    "config.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "tokenizer_config.json",
    "1_Pooling/config.json",
    "2_Dense/config.json",
    "3_LayerNorm/config.json",
    "4_Dense/config.json",
]
TENSOR_FILES = [WEIGHTS, f"2_Dense/{WEIGHTS}", f"3_LayerNorm/{WEIGHTS}", f"4_Dense/{WEIGHTS}"]


def hold(folder: Path) -> None:
    """Asserts what this file promises, for one folder."""
    before, began = memory(), time.process_time()
    try:
        use(folder)
        reached = 3
    except engine.EngineError as error:
        assert str(folder) in str(error)
        unread = ("cannot be read as JSON", "nested too deeply", "is damaged or truncated")
        reached = 0 if any(one in str(error) for one in unread) else 1 + ("tensor" in str(error))
    target(float(reached), label="steps of loading")
    assert time.process_time() - began < SECONDS
    assert peak_memory() - before < BYTES


def use(folder: Path) -> None:
    with warnings.catch_warnings(), engine.load(folder, precision="reference", threads=1) as one:
        warnings.simplefilter("ignore", engine.TruncationWarning)
        for encode in (one.encode, one.encode_query, one.encode_document):
            vectors = encode(TEXTS)
            assert vectors.shape == (3, one.dim) and vectors.dtype == np.float32
            assert np.isfinite(vectors).all()
            assert one.similarity(vectors, vectors[:1]).shape == (3, 1)


def memory() -> int:
    """Resident memory in bytes; resets the peak of `peak_memory`."""
    if PEAK.exists():
        PEAK.write_text("5", "ascii")
    return status("VmRSS:")


def peak_memory() -> int:
    return status("VmHWM:")


def status(field: str) -> int:
    """A memory counter of this process in bytes, from Linux; 0 on other systems."""
    if not PEAK.exists():
        return 0
    lines = PEAK.with_name("status").read_text("ascii").splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) * 1024


def hold_content(folder: Path, name: str, content: bytes) -> None:
    """Asserts the promise while one file of the folder has this content."""
    path = folder / name
    whole = path.read_bytes()
    path.write_bytes(content)
    try:
        hold(folder)
    finally:
        path.write_bytes(whole)


# bytes

Edit = tuple[str, float, int, bytes]

EDITS = st.tuples(
    st.sampled_from(["flip", "set", "insert", "delete", "repeat", "cut"]),
    st.floats(0, 1),
    st.integers(0, 40),
    st.one_of(
        st.binary(min_size=1, max_size=8),
        st.sampled_from(
            [b'"', b"{", b"}", b"[", b"]", b",", b":", b"0", b"9" * 30, b"-", b"1e999"]
        ),
        st.sampled_from(
            [b"null", b"true", b"NaN", b"Infinity", b"\\ud800", b"\xff", b"[" * 100_000]
        ),
    ),
)


def edited(content: bytes, edits: list[Edit], end: int) -> bytes:
    """The content after each edit; places are in its first `end` bytes."""
    for kind, where, length, new in edits:
        at = int(where * min(end, len(content)))
        left, rest = content[:at], content[at:]
        content = (
            left
            + {
                "flip": bytes(byte ^ 1 << length % 8 for byte in rest[:1]) + rest[1:],
                "set": new + rest[len(new) :],
                "insert": new + rest,
                "delete": rest[length:],
                "repeat": rest[:length] + rest,
                "cut": b"",
            }[kind]
        )
    return content


@fuzz
@given(st.sampled_from(JSON_FILES), st.lists(EDITS, min_size=1, max_size=4))
def test_bytes_of_settings(folder: Path, name: str, edits: list[Edit]) -> None:
    whole = (folder / name).read_bytes()
    hold_content(folder, name, edited(whole, edits, len(whole)))


@fuzz
@given(st.sampled_from(TENSOR_FILES), st.lists(EDITS, min_size=1, max_size=4))
def test_bytes_of_headers(folder: Path, name: str, edits: list[Edit]) -> None:
    whole = (folder / name).read_bytes()
    hold_content(folder, name, edited(whole, edits, 8 + int.from_bytes(whole[:8], "little")))


# values

DEEP = "replaced by lists, 100,000 deep"
KEYS = [
    "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size",
    "max_position_embeddings", "type_vocab_size", "layer_norm_eps", "model_type", "hidden_act",
    "position_embedding_type", "is_decoder", "pruned_heads", "quantization_config", "path", "type",
    "max_seq_length", "do_lower_case", "transformer_task", "modality_config", "processing_kwargs",
    "prompts", "default_prompt_name", "truncate_dim", "similarity_fn_name", "model_max_length",
    "max_len", "pooling_mode", "pooling_mode_cls_token", "pooling_mode_max_tokens",
    "include_prompt", "embedding_dimension", "in_features", "out_features", "bias", "use_residual",
    "activation_function", "init_weight", "module_input_name", "dimension", "__metadata__", "dtype",
    "shape", "data_offsets", "linear.weight", "linear.bias", "norm.bias",
]  # fmt: skip
LEAVES = st.one_of(
    st.sampled_from(
        [None, True, False, 0, 1, -1, 2, 3, 5, 12, 40, 61, 2**31, 2**63, 2**64, 10**30]
    ),
    st.sampled_from([0.0, 1.0, 0.5, 1e-12, 1e30, -1.5, float("nan"), float("inf")]),
    st.sampled_from(["", "a", "mean", "cls", "bert", "gelu", "cosine", "query", "..", "/", "\0"]),
    st.sampled_from(["torch.nn.GELU", "torch.nn.modules.activation.Sigmoid", "F16", "BF16", "I32"]),
    st.sampled_from(["sentence_transformers.models.Normalize", "\ud800", "x" * 5000, DEEP]),
    st.integers(-5, 300),
    st.text(max_size=5),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)
    ),
    max_leaves=4,
)
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["set", "set", "remove", "add", "copy"]),
        st.integers(0, 10_000),
        st.integers(0, 10_000),
        st.sampled_from(KEYS),
        VALUES,
    ),
    min_size=1,
    max_size=3,
)


def places(content: Any) -> Iterator[tuple[Any, Any]]:
    """Each (container, key) of a JSON value."""
    pairs = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in list(pairs):
        yield content, key
        if isinstance(value, dict | list):
            yield from places(value)


def changed(content: Any, changes: list[Any]) -> Any:
    """The value after each change, of a place by its number."""
    for kind, number, other, key, value in changes:
        there = list(places(content))
        if not there:
            return value
        container, place = there[number % len(there)]
        if kind == "set":
            container[place] = value
        elif kind == "remove":
            del container[place]
        elif kind == "add" and isinstance(container, dict):
            container[key] = value
        elif kind == "copy":
            source, name = there[other % len(there)]
            container[place] = json.loads(json.dumps(source[name]))
    return content


def dumped(content: Any) -> bytes:
    return json.dumps(content).replace(f'"{DEEP}"', "[" * 100_000 + "]" * 100_000).encode()


@fuzz
@given(st.sampled_from(JSON_FILES), CHANGES)
def test_values_of_settings(folder: Path, name: str, changes: list[Any]) -> None:
    content = json.loads((folder / name).read_bytes())
    hold_content(folder, name, dumped(changed(content, changes)))


@fuzz
@given(st.sampled_from(TENSOR_FILES), CHANGES)
def test_values_of_headers(folder: Path, name: str, changes: list[Any]) -> None:
    whole = (folder / name).read_bytes()
    end = 8 + int.from_bytes(whole[:8], "little")
    header = dumped(changed(json.loads(whole[8:end]), changes))
    hold_content(folder, name, len(header).to_bytes(8, "little") + header + whole[end:])


def test_the_folder_itself_is_right(folder: Path) -> None:
    """Last, so that it also shows that each example has restored its file."""
    use(folder)
