"""From a folder to an embedder; copies of it, here and in other processes."""

import copy
import multiprocessing
import pickle
import re
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import engine
from engine import loading
from engine.catalog import registry
from engine.catalog.models import Entry
from engine.errors import CheckpointError, EngineError, InputError, ModelNotFound
from engine.fast.codegen import target
from engine.fast.runtime import fast_encoder
from tests.support import bars
from tests.support.folders import copy_tiny, edit_json, write_modules, write_tensors
from tests.support.golden import golden
from tests.support.synthetic import TINY

TEXTS = ["red dog", "", "The small feline."]
SAMPLE = (3, 4, 8, 10)  # texts of the golden file that are not truncated


def load(folder: Path = TINY, **options: Any) -> engine.Embedder:
    return engine.load(folder, **{"precision": "reference", "threads": 1, **options})


class Asked:
    """Replaces the compiled encoder, and stores the arguments that it was made with."""

    target = "stand-in"

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments


def hold_golden(embedder: engine.Embedder) -> None:
    texts = [golden("tiny").texts[i] for i in SAMPLE]
    expected = golden("tiny").vectors["mean"][list(SAMPLE)]
    bars.FLOAT_UNIT["tiny"].hold(embedder.encode(texts), expected)


def test_a_folder_is_loaded() -> None:
    embedder = load()
    assert (embedder.name, embedder.dim, embedder.max_tokens) == ("tiny", 40, 59)
    assert (embedder.precision, embedder.threads, embedder.target) == ("reference", 1, "numpy")
    assert embedder.prompts == {"query": "query: ", "document": "passage: "}
    hold_golden(embedder)


def test_a_path_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(TINY.parent)
    assert engine.load("./tiny", precision="reference").folder == TINY
    assert engine.load(str(TINY), precision="reference").folder == TINY


@pytest.mark.parametrize("precision", ["float32", "int16", "int8"])
def test_the_fast_path(precision: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_encoder, "FastEncoder", Asked)
    embedder = load(precision=precision, threads=3)
    assert (embedder.precision, embedder.target) == (precision, "stand-in")
    assert isinstance(embedder._encoder, Asked)
    assert embedder._encoder.arguments == (TINY, embedder.config, precision, 3)


def test_float32_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_encoder, "FastEncoder", Asked)
    assert engine.load(TINY).precision == "float32"


@pytest.mark.parametrize("precision", ["float16", "Float32", "", None, 32, ["float32"]])
def test_another_precision_is_refused(precision: Any) -> None:
    """Before the model is searched."""
    with pytest.raises(InputError) as caught:
        engine.load("no such model", precision=precision)
    assert str(caught.value) == (
        f"precision is {precision!r}; it must be one of float32, int16, int8, reference."
    )


@pytest.mark.parametrize("threads", [0, -1, True, False, 1.5, "2", 2.0, [2]])
def test_wrong_threads_are_refused(threads: Any) -> None:
    with pytest.raises(InputError) as caught:
        engine.load("no such model", threads=threads)
    assert str(caught.value) == f"threads is {threads!r}; it must be a positive integer."


@pytest.mark.parametrize("threads", [2, np.int64(2), np.uint8(2)])
def test_threads(threads: Any) -> None:
    embedder = load(threads=threads)
    assert embedder.threads == 2 and type(embedder.threads) is int
    hold_golden(embedder)


def test_threads_are_the_usable_cores_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "usable_cores", lambda: 7)
    assert engine.load(TINY, precision="reference").threads == 7
    assert engine.load(TINY, precision="reference", threads=None).threads == 7
    assert load(threads=1).threads == 1


# a CPU without kernels


def test_without_kernels_float32_is_computed_with_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "able_targets", lambda: [])
    with pytest.warns(UserWarning) as caught:
        embedder = load(precision="float32")
    assert [(str(one.message), one.filename) for one in caught] == [
        ("no compiled kernels for this kind of CPU; computing with numpy", __file__)
    ]
    assert (embedder.precision, embedder.target) == ("float32", "numpy")
    hold_golden(embedder)


@pytest.mark.parametrize("precision", ["int16", "int8"])
def test_without_kernels_integers_are_refused(
    precision: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target, "able_targets", lambda: [])
    with pytest.raises(EngineError, match=r'no kernels.*precision="reference"'):
        load(precision=precision)


def test_the_reference_needs_no_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "able_targets", lambda: [])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(precision="reference")


# where the folder comes from


def test_the_arguments_of_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    entry = Entry("known", "org/known", "mean", 40, 2, 5, 37, "main", prompts={"x": "y "})

    def resolve(model: Any, **options: Any) -> tuple[Path, Entry]:
        asked.append((model, options))
        return TINY, entry

    monkeypatch.setattr(registry, "resolve", resolve)
    embedder = engine.load("known", precision="reference", offline=True, revision="v2")
    assert asked == [("known", {"offline": True, "revision": "v2"})]
    assert (embedder.name, embedder.hub_id, embedder.revision) == ("known", "org/known", "main")
    assert embedder.prompts["x"] == "y "
    engine.load("known", precision="reference")
    assert asked[1:] == [("known", {"offline": False, "revision": None})]


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=re.escape(str(tmp_path / "none"))):
        load(tmp_path / "none")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
@pytest.mark.parametrize("content", [b"", b"[]", None])
def test_a_damaged_folder(name: str, content: bytes | None, tmp_path: Path) -> None:
    path = copy_tiny(tmp_path) / name
    (tmp_path / "vocab.txt").unlink()  # a tokenizer could be built from it
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(CheckpointError, match=re.escape(str(tmp_path))):
        load(tmp_path)


def test_modules_after_the_pooling_are_computed(tmp_path: Path) -> None:
    """A Dense of 40 to 3 without activation: the pooled vector times its matrix, in float64."""
    folder = copy_tiny(tmp_path)
    matrix = np.random.default_rng(1).standard_normal((3, 40)).astype(np.float32)
    write_modules(folder, ["Dense"])
    write_tensors(folder / "2_Dense" / "model.safetensors", {"linear.weight": matrix})
    identity = "torch.nn.modules.linear.Identity"
    settings = {"in_features": 40, "out_features": 3, "activation_function": identity}
    edit_json(folder / "2_Dense" / "config.json", **settings, bias=False)
    embedder = load(folder)
    assert embedder.dim == 3
    pooled = load().encode(TEXTS, normalize=False).astype(np.float64)
    bars.Largest(1e-5).hold(embedder.encode(TEXTS), pooled @ matrix.astype(np.float64).T)


def test_a_dense_of_another_width_is_refused(tmp_path: Path) -> None:
    folder = copy_tiny(tmp_path)
    write_modules(folder, ["Dense"])
    edit_json(folder / "2_Dense" / "config.json", in_features=41, out_features=3)
    with pytest.raises(CheckpointError, match="in_features is 41; it must be 40"):
        load(folder)


def test_the_transformer_in_a_folder_of_its_own(tmp_path: Path) -> None:
    folder, bert = tmp_path, tmp_path / "0_Transformer"
    copy_tiny(bert)
    (bert / "1_Pooling").rename(folder / "1_Pooling")
    (bert / "modules.json").unlink()
    (bert / "config_sentence_transformers.json").unlink()
    kind = "sentence_transformers.models."
    listed = [("0_Transformer", "Transformer"), ("1_Pooling", "Pooling"), ("2", "Normalize")]
    modules = [{"path": path, "type": kind + name} for path, name in listed]
    (folder / "modules.json").write_text(str(modules).replace("'", '"'))
    embedder = load(folder)
    assert embedder.config.transformer == bert and embedder.prompts == {}
    hold_golden(embedder)


# copies


def same(embedder: engine.Embedder, other: engine.Embedder) -> None:
    for name in ("folder", "name", "hub_id", "revision", "precision", "threads", "config", "dim"):
        assert getattr(embedder, name) == getattr(other, name)
    assert np.array_equal(embedder.encode(TEXTS), other.encode(TEXTS))
    assert embedder.prompts == other.prompts and embedder is not other


@pytest.mark.parametrize("how", ["copy", "deepcopy", "pickle"])
def test_a_copy_is_loaded_again(how: str) -> None:
    embedder = load(threads=2)
    copies = {
        "copy": copy.copy,
        "deepcopy": copy.deepcopy,
        "pickle": lambda one: pickle.loads(pickle.dumps(one)),
    }
    other = copies[how](embedder)
    same(embedder, other)
    embedder.close()
    assert other.encode("red").shape == (40,)


def test_a_pickle_holds_no_weights() -> None:
    assert len(pickle.dumps(load())) < 2000


def test_a_pickle_loads_in_any_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(TINY.parent)
    made = pickle.dumps(engine.load("./tiny", precision="reference", threads=1))
    monkeypatch.chdir(tmp_path)
    same(load(), pickle.loads(made))


def test_a_copy_keeps_options_and_entry() -> None:
    entry = Entry("known", "org/known", "mean", 40, 2, 5, 37, "main", prompts={"x": "y "})
    embedder = loading.load_folder(TINY, entry, "reference", 3)
    same(embedder, pickle.loads(pickle.dumps(embedder)))
    assert pickle.loads(pickle.dumps(embedder)).hub_id == "org/known"


def test_a_copy_without_threads_counts_the_cores_of_its_own_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loading, "usable_cores", lambda: 2)
    made = pickle.dumps(engine.load(TINY, precision="reference"))
    monkeypatch.setattr(loading, "usable_cores", lambda: 5)
    assert pickle.loads(made).threads == 5


def encode_there(embedder: engine.Embedder, texts: list[str]) -> tuple[NDArray[Any], Any]:
    """What another process computes, and what its embedder says of itself."""
    return embedder.encode(texts, pooling="cls"), (repr(embedder), embedder.config)


def test_another_process_gets_the_same_vectors() -> None:
    """As joblib and `ProcessPoolExecutor` hand it over, to a process that begins afresh."""
    embedder, context = load(threads=2), multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        vectors, about = pool.submit(encode_there, embedder, TEXTS).result(timeout=120)
    assert np.array_equal(vectors, embedder.encode(TEXTS, pooling="cls"))
    assert about == (repr(embedder), embedder.config)


def test_the_compiled_encoder_is_copied_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_encoder, "FastEncoder", Asked)
    embedder = load(precision="int8", threads=2)
    other = copy.deepcopy(embedder)
    assert isinstance(other._encoder, Asked) and other._encoder is not embedder._encoder
    assert other._encoder.arguments == (TINY, embedder.config, "int8", 2)


@pytest.mark.slow
def test_preparing_makes_what_loading_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BGE_CACHE", str(tmp_path))
    engine.prepare(TINY, precision="int16")
    assert capfd.readouterr().err.count(", once ...") == 2  # kernels and weights
    engine.load(TINY, precision="int16", threads=1).close()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "reference"}, "it must be one of float32, int16, int8."),
        ({"target": "zen"}, "target is 'zen'; it must be one of amx, avx512vnni"),
        ({"target": ""}, "target is ''"),
    ],
)
def test_wrong_options_of_preparing_are_refused(options: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        engine.prepare(TINY, **options)
