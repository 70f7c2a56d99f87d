"""The checkpoint as users of OpenVINO and CTranslate2 have it; each made once.

    python bench/convert.py {openvino,ctranslate2} FOLDER TARGET

OpenVINO traces transformers' BertModel, whose attention is one operation in its graph, and NNCF
quantises that after training: weights and activations in 8 bits, calibrated on the texts that
cases.toml sets apart. CTranslate2 has a converter of its own.
"""

import logging
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from bench.checkpoints import Checkpoint, made_once
from bench.export import last_hidden
from bench.peers.batching import INPUTS, named_inputs
from bench.texts import load_calibration

PACKAGES = {
    "openvino": ("openvino", "nncf", "torch"),
    "ctranslate2": ("ctranslate2", "transformers"),
}


def converted(checkpoint: Checkpoint, kind: str) -> Path:
    """The folder with the models of this kind."""
    return made_once(checkpoint, kind, PACKAGES[kind], [__file__, kind])


def openvino(checkpoint: Checkpoint, target: Path) -> None:
    """float32.xml and int8.xml."""
    import nncf
    import openvino
    from tokenizers import Tokenizer

    module, examples = last_hidden(checkpoint, "sdpa")
    named = dict(zip(INPUTS, examples, strict=True))
    model = openvino.convert_model(module, example_input=named)
    openvino.save_model(model, target / "float32.xml", compress_to_fp16=False)
    tokenizer = Tokenizer.from_file(str(checkpoint.folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(checkpoint.max_tokens)

    def inputs(text: str) -> dict[str, Any]:
        ids = np.array([tokenizer.encode(text).ids])
        return dict(named_inputs(ids, np.ones_like(ids)))

    texts = load_calibration()
    quantised = nncf.quantize(
        model,
        nncf.Dataset(texts, inputs),
        model_type=nncf.ModelType.TRANSFORMER,
        fast_bias_correction=True,
        subset_size=len(texts),
    )
    openvino.save_model(quantised, target / "int8.xml", compress_to_fp16=False)


def ctranslate2(checkpoint: Checkpoint, target: Path) -> None:
    from ctranslate2.converters import TransformersConverter

    converter = TransformersConverter(str(checkpoint.folder))
    converter.convert(str(target), quantization="int8", force=True)  # the folder is there, empty


CONVERTERS: dict[str, Callable[[Checkpoint, Path], None]] = {
    "openvino": openvino,
    "ctranslate2": ctranslate2,
}


def main() -> None:
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    kind, source, target = sys.argv[1:]
    CONVERTERS[kind](Checkpoint(Path(source)), Path(target))


if __name__ == "__main__":
    main()
