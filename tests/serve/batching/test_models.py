"""Models and their names, prompts, loading."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.errors import CheckpointError, InputError
from engine.serve.batching.models import Models, ServedModel, load_model, names_of
from engine.serve.http.errors import ErrorKind, HTTPError
from engine.serve.model_choices import ModelChoice
from engine.serve.settings import Settings
from tests.serve.fake_embedder import FakeEmbedder
from tests.support.synthetic import write_checkpoint, write_json


def served(*names: str) -> ServedModel:
    embedder: Any = FakeEmbedder(names[0])
    batcher: Any = None
    return ServedModel(embedder, batcher, names)


def test_a_model_is_found_by_every_name_in_any_letter_case() -> None:
    a, b = served("a", "@cf/Org/A"), served("b")
    models = Models([a, b])
    assert models.first is a
    assert models.find("@CF/org/a") is a and models.find("B") is b
    assert models.names == ["a", "@cf/Org/A", "b"]
    with pytest.raises(HTTPError, match="No such model c or task; here are: a, b") as raised:
        models.find("c")
    assert (raised.value.kind, raised.value.param) == (ErrorKind.NO_MODEL, "c")
    with pytest.raises(HTTPError) as raised:
        models.find("x" * 9999)
    assert len(raised.value.message) < 200


def test_without_a_name_the_only_model_is_meant() -> None:
    a, b = served("a"), served("b")
    assert Models([a]).given(None) is a
    assert Models([a, b]).given("b") is b
    with pytest.raises(HTTPError, match="you must provide a model parameter"):
        Models([a, b]).given(None)


def test_a_prompt_by_its_name() -> None:
    one = served("a")
    assert (one.prompt_named("query"), one.prompt_named(None)) == ("question: ", None)
    with pytest.raises(HTTPError, match="`prompt_name` is 'x'; this model's prompts: query"):
        one.prompt_named("x")


def test_two_models_with_the_same_name_are_refused() -> None:
    with pytest.raises(InputError, match="Two models have the name 'A'"):
        Models([served("a"), served("b", "A")])
    assert Models([served("a", "A")]).find("a")


def test_the_prompt_of_the_request_replaces_the_default_prompt() -> None:
    one = served("a")
    assert one.prompted(["x"]) == ["x"]
    one.embedder.default_prompt = "say: "
    assert one.prompted(["x", "y"]) == ["say: x", "say: y"]
    assert one.prompted(["x"], "ask: ") == ["ask: x"]
    assert one.prompted(["x"], "") == ["x"]


def test_the_servers_default_prompt_replaces_the_checkpoints() -> None:
    one = replace(served("a"), default_prompt="passage: ")
    one.embedder.default_prompt = "say: "
    assert one.prompted(["x"]) == ["passage: x"]
    assert one.prompted(["x"], "ask: ") == ["ask: x"]
    assert one.prompted(["x"], "") == ["x"]


def test_cloudflares_name_comes_first() -> None:
    embedder: Any = FakeEmbedder("bge-base-en-v1.5")
    assert names_of(embedder, ["alias", "alias"]) == ("bge-base-en-v1.5", "alias")
    embedder.hub_id = "BAAI/bge-base-en-v1.5"
    assert names_of(embedder, ["alias"]) == (
        "@cf/baai/bge-base-en-v1.5", "BAAI/bge-base-en-v1.5", "bge-base-en-v1.5", "alias",
    )  # fmt: skip
    assert served("a").hub_name == "a"


@pytest.mark.parametrize("prompts", [{"query": "ask: "}, {"query": ""}])
def test_pooling_without_the_prompt_is_refused(prompts: dict[str, str], tmp_path: Path) -> None:
    """The batcher adds prompts to texts, so the model cannot leave them out of the pooling."""
    sizes = {"hidden": 8, "layers": 1, "heads": 2, "ffn": 8, "vocab": 242, "positions": 8}
    write_checkpoint(tmp_path, seed=1, prompts=prompts, **sizes)
    pooling = {"embedding_dimension": 8, "pooling_mode": "mean", "include_prompt": False}
    write_json(tmp_path / "1_Pooling" / "config.json", pooling)
    settings = Settings(precision="reference", threads=1)
    choice = ModelChoice(str(tmp_path))
    if prompts["query"]:
        with pytest.raises(CheckpointError, match="include_prompt is false"):
            load_model(choice, settings)
    else:
        load_model(choice, settings).close()


def test_the_precision_and_threads_of_one_model(tmp_path: Path) -> None:
    sizes = {"hidden": 8, "layers": 1, "heads": 2, "ffn": 8, "vocab": 242, "positions": 8}
    write_checkpoint(tmp_path, seed=1, **sizes)
    settings = Settings(precision="int8", threads=2)
    choice = ModelChoice(str(tmp_path), precision="reference", threads=1)
    with load_model(choice, settings) as embedder:
        batcher: Any = None
        about = ServedModel(embedder, batcher, ("a", "b")).about
    assert about == {
        "names": ("a", "b"),
        "precision": "reference",
        "threads": 1,
        "dimensions": 8,
        "max_tokens": 8,
    }
