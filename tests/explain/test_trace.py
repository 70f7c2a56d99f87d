"""What `explain` keeps of the model's steps, against transformers and against the engine itself."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import engine
from engine.explain import explain
from tests.conftest import Load
from tests.support import bars, checkpoints
from tests.support.synthetic import write_checkpoint
from tests.support.texts import mixed_texts

TEXTS = mixed_texts()[::4]  # 50, of 2 to 512 tokens
TINY = {"hidden": 40, "layers": 2, "heads": 5, "ffn": 72, "vocab": 242, "positions": 59}
# transformers computes in float64 here, so that only our rounding is seen. Measured at most: 1.2e-6
# and 2.0e-6 in tiny's hidden states and attention, 7.2e-6 and 6.1e-6 in MiniLM's. In float32
# transformers itself is off by 5.5e-6.
BAR = bars.Largest(1e-5)


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore::engine.TruncationWarning")
@pytest.mark.parametrize("checkpoint", ["tiny", "minilm"])
def test_hidden_states_and_attention_are_those_of_transformers(checkpoint: str, load: Load) -> None:
    import torch
    from transformers import BertModel

    folder = checkpoints.FOLDERS[checkpoint]()
    bert = BertModel.from_pretrained(folder, attn_implementation="eager").eval().double()
    for text in TEXTS:
        found = explain(load(checkpoint, "reference"), text)
        with torch.no_grad():
            expected = bert(
                input_ids=torch.tensor(found.ids_L[None], dtype=torch.long),
                output_hidden_states=True,
                output_attentions=True,
            )
        BAR.hold(found.hidden_ELD, torch.cat(expected.hidden_states).numpy())
        BAR.hold(found.attention_NHLL, torch.cat(expected.attentions).numpy())


@pytest.mark.parametrize("precision", ["reference", "float32"])
def test_it_is_what_encode_computes_whatever_the_precision(precision: str, load: Load) -> None:
    text = "The red fox, and the blue one."
    found, reference = explain(load("tiny", precision), text), load("tiny", "reference")
    (tokens,) = reference.tokenize([text])
    (x_LD,) = reference.token_embeddings([tokens])
    assert np.array_equal(found.ids_L, tokens.ids)
    assert np.array_equal(found.hidden_ELD[-1], x_LD)
    assert found.hidden_ELD.shape == (3, len(tokens), 40)
    assert found.attention_NHLL.shape == (2, 5, len(tokens), len(tokens))
    assert found.hidden_ELD.dtype == found.attention_NHLL.dtype == np.float32
    np.testing.assert_allclose(found.attention_NHLL.sum(axis=-1), 1, atol=1e-6)


@pytest.mark.slow
def test_tokens_and_where_they_are(load: Load) -> None:
    found = explain(load("minilm", "reference"), "Unbelievably  GOOD")
    assert found.tokens == ("[CLS]", "un", "##bel", "##ie", "##va", "##bly", "good", "[SEP]")
    pieces = [found.text[start:stop] for start, stop in found.spans_L2[1:-1]]
    assert pieces == ["Un", "bel", "ie", "va", "bly", "GOOD"]
    assert found.spans_L2[[0, -1]].tolist() == [[-1, -1], [-1, -1]]
    assert (found.model, found.pooling, found.prompt) == ("all-MiniLM-L6-v2", "mean", 0)


@pytest.mark.parametrize("text", ["", "half \ud83d of it", "\ud83d\ude00 a smile", "nul\x00 red"])
def test_any_text(text: str, load: Load) -> None:
    found = explain(load("tiny", "reference"), text)
    assert len(found.tokens) == len(found.ids_L) == len(found.spans_L2)
    spans = [found.text[start:stop] for start, stop in found.spans_L2[1:-1].tolist()]
    assert all(spans) and not any(piece.isspace() for piece in spans)


def folder_with(tmp_path: Path, file: str, **fields: Any) -> Path:
    """A copy of the tiny checkpoint, whose JSON file has other fields."""
    folder = tmp_path / "edited"
    shutil.copytree(checkpoints.tiny(), folder)
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    return folder


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_long_text_is_truncated_as_by_encode(side: str, tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "tokenizer_config.json", truncation_side=side)
    text = "the red fox " * 30 + "blue"
    with engine.load(folder, precision="reference") as embedder:
        with pytest.warns(engine.TruncationWarning, match="1 of 1 texts were longer than 59"):
            found = explain(embedder, text)
        assert found.ids_L.tolist() == embedder.tokenize([text])[0].ids.tolist()
        ids = [embedder.decode([id], skip_special_tokens=False) for id in found.ids_L.tolist()]
    assert tuple(ids) == found.tokens and len(ids) == 59
    pieces = [text[start:stop] for start, stop in found.spans_L2[1:-1]]
    assert "".join(pieces) == "".join(found.tokens[1:-1]).replace("##", "")
    assert ("blue" in "".join(pieces)) == (side == "left")


def test_the_prompt_is_a_part_of_the_text(load: Load) -> None:
    found = explain(load("tiny", "reference"), "red", prompt="query: ")
    assert found.text == "query: red" and found.prompt == 0
    assert found.text[slice(*found.spans_L2[-2])] in "red"
    assert np.array_equal(
        found.hidden_ELD, explain(load("tiny", "reference"), "query: red").hidden_ELD
    )


def test_a_prompt_that_is_not_pooled(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "1_Pooling/config.json", include_prompt=False)
    with engine.load(folder, precision="reference") as embedder:
        found = explain(embedder, "the red fox", prompt="query: ")
        prompt = len(embedder.tokenize(["query: "])[0]) - 1
        expected = embedder.encode("the red fox", prompt="query: ")
    assert found.prompt == prompt > 1
    mean_D = found.pooled_ED()[-1]
    np.testing.assert_allclose(mean_D / np.linalg.norm(mean_D), expected, atol=1e-6)


def test_attention_weights_that_would_fill_the_memory(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.explain.trace.MOST_NUMBERS", 1000)
    assert len(explain(load("tiny", "reference"), "red").tokens) <= 10
    with pytest.raises(engine.InputError, match="2 x 5 x 59 x 59 numbers; at most 1000 are kept"):
        explain(load("tiny", "reference"), "red " * 200)


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_sums_that_overflow(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "huge", seed=1, **TINY)
    tensors = load_file(folder / "model.safetensors")
    tensors["encoder.layer.1.output.dense.weight"] *= np.float32(1e38)
    save_file(tensors, folder / "model.safetensors")
    with (
        engine.load(folder, precision="reference") as embedder,
        pytest.raises(engine.NotFinite),
    ):
        explain(embedder, "red")


def test_what_is_no_text(load: Load) -> None:
    with pytest.raises(engine.InputError):
        explain(load("tiny", "reference"), 3)  # type: ignore[arg-type]
