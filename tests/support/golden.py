"""Reads the golden files of weights/reference; weights/make_golden.py describes them."""

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.support.checkpoints import texts_of
from tests.support.paths import WEIGHTS

FOLDER = WEIGHTS / "reference"

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Golden:
    texts: list[str]
    ids: list[NDArray[np.int32]]
    vectors: dict[str, Array]
    hidden: list[tuple[str, Array]]
    about: dict[str, Any]


@cache
def golden(checkpoint: str) -> Golden:
    about = json.loads((FOLDER / f"{checkpoint}.json").read_text("utf-8"))
    with np.load(FOLDER / f"{checkpoint}.npz", allow_pickle=False) as arrays:
        return Golden(
            texts=texts_of(checkpoint),
            ids=np.split(arrays["ids"], arrays["ends"][:-1]),
            vectors={pooling: arrays[pooling] for pooling in ("mean", "cls")},
            hidden=[(text, arrays[f"hidden_{i}"]) for i, text in enumerate(about["hidden"])],
            about=about,
        )
