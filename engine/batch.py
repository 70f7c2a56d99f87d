"""Texts packed end to end, and the plan that cuts many texts into batches.

Letters as in `engine.model`: S sequences, T tokens of the batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PackedBatch:
    """The tokens of S texts, end to end; text s is the slice cu_seqlens[s]:cu_seqlens[s + 1]."""

    ids_T: NDArray[np.int32]
    positions_T: NDArray[np.int32]
    cu_seqlens: NDArray[np.int32]

    @classmethod
    def of(cls, sequences: Sequence[NDArray[np.int32]]) -> "PackedBatch":
        """Texts of one token id or more; ValueError for an empty one, TypeError unless integers."""
        lengths = [len(ids) for ids in sequences]
        if 0 in lengths:
            raise ValueError(f"text {lengths.index(0)} of the batch has no tokens.")
        cu_seqlens = np.zeros(len(sequences) + 1, np.int32)
        np.cumsum(lengths, out=cu_seqlens[1:])
        ids_T = np.concatenate(sequences, dtype=np.int32, casting="same_kind")
        positions_T = np.arange(len(ids_T), dtype=np.int32) - np.repeat(cu_seqlens[:-1], lengths)
        return cls(ids_T, positions_T, cu_seqlens)


def plan(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Indices of the texts of each batch: at most `budget` tokens, or a single longer text.

    Longest first, so that threads that compute batches side by side end together; within a batch
    neighbours are of like length.
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    batches: list[list[int]] = []
    room = 0
    for i in order:
        if not batches or lengths[i] > room:
            batches.append([])
            room = budget
        batches[-1].append(i)
        room -= lengths[i]
    return batches


def split(lengths: Sequence[int], parts: int) -> list[list[int]]:
    """Indices of the texts of each of at most `parts` batches, as alike in tokens as may be.

    Longest first too. Laid end to end, the tokens are cut into equal parts, and a text belongs to
    the part that its last token lies in: no batch is over a part by more than one text.
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    batches: dict[int, list[int]] = {}
    end, total = 0, sum(lengths)
    for i in order:
        end += lengths[i]
        batches.setdefault((end - 1) * parts // total, []).append(i)
    return list(batches.values())
