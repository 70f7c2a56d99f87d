"""Which files of an unknown repository are fetched, and what is refused before they are."""

import json
from pathlib import Path

import pytest

from engine.catalog.hub import SMALL, Unreachable
from engine.catalog.models import Entry
from engine.catalog.pull import pull
from engine.catalog.selection import select
from engine.catalog.verify import WEIGHTS
from engine.errors import CheckpointError, ModelNotFound
from tests.catalog import mouse
from tests.catalog.hub_server import Files, Hub
from tests.catalog.mouse import COMMIT, CONFIG, FILES, LATER, UNPINNED, contents

user, hub = mouse.user, mouse.hub
STRANGER = Entry("tiny/mouse", "tiny/mouse")  # the registry does not know it


def offer(hub: Hub, files: Files) -> None:
    hub.repositories["tiny/mouse"][LATER] = files


def selected(wanted: Entry = STRANGER) -> set[str]:
    commit, facts = select(wanted, 5)
    assert commit == LATER
    return set(facts)


def without(*paths: str) -> Files:
    return {path: content for path, content in FILES.items() if path not in paths}


def test_the_newest_commit_or_the_one_that_is_asked_for(hub: Hub) -> None:
    offer(hub, FILES)
    assert select(STRANGER, 5)[0] == LATER
    assert select(STRANGER.at(COMMIT), 5)[0] == COMMIT
    with pytest.raises(Unreachable, match=rf"has no tiny/mouse at {'c' * 40}, or this user has no"):
        select(STRANGER.at("c" * 40), 5)


def test_sizes_and_hashes_are_those_that_the_hub_states(hub: Hub) -> None:
    _, facts = select(STRANGER, 5)
    assert set(facts) == set(FILES)
    assert facts[WEIGHTS] == mouse.facts(FILES)[WEIGHTS]
    assert facts["config.json"].size == len(FILES["config.json"])
    assert facts["config.json"].sha256 is None


def test_modules_json_leads_to_the_files(hub: Hub) -> None:
    rows = [{"path": "0_Transformer"}, {"path": "1_Pooling"}, {"path": "2_Dense"}]
    files: Files = {
        "modules.json": json.dumps(rows).encode(),
        "config_sentence_transformers.json": b"{}",
        "0_Transformer/config.json": FILES["config.json"],
        "0_Transformer/vocab.txt": FILES["vocab.txt"],
        "0_Transformer/model-00001-of-00002.safetensors": b"1",
        "0_Transformer/model-00002-of-00002.safetensors": b"2",
        "0_Transformer/model.safetensors.index.json": b"{}",
        "1_Pooling/config.json": b"{}",
        "2_Dense/config.json": b"{}",
        "2_Dense/model.safetensors": b"3",
    }
    others: Files = {
        "README.md": b"", "0_Transformer/pytorch_model.bin": b"", "2_Dense/pytorch_model.bin": b"",
        "3_Dense/model.safetensors": b"",
    }  # fmt: skip
    offer(hub, files | others)
    assert selected() == set(files)


def test_a_bare_transformer(hub: Hub) -> None:
    offer(hub, without("modules.json", "1_Pooling/config.json", "sentence_bert_config.json"))
    assert selected() == {"config.json", "tokenizer.json", "vocab.txt", WEIGHTS}


@pytest.mark.parametrize("kind", ["xlm-roberta", "mpnet", None])
def test_what_is_no_bert_is_refused_before_anything_large_is_fetched(
    hub: Hub, tmp_path: Path, kind: str | None
) -> None:
    offer(hub, {**FILES, "config.json": json.dumps({"model_type": kind}).encode()})
    with pytest.raises(
        CheckpointError, match=rf"config\.json of tiny/mouse: model_type is {kind!r}"
    ):
        pull(STRANGER, to=tmp_path / "mouse")
    assert {path for path in FILES if hub.fetched(path)} == {"config.json", "modules.json"}
    assert not (tmp_path / "mouse").exists()


def test_of_a_registered_model_other_sizes_are_refused_before_it_is_fetched(
    hub: Hub, tmp_path: Path
) -> None:
    offer(hub, {**FILES, "config.json": json.dumps({**CONFIG, "hidden_size": 16}).encode()})
    with pytest.raises(CheckpointError, match="hidden_size is 16, but mouse has 8"):
        pull(UNPINNED, to=tmp_path / "mouse")
    assert not hub.fetched(WEIGHTS)


@pytest.mark.parametrize(
    "junk", [b"", b"{", b"\xff", b"[" * 100_000, b"{}", b"[7]", b'[{"path": "../../x"}]',
             b'[{"path": "/etc"}]', b'[{"path": "a\\\\b"}]'],
)  # fmt: skip
def test_a_modules_json_that_is_none(hub: Hub, junk: bytes) -> None:
    offer(hub, {**FILES, "modules.json": junk})
    with pytest.raises(CheckpointError, match=r"^modules\.json of tiny/mouse "):
        select(STRANGER, 5)


def test_a_small_file_that_is_large_is_not_read(hub: Hub) -> None:
    offer(hub, {**FILES, "modules.json": b" " * (SMALL + 1)})
    with pytest.raises(
        CheckpointError, match="has 10,000,001 bytes; it must have at most 10,000,0"
    ):
        select(STRANGER, 5)
    assert not hub.fetched("modules.json")


def test_without_a_config_it_is_no_checkpoint(hub: Hub) -> None:
    offer(hub, without("config.json"))
    with pytest.raises(ModelNotFound, match=f"tiny/mouse at {LATER} has no config.json"):
        select(STRANGER, 5)
    offer(hub, {**FILES, "modules.json": b'[{"path": "0_Transformer"}]'})
    with pytest.raises(ModelNotFound, match=r"has no 0_Transformer/config\.json"):
        select(STRANGER, 5)


def test_pickles_are_refused_before_anything_large_is_fetched(hub: Hub) -> None:
    offer(hub, without(WEIGHTS) | {"pytorch_model.bin": b"pickle"})
    with pytest.raises(ModelNotFound, match=f"tiny/mouse at {LATER} has no safetensors file. Oth"):
        select(STRANGER, 5)
    modules = b'[{"path": ""}, {"path": "1_Pooling"}, {"path": "2_Dense"}]'
    dense = {"modules.json": modules, "2_Dense/config.json": b"{}"}
    offer(hub, {**FILES, **dense, "2_Dense/pytorch_model.bin": b"pickle"})
    with pytest.raises(ModelNotFound, match="has no safetensors file in 2_Dense"):
        select(STRANGER, 5)
    # weights of a module do not stand in for those of the transformer
    offer(hub, {**without(WEIGHTS), **dense, "2_Dense/model.safetensors": b"x"})
    with pytest.raises(ModelNotFound, match=r"has no safetensors file\. Other"):
        select(STRANGER, 5)


def test_what_is_selected_is_what_is_put_in_place(hub: Hub, tmp_path: Path) -> None:
    offer(hub, {**FILES, "README.md": b"# Mouse", "onnx/config.json": b"{}"})
    assert contents(pull(STRANGER, to=tmp_path / "mouse")) == FILES
