"""Checkpoint folders for tests of single modules: copies of the tiny one, edited or damaged."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from tests.support.synthetic import TINY, write_json

REMOVED: Any = object()
SAVED_AS = {"<f4": "F32", "<f2": "F16", "<f8": "F64", "<i8": "I64", "<i4": "I32"}


def copy_tiny(to: Path) -> Path:
    """The tiny checkpoint (width 40, two layers of five heads, limit 59), to be edited."""
    shutil.copytree(TINY, to, dirs_exist_ok=True)
    return to


def edit_json(path: Path, **fields: Any) -> None:
    """Sets fields of the object in a JSON file, which need not exist; REMOVED removes one."""
    content = json.loads(path.read_text("utf-8")) if path.exists() else {}
    content.update(fields)
    write_json(path, {key: value for key, value in content.items() if value is not REMOVED})


def tiny_tensors() -> dict[str, NDArray[Any]]:
    return load_file(TINY / "model.safetensors")


def write_tensors(
    path: Path, tensors: Mapping[str, NDArray[Any]], types: Mapping[str, str] | None = None
) -> None:
    """Writes a safetensors file by the format's specification, without the library.

    A tensor is stored as its array's type, or under the name that `types` gives its bytes.
    """
    header, data = {}, b""
    for name, array in tensors.items():
        kind = (types or {}).get(name) or SAVED_AS[array.dtype.newbyteorder("<").str]
        raw = np.ascontiguousarray(array).tobytes()
        offsets = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": offsets}
        data += raw
    text = json.dumps(header).encode()
    write_raw(path, text + b" " * (-len(text) % 8), data)


def write_raw(path: Path, header: bytes, data: bytes = b"") -> None:
    """A safetensors file of this header: its length in eight bytes, the header, the data."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)


def write_modules(folder: Path, kinds: Sequence[str]) -> None:
    """modules.json: Transformer, 1_Pooling, and then `kinds`, such as "Dense" in 2_Dense."""
    paths = ["", "1_Pooling", *(f"{i}_{kind}" for i, kind in enumerate(kinds, 2))]
    listed = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(
            zip(paths, ["Transformer", "Pooling", *kinds], strict=True)
        )
    ]
    write_json(folder / "modules.json", listed)
