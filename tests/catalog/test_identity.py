"""Another model's files, added files, planted folders: what may not go by a model's name."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from engine.catalog.identity import check, check_kind, check_untrusted, is_model
from engine.catalog.models import Entry, FileFact
from engine.catalog.record import RECORD
from engine.catalog.verify import WEIGHTS
from engine.errors import CheckpointError
from tests.catalog import mouse
from tests.catalog.mouse import (
    COMMIT,
    CONFIG,
    FILES,
    LATER,
    UNPINNED,
    entry_of,
    lay_out,
    note,
    register,
)

user = mouse.user
RAT = replace(UNPINNED, name="rat", hub_id="tiny/rat", folder="rat")  # of the same sizes
STRANGER = Entry("tiny/stranger", "tiny/stranger")


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, entry_of(), RAT)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return lay_out(tmp_path / "weights" / "mouse")


def configure(folder: Path, **fields: object) -> None:
    (folder / "config.json").write_text(json.dumps({**CONFIG, **fields}))


@pytest.mark.parametrize("field", UNPINNED.sizes)
@pytest.mark.parametrize("value", [3, None, "8", True, [], 2.5])
def test_of_an_unpinned_model_the_sizes_must_be_the_registrys(
    folder: Path, field: str, value: object
) -> None:
    check(folder, UNPINNED)
    configure(folder, **{field: value})
    with pytest.raises(CheckpointError) as caught:
        check(folder, UNPINNED)
    assert str(caught.value) == (
        f"{folder}/config.json: {field} is {value!r}, but mouse has {CONFIG[field]}. These are "
        "files of another model. Delete the folder and download mouse with `bge pull mouse`, or "
        "load the folder by its path instead of that name."
    )


@pytest.mark.parametrize("junk", ["[]", "7", "null", "{}"])
def test_a_config_without_sizes_has_not_the_right_ones(folder: Path, junk: str) -> None:
    (folder / "config.json").write_text(junk)
    with pytest.raises(CheckpointError, match="hidden_size is None, but mouse has 8"):
        check(folder, UNPINNED)


def test_of_a_stranger_nothing_is_known(folder: Path) -> None:
    configure(folder, hidden_size=3)
    check(folder, STRANGER)


def test_a_record_of_another_model_is_refused(folder: Path) -> None:
    note(folder, hub_id="tiny/rat")
    with pytest.raises(CheckpointError, match=r"was downloaded as tiny/rat; it is not loaded as m"):
        check(folder, UNPINNED)
    note(folder, hub_id="Tiny/Mouse")  # the hub does not tell names apart by case
    check(folder, UNPINNED)


def test_a_record_of_another_commit_is_refused(folder: Path) -> None:
    note(folder, revision=LATER)
    check(folder, UNPINNED)
    check(folder, replace(UNPINNED, revision="main"))
    check(folder, replace(UNPINNED, revision=LATER))
    with pytest.raises(CheckpointError, match=f"loaded as revision {LATER}, not {COMMIT}; it is"):
        check(folder, replace(UNPINNED, revision=COMMIT))


def test_pinned_weights_of_a_model_of_the_same_sizes_are_recognised(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has the weights of mouse; the folder is not load"):
        check(folder, RAT)
    (folder / WEIGHTS).write_bytes(b"the rat's own")
    check(folder, RAT)


@pytest.mark.parametrize("wanted", [UNPINNED, RAT, STRANGER, entry_of().at(LATER)])
def test_what_is_not_pinned_is_never_taken_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: Entry
) -> None:
    """Whoever plants a folder can plant a record that fits it."""
    monkeypatch.chdir(tmp_path)
    folder = note(lay_out(Path("weights/x")), hub_id=wanted.hub_id, revision=LATER)
    with pytest.raises(CheckpointError) as caught:
        check_untrusted(folder, wanted)
    message = str(caught.value)
    assert message.startswith(f"weights/x is not loaded as {wanted.name}: no hashes are pinned for")
    assert "give its path, ./weights/x." in message


def test_a_pinned_folder_is_taken(folder: Path) -> None:
    check_untrusted(note(folder), entry_of())


@pytest.mark.parametrize("path", FILES)
def test_no_pinned_file_may_differ(folder: Path, path: str) -> None:
    (folder / path).write_bytes(b"{}")
    with pytest.raises(CheckpointError, match=f"{path} has 2 bytes"):
        check_untrusted(folder, entry_of())


@pytest.mark.parametrize(
    "path",
    ["tokenizer_config.json", "added_tokens.json", "special_tokens_map.json",
     "config_sentence_transformers.json", "2_Normalize/config.json", "Added_Tokens.JSON",
     "1_Pooling/model.safetensors"],
)  # fmt: skip
def test_no_file_may_be_added_that_is_read(folder: Path, path: str) -> None:
    added = folder / path
    added.parent.mkdir(exist_ok=True)
    added.write_text('{"truncate_dim": 2}')
    with pytest.raises(CheckpointError, match=f"{path} is not one of the files that are pinned fo"):
        check_untrusted(folder, entry_of())
    assert not is_model(folder, entry_of())


@pytest.mark.parametrize("path", ["README.md", "onnx/config.json", "pytorch_model.bin", ".git/x"])
def test_what_is_not_read_may_lie_there(folder: Path, path: str) -> None:
    (folder / path).parent.mkdir(exist_ok=True)
    (folder / path).write_text("{}")
    check_untrusted(folder, entry_of())
    assert is_model(folder, entry_of())


SILENT = {
    "__version__": {"sentence_transformers": "2.2.2"},
    "similarity_fn_name": "cosine",
    "prompts": {},
    "default_prompt_name": None,
    "truncate_dim": None,
}


@pytest.mark.parametrize(
    ("change", "silent"),
    [
        ({}, True),
        ({"similarity_fn_name": None, "model_type": "SentenceTransformer"}, True),
        ({"similarity_fn_name": "dot"}, False),
        ({"prompts": {"query": ""}}, False),
        ({"prompts": {"a": "b"}}, False),
        ({"default_prompt_name": "query"}, False),
        ({"truncate_dim": 4}, False),
        ({"model_type": "SparseEncoder"}, False),
        ({"unheard_of": 0}, False),
    ],
)
def test_of_unpinned_settings_only_versions_are_harmless(
    folder: Path, change: dict[str, object], silent: bool
) -> None:
    """The hub's BGE models have this file, and its hash is not known."""
    settings = folder / "config_sentence_transformers.json"
    settings.write_text(json.dumps({**SILENT, **change}))
    assert is_model(folder, entry_of()) is silent
    if silent:
        return check_untrusted(folder, entry_of())
    with pytest.raises(CheckpointError, match=r"config_sentence_transformers\.json is not one of"):
        check_untrusted(folder, entry_of())


def test_without_modules_json_a_folder_is_another_model(folder: Path) -> None:
    (folder / "modules.json").unlink()  # then it would be pooled by mean and not normalised
    with pytest.raises(CheckpointError, match=r"modules\.json is missing"):
        check_untrusted(folder, entry_of())


def test_a_folder_given_by_its_path_is_a_model_only_if_nothing_differs(folder: Path) -> None:
    assert is_model(folder, entry_of())
    assert is_model(note(folder), UNPINNED)
    assert not is_model(folder, replace(RAT, files={}))
    (folder / "added_tokens.json").write_text("{}")
    assert not is_model(folder, UNPINNED)
    (folder / "added_tokens.json").unlink()
    (folder / RECORD).write_text("[]")
    assert not is_model(folder, UNPINNED)
    assert is_model(folder, entry_of())


def test_a_forged_record_makes_no_model_of_other_sizes(folder: Path) -> None:
    configure(folder, num_hidden_layers=7)
    assert not is_model(note(folder), UNPINNED)


@pytest.mark.parametrize(
    ("config", "seen"),
    [({"model_type": "xlm-roberta"}, "'xlm-roberta'"), ({}, "None"), ([], "missing: it is not"),
     ({"model_type": ["bert"]}, "['bert']"), (None, "missing")],
)  # fmt: skip
def test_what_is_no_bert_is_refused_by_its_kind(config: object, seen: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        check_kind(config, STRANGER, "config.json of tiny/stranger")
    assert str(caught.value).startswith(f"config.json of tiny/stranger: model_type is {seen}")
    assert "it must be 'bert'. Nothing more of tiny/stranger was downloaded" in str(caught.value)


def test_a_bert_is_not_refused() -> None:
    check_kind(CONFIG, UNPINNED, "x")
    check_kind({"model_type": "bert"}, STRANGER, "x")
    with pytest.raises(CheckpointError, match="x: hidden_size is 9, but mouse has 8"):
        check_kind({**CONFIG, "hidden_size": 9}, UNPINNED, "x")


def test_the_pins_are_those_of_the_files() -> None:
    assert entry_of().files[WEIGHTS] == FileFact(
        300_000, hashlib.sha256(FILES[WEIGHTS]).hexdigest()
    )
