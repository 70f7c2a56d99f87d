"""The checkpoint as onnxruntime's users have it: exported from torch, fused, quantised; made once.

    python bench/export.py FOLDER TARGET

The graph is transformers' own BertModel. Fusing is done by onnxruntime's transformer optimizer, and
refused here unless every layer's attention, GELU and layer norms were really fused; quantising by
its `quantize_dynamic`, weights per output channel. On a CPU without VNNI instructions the weights
take 7 bits (reduce_range), as onnxruntime's manual asks: with 8 its sums saturate there.
"""

import json
import logging
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.checkpoints import Checkpoint, made_once
from bench.machine import cpu_features
from bench.peers.batching import INPUTS

TOKENIZER_FILES = ("config.json", "tokenizer.json", "special_tokens_map.json")


def exported(checkpoint: Checkpoint) -> Path:
    """A folder with {plain,fused,int8,int8-fused}.onnx and the tokenizer's files."""
    return made_once(checkpoint, "onnx", ("torch", "onnxruntime"), [__file__])


def export(checkpoint: Checkpoint, folder: Path) -> None:
    export_plain(checkpoint, folder / "plain.onnx")
    fuse(checkpoint, folder / "plain.onnx", folder / "fused.onnx")
    quantise(folder / "plain.onnx", folder / "int8.onnx")
    quantise(folder / "fused.onnx", folder / "int8-fused.onnx")
    for name in TOKENIZER_FILES:
        shutil.copyfile(checkpoint.folder / name, folder / name)
    limit = {"model_max_length": checkpoint.max_tokens}
    settings = json.loads((checkpoint.folder / "tokenizer_config.json").read_text("utf-8"))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | limit), "utf-8")


def last_hidden(checkpoint: Checkpoint, attention: str) -> tuple[Any, tuple[Any, ...]]:
    """A module with the inputs by position and one output, as tracing likes it; and examples."""
    import torch
    from transformers import BertModel

    class LastHidden(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert = BertModel.from_pretrained(
                checkpoint.folder, attn_implementation=attention, add_pooling_layer=False
            )

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            inputs = dict(zip(INPUTS, (input_ids, attention_mask, token_type_ids), strict=True))
            return self.bert(**inputs).last_hidden_state

    ids = torch.randint(1000, 2000, (2, 9))
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    return LastHidden().eval(), (ids, mask, torch.zeros_like(ids))


def export_plain(checkpoint: Checkpoint, file: Path) -> None:
    import torch

    # "eager" spells attention out; onnxruntime's optimizer knows no other spelling.
    module, examples = last_hidden(checkpoint, "eager")
    names = [*INPUTS, "last_hidden_state"]
    torch.onnx.export(
        module,
        examples,
        str(file),
        input_names=list(INPUTS),
        output_names=names[-1:],
        dynamic_axes={name: {0: "batch", 1: "sequence"} for name in names},
        opset_version=17,
        dynamo=False,  # the optimizer fuses nothing but GELU in the newer exporter's graphs
    )


def fuse(checkpoint: Checkpoint, source: Path, target: Path) -> None:
    from onnxruntime.transformers.optimizer import optimize_model

    bert = checkpoint.bert
    layers = bert["num_hidden_layers"]
    model = optimize_model(str(source), "bert", bert["num_attention_heads"], bert["hidden_size"])
    found = model.get_fused_operator_statistics()
    wanted = {"Attention": layers, "BiasGelu": layers, "SkipLayerNormalization": 2 * layers}
    if missing := {name: found[name] for name, count in wanted.items() if found[name] != count}:
        raise SystemExit(f"not fused in every one of the {layers} layers: {missing}")
    model.save_model_to_file(str(target))


def quantise(source: Path, target: Path) -> None:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        source,
        target,
        per_channel=True,
        reduce_range=needs_reduced_range(),
        weight_type=QuantType.QInt8,
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},  # of fused nodes
    )


def needs_reduced_range() -> bool:
    return not any("vnni" in feature for feature in cpu_features())


def main() -> None:
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    source, target = sys.argv[1:]
    export(Checkpoint(Path(source)), Path(target))


if __name__ == "__main__":
    main()
