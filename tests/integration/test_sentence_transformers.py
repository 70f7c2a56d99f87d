"""The same folder loaded by sentence-transformers and by the engine: the same numbers, or refused.

The folders are written by `save` of the installed sentence-transformers, so that these tests follow
what that library writes. Settings are varied alone, and in random combinations.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import engine
from engine.errors import CheckpointError
from tests.support.synthetic import write_checkpoint

pytestmark = pytest.mark.reference

WIDTH, POSITIONS = 40, 64
SIZES = {"hidden": WIDTH, "layers": 2, "heads": 4, "ffn": 56, "vocab": 242, "positions": POSITIONS}
TEXTS = [
    "",
    "red",
    "The red fox, and the blue one.",
    "Élan vital: DÉJÀ VU; Straße 中国 ñandú",
    "blue green " * 60,
    "red fox " * 20 + "the end of it",
]
# Both sides round each of some thousand operations to 24 bits; unit vectors of 40 numbers differ by
# 4e-7 at most in the golden tests. Vectors that are not of unit length are compared relatively.
BAR = 1e-6


@dataclass
class Folder:
    """The settings of a folder; `edit` changes files after saving."""

    pooling: str = "mean"
    after: tuple[str, ...] = ("normalize",)
    include_prompt: bool = True
    limit: int | None = POSITIONS
    prompts: dict[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    truncate_dim: int | None = None
    similarity: str | None = None
    lower: bool = False
    dtype: str = "float32"
    edit: Callable[[Path], None] = lambda folder: None


ACTIVATIONS = ("Tanh", "Identity", "ReLU", "GELU", "Sigmoid")


def module(name: str, width: int) -> Any:
    """A module that follows the pooling, by a short name such as "dense-Tanh-16"."""
    import torch
    from sentence_transformers.sentence_transformer import modules

    kind, *rest = name.split("-")
    if kind == "normalize":
        return modules.Normalize()
    if kind == "dropout":
        return modules.Dropout(0.3)
    if kind == "layernorm":
        made = modules.LayerNorm(width)
        torch.nn.init.normal_(made.norm.weight, 1, 0.3)
        torch.nn.init.normal_(made.norm.bias, 0, 0.3)
        return made
    activation = getattr(torch.nn, rest[0])()
    options = {"bias": "nobias" not in rest, "use_residual": "residual" in rest}
    return modules.Dense(width, int(rest[1]), activation_function=activation, **options)


def write(says: Folder, base: Path, to: Path) -> Path:
    """Saves the folder with sentence-transformers."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules

    torch.manual_seed(7)
    transformer = modules.Transformer(
        str(base), max_seq_length=says.limit, do_lower_case=says.lower
    )
    chain: list[Any] = [
        transformer,
        modules.Pooling(WIDTH, says.pooling, include_prompt=says.include_prompt),
    ]
    width = WIDTH
    for name in says.after:
        chain.append(module(name, width))
        width = getattr(chain[-1], "out_features", width)
    model = SentenceTransformer(
        modules=chain,
        prompts=says.prompts,
        default_prompt_name=says.default_prompt,
        similarity_fn_name=says.similarity,
        truncate_dim=says.truncate_dim,
        device="cpu",
    )
    if says.dtype != "float32":
        model.to(getattr(torch, says.dtype))
    model.save(str(to), create_model_card=False)
    says.edit(to)
    return to


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bare BERT as transformers' own `save_pretrained` writes it, with its tokenizer."""
    from transformers import AutoModel, AutoTokenizer

    drawn = write_checkpoint(tmp_path_factory.mktemp("drawn"), seed=11, **SIZES)
    folder = tmp_path_factory.mktemp("base")
    AutoModel.from_pretrained(drawn).save_pretrained(folder)
    AutoTokenizer.from_pretrained(drawn).save_pretrained(folder)
    return folder


def compare(folder: Path, precision: str = "reference", bar: float = BAR) -> None:
    """Compares every method that both sides have, for short and long texts."""
    import torch
    from sentence_transformers import SentenceTransformer

    theirs = SentenceTransformer(
        str(folder), device="cpu", model_kwargs={"dtype": torch.float32}, local_files_only=True
    )
    with engine.load(folder, precision=precision, threads=1) as ours:
        assert ours.dim == (theirs.get_embedding_dimension() or WIDTH)
        for name in ("encode", "encode_query", "encode_document"):
            expected = getattr(theirs, name)(TEXTS)
            found = getattr(ours, name)(TEXTS, on_truncate="ignore")
            hold(found, expected, bar)
        expected = theirs.encode(TEXTS, normalize_embeddings=True)
        hold(ours.encode(TEXTS, normalize=True, on_truncate="ignore"), expected, bar)
        scores = theirs.similarity(expected[:3], expected).numpy()
        # theirs computes euclidean distances from squares: 1e-3 for two equal vectors
        hold(ours.similarity(expected[:3], expected), scores, 2e-3)


def hold(found: Any, expected: Any, bar: float) -> None:
    assert found.shape == expected.shape
    scale = max(1.0, float(np.abs(expected).max()))
    assert np.abs(found - expected).max() / scale <= bar


SETTINGS: dict[str, Folder] = {
    "plain": Folder(),
    "cls": Folder(pooling="cls"),
    "no normalize": Folder(after=()),
    "dropout": Folder(after=("dropout", "normalize")),
    "layer norm": Folder(after=("layernorm",)),
    "narrowing": Folder(after=("dense-Tanh-16", "normalize")),
    "two dense": Folder(after=("dense-GELU-64", "dense-Identity-24-nobias", "normalize")),
    "residual": Folder(after=("dense-Tanh-40-residual",)),
    "residual of another width": Folder(after=("dense-ReLU-24-residual", "layernorm")),
    "normalize first": Folder(after=("normalize", "dense-Sigmoid-40")),
    "normalize twice": Folder(after=("normalize", "normalize")),
    "limit": Folder(limit=20),
    "limit from positions": Folder(limit=None),
    "query prompt": Folder(prompts={"query": "blue: "}),
    "both prompts": Folder(prompts={"query": "blue: ", "document": "green fox "}),
    "passage prompt": Folder(prompts={"query": "blue: ", "passage": "green fox "}),
    "default prompt": Folder(prompts={"query": "blue: ", "x": "green "}, default_prompt="x"),
    "empty default": Folder(prompts={"query": "blue: ", "x": ""}, default_prompt="x"),
    "empty query prompt": Folder(prompts={"query": "", "x": "green "}, default_prompt="x"),
    "prompt left out": Folder(
        prompts={"query": "blue: ", "x": "green "}, default_prompt="x", include_prompt=False
    ),
    "prompt left out of cls": Folder(
        pooling="cls", prompts={"query": "blue: the "}, include_prompt=False
    ),
    "prompt over the limit left out": Folder(
        prompts={"query": "blue green red fox " * 9}, include_prompt=False, limit=20
    ),
    "truncate_dim": Folder(truncate_dim=13),
    "truncate_dim not normalized": Folder(truncate_dim=13, after=()),
    "dot": Folder(similarity="dot", after=()),
    "euclidean": Folder(similarity="euclidean", after=()),
    "manhattan": Folder(similarity="manhattan", after=()),
    "lower": Folder(lower=True),
    "float16": Folder(dtype="float16"),
    "bfloat16": Folder(dtype="bfloat16", after=("dense-Tanh-16",)),
    "float64": Folder(dtype="float64"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_one_setting(name: str, base: Path, tmp_path: Path) -> None:
    compare(write(SETTINGS[name], base, tmp_path / "saved"))


def edit_json(name: str, **fields: Any) -> Callable[[Path], None]:
    """Sets fields of a JSON file; None removes one."""

    def edit(folder: Path) -> None:
        path = folder / name
        content = json.loads(path.read_text("utf-8")) if path.exists() else {}
        content.update(fields)
        content = {key: value for key, value in content.items() if value is not None}
        path.write_text(json.dumps(content), "utf-8")

    return edit


def legacy_pooling(**flags: bool) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        content = {"word_embedding_dimension": WIDTH, **flags}
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(content), "utf-8")

    return edit


def without(*names: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        for name in names:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return edit


def move_transformer(folder: Path) -> None:
    """The layout of the first versions: the BERT in a folder of its own."""
    (folder / "0_Transformer").mkdir()
    for path in list(folder.iterdir()):
        if path.is_file() and path.name not in (
            "modules.json",
            "config_sentence_transformers.json",
        ):
            path.rename(folder / "0_Transformer" / path.name)
    listed = json.loads((folder / "modules.json").read_text("utf-8"))
    listed[0]["path"] = "0_Transformer"
    for each in listed:
        each["type"] = "sentence_transformers.models." + each["type"].rpartition(".")[2]
    (folder / "modules.json").write_text(json.dumps(listed), "utf-8")


def other_pooling_path(folder: Path) -> None:
    """A stale 1_Pooling stays behind, and must not be read."""
    shutil.copytree(folder / "1_Pooling", folder / "pool")
    legacy_pooling(pooling_mode_cls_token=True)(folder)
    listed = json.loads((folder / "modules.json").read_text("utf-8"))
    listed[1]["path"] = "pool"
    (folder / "modules.json").write_text(json.dumps(listed), "utf-8")


EDITS: dict[str, Folder] = {
    "pooling flags: cls": Folder(edit=legacy_pooling(pooling_mode_cls_token=True)),
    "pooling flags: mean": Folder(
        edit=legacy_pooling(pooling_mode_cls_token=False, pooling_mode_mean_tokens=True)
    ),
    "pooling flags: none": Folder(
        edit=legacy_pooling(pooling_mode_cls_token=False, pooling_mode_mean_tokens=False)
    ),
    "pooling list": Folder(edit=edit_json("1_Pooling/config.json", pooling_mode=["cls"])),
    "no modules.json": Folder(
        pooling="cls", prompts={"query": "blue: "}, edit=without("modules.json")
    ),
    "no modules.json, a limit": Folder(limit=20, edit=without("modules.json")),
    "old layout": Folder(edit=move_transformer),
    "another pooling folder": Folder(edit=other_pooling_path),
    "gelu_python": Folder(edit=edit_json("config.json", hidden_act="gelu_python")),
    "max_seq_length": Folder(edit=edit_json("sentence_bert_config.json", max_seq_length=24)),
    "max_seq_length null": Folder(edit=edit_json("tokenizer_config.json", model_max_length=18)),
    "no tokenizer limit": Folder(
        edit=edit_json("tokenizer_config.json", model_max_length=int(1e30))
    ),
    "old settings file": Folder(
        edit=lambda folder: (
            (folder / "sentence_bert_config.json").unlink(),
            edit_json("sentence_roberta_config.json", max_seq_length=22)(folder),
        )[0]
    ),
    "prompt null": Folder(
        edit=edit_json("config_sentence_transformers.json", prompts={"query": None})
    ),
    "no settings": Folder(
        prompts={"query": "blue: "}, edit=without("config_sentence_transformers.json")
    ),
    "default activation": Folder(
        after=("dense-Tanh-16",), edit=edit_json("2_Dense/config.json", activation_function=None)
    ),
    "eps": Folder(edit=edit_json("config.json", layer_norm_eps=1e-3)),
}


@pytest.mark.parametrize("name", EDITS)
def test_one_edit(name: str, base: Path, tmp_path: Path) -> None:
    compare(write(EDITS[name], base, tmp_path / "saved"))


@pytest.mark.parametrize("precision", ["float32"])
def test_compiled_kernels_too(precision: str, base: Path, tmp_path: Path) -> None:
    says = Folder(after=("dense-Tanh-16", "normalize"), limit=20, prompts={"query": "blue: "})
    compare(write(says, base, tmp_path / "saved"), precision)


REFUSED: dict[str, tuple[Folder, str]] = {
    "max pooling": (Folder(pooling="max"), "mean or cls"),
    "weighted mean": (Folder(pooling="weightedmean"), "mean or cls"),
    "last token": (Folder(pooling="lasttoken"), "mean or cls"),
    "square root of the length": (Folder(pooling="mean_sqrt_len_tokens"), "mean or cls"),
    "two poolings": (
        Folder(edit=edit_json("1_Pooling/config.json", pooling_mode=["cls", "mean"])),
        "not both",
    ),
    "two flags": (
        Folder(edit=legacy_pooling(pooling_mode_cls_token=True, pooling_mode_max_tokens=True)),
        "mean or cls",
    ),
    "an unknown activation": (
        Folder(
            after=("dense-Tanh-16",),
            edit=edit_json("2_Dense/config.json", activation_function="torch.nn.SiLU"),
        ),
        "activation_function",
    ),
    "a dense of tokens": (
        Folder(
            after=("dense-Tanh-16",),
            edit=edit_json("2_Dense/config.json", module_input_name="token_embeddings"),
        ),
        "module_input_name",
    ),
    "tanh GELU": (Folder(edit=edit_json("config.json", hidden_act="gelu_new")), "hidden_act"),
    "relu": (Folder(edit=edit_json("config.json", hidden_act="relu")), "hidden_act"),
    "a decoder": (Folder(edit=edit_json("config.json", is_decoder=True)), "is_decoder"),
    "relative positions": (
        Folder(edit=edit_json("config.json", position_embedding_type="relative_key")),
        "position_embedding_type",
    ),
    "a limit over the positions": (
        Folder(edit=edit_json("sentence_bert_config.json", max_seq_length=65)),
        "max_seq_length is 65",
    ),
    "a limit for queries": (
        Folder(edit=edit_json("sentence_bert_config.json", query_length=8)),
        "query_length",
    ),
    "call options": (
        Folder(
            edit=edit_json(
                "sentence_bert_config.json", processing_kwargs={"text": {"max_length": 8}}
            )
        ),
        "processing_kwargs",
    ),
    "a cross encoder": (
        Folder(edit=edit_json("config_sentence_transformers.json", model_type="CrossEncoder")),
        "model_type",
    ),
    "an unknown similarity": (
        Folder(edit=edit_json("config_sentence_transformers.json", similarity_fn_name="maxsim")),
        "similarity_fn_name",
    ),
    "an unknown default prompt": (
        Folder(edit=edit_json("config_sentence_transformers.json", default_prompt_name="x")),
        "default_prompt_name",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_unsupported_settings_are_refused(name: str, base: Path, tmp_path: Path) -> None:
    says, message = REFUSED[name]
    folder = write(says, base, tmp_path / "saved")
    with pytest.raises(CheckpointError, match=message) as caught:
        engine.load(folder, precision="reference")
    assert str(folder) in str(caught.value)


PROMPTS = st.sampled_from(["", "blue: ", "the red fox says "])


@st.composite
def folders(draw: st.DrawFn) -> Folder:
    steps = ["normalize", "layernorm", "dropout"]
    steps += [f"dense-{name}-{width}" for name in ACTIVATIONS for width in (24, 40)]
    prompts = draw(
        st.dictionaries(st.sampled_from(["query", "document", "passage", "corpus", "x"]), PROMPTS)
    )
    return Folder(
        pooling=draw(st.sampled_from(["mean", "cls"])),
        after=tuple(draw(st.lists(st.sampled_from(steps), max_size=3))),
        include_prompt=draw(st.booleans()),
        limit=draw(st.sampled_from([None, 3, 8, 20, 63, 64])),
        prompts=prompts,
        default_prompt=draw(st.sampled_from([None, *prompts])),
        truncate_dim=draw(st.sampled_from([None, None, 1, 13, 400])),
        similarity=draw(st.sampled_from([None, "cosine", "dot", "euclidean", "manhattan"])),
        lower=draw(st.booleans()),
        dtype=draw(st.sampled_from(["float32", "float16", "bfloat16", "float64"])),
    )


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(says=folders())
def test_any_combination(says: Folder, base: Path, tmp_path: Path) -> None:
    for folder in fresh(tmp_path):
        compare(write(says, base, folder))


def fresh(parent: Path) -> Iterator[Path]:
    """An empty folder for one example, which is removed afterwards."""
    folder = parent / "saved"
    shutil.rmtree(folder, ignore_errors=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
