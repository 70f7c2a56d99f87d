"""What needs torch: it is imported only when it is asked for."""

import sys
from typing import Any

import numpy as np

from engine import EngineError


def tensors(found: Any, *, stacked: bool) -> Any:
    """A tensor of an array, or a list of tensors, one for each of its rows.

    A list of arrays always gives a list. Raises EngineError without torch.
    """
    try:
        import torch
    except ImportError as error:
        raise EngineError(
            "Tensors need torch, which is not installed: pip install torch, or take numpy arrays "
            "(convert_to_numpy=True, convert_to_tensor=False)."
        ) from error
    if stacked and not isinstance(found, list):
        return torch.from_numpy(np.ascontiguousarray(found))
    return [torch.from_numpy(np.ascontiguousarray(one)) for one in found]


def like(found: Any, *given: Any) -> Any:
    """The array as a tensor, if one of those given is a tensor."""
    torch = sys.modules.get("torch")  # who passes a tensor has imported it
    if torch and any(isinstance(one, torch.Tensor) for one in given):
        return torch.from_numpy(found)
    return found


def cpu() -> Any:
    """torch.device("cpu"), or "cpu" without torch."""
    try:
        import torch
    except ImportError:
        return "cpu"
    return torch.device("cpu")
