"""Arrays as torch's tensors, and what happens without torch."""

import sys

import numpy as np
import pytest
import torch

from engine import EngineError
from engine.compat.tensors import cpu, like, tensors

X_32 = np.arange(6, dtype=np.float32).reshape(3, 2)


def test_one_tensor_and_a_list() -> None:
    found = tensors(X_32[:, ::-1], stacked=True)
    assert torch.equal(found, torch.tensor([[1.0, 0], [3, 2], [5, 4]]))
    rows = tensors(X_32, stacked=False)
    assert isinstance(rows, list) and torch.equal(torch.stack(rows), torch.from_numpy(X_32))
    for stacked in (True, False):
        lengths = [len(one) for one in tensors([X_32, X_32[:1]], stacked=stacked)]
        assert lengths == [3, 1]


def test_tensors_for_tensors() -> None:
    assert like(X_32, X_32, [1.0]) is X_32
    assert torch.equal(like(X_32, X_32, torch.zeros(1)), torch.from_numpy(X_32))


def test_the_device() -> None:
    assert cpu() == torch.device("cpu")


def test_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert cpu() == "cpu"
    with pytest.raises(EngineError, match="Tensors need torch, which is not installed"):
        tensors(X_32, stacked=True)
