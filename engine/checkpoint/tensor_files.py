"""Safetensors files -> arrays of float32, by name.

Files are memory-mapped. float32 tensors are views of the file, which all processes share; other
types are converted to float32 copies. No pickle is ever read.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.checkpoint.json_files import JsonObject
from engine.errors import CheckpointError

Array = NDArray[np.float32]


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint: one, or the shards that an index names."""
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.is_file():
        return [single]
    if not index.is_file():
        raise CheckpointError(
            f"{folder} has no model.safetensors (nor model.safetensors.index.json). Weights in "
            "other formats are not read: pickle files can run code. Convert them to safetensors."
        )
    present, shards = {path.name for path in folder.iterdir()}, set(_weight_map(index).values())
    for name in sorted(shards - present):  # refuses paths to other folders too
        raise CheckpointError(f"{index} names the shard {name!r}, which is not in {folder}.")
    return [folder / name for name in sorted(shards)]


def _weight_map(index: Path) -> dict[str, str]:
    """Which file holds each tensor."""
    content = JsonObject.read(index)
    names = content.texts("weight_map") if content else {}
    if not content or not names:
        raise CheckpointError(f"{index}: weight_map is missing; it must name a file per tensor.")
    return names


def read_tensors(folder: Path) -> dict[str, Array]:
    """All floating-point tensors of a folder, as float32; empty ones are left out."""
    found: dict[str, Array] = {}
    for path in weight_files(folder):
        for name, tensor in _tensors(path):
            if name in found:
                raise CheckpointError(
                    f"{path}: tensor {name} is in another file of the checkpoint too. "
                    "Save the model again."
                )
            found[name] = tensor
    return found


def _tensors(path: Path) -> Iterator[tuple[str, Array]]:
    header = _checked_header(path)
    content = np.memmap(path, np.uint8, "r")
    data = content[8 + int(content[:8].view("<u8")[0]) :]
    for name, about in header.items():
        if about["dtype"] in INTEGERS:  # such as position_ids; weights are never integers
            continue
        if about["dtype"] not in DTYPES:
            raise CheckpointError(
                f"{path}: tensor {name} is of type {about['dtype']}; the engine reads "
                f"{', '.join(DTYPES)}. Save the model again in one of these."
            )
        begin, end = about["data_offsets"]
        yield name, DTYPES[about["dtype"]](data[begin:end]).reshape(about["shape"])


def _checked_header(path: Path) -> dict[str, Any]:
    """Names, types, shapes and offsets, after the safetensors library has checked the file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy"):
            pass
        with path.open("rb") as file:
            header: dict[str, Any] = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    except (SafetensorError, ValueError, RecursionError, OSError) as error:
        raise CheckpointError(
            f"{path} is damaged or truncated: {error}. "
            "Download it again; `bge pull` verifies what it downloads."
        ) from error
    header.pop("__metadata__", None)
    return {k: v for k, v in header.items() if math.prod(v["shape"])}


def _float32(raw: NDArray[np.uint8]) -> Array:
    aligned = raw if raw.ctypes.data % 4 == 0 else raw.copy()
    return aligned.view("<f4")


def _float16(raw: NDArray[np.uint8]) -> Array:
    return raw.copy().view("<f2").astype(np.float32)


def _bfloat16(raw: NDArray[np.uint8]) -> Array:
    """bfloat16 is the upper half of a float32."""
    return (raw.copy().view("<u2").astype(np.uint32) << 16).view(np.float32)


def _float64(raw: NDArray[np.uint8]) -> Array:
    """Numbers outside the range of float32 become infinite, which is refused later."""
    with np.errstate(over="ignore"):
        return raw.copy().view("<f8").astype(np.float32)


DTYPES = {"F32": _float32, "F16": _float16, "BF16": _bfloat16, "F64": _float64}
INTEGERS = {"BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64"}
