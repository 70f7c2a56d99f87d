"""`engine.model` and `engine.fast.encoder` can be read side by side: names, order and steps.

tests/fast/test_encoder.py compares their numbers, layer by layer.
"""

import ast
import inspect
from types import ModuleType

import pytest

from engine import model
from engine.fast import encoder, kernels

ELSEWHERE = {"softmax", "gelu"}  # for one row at a time, in `fast.kernels`
WITHIN = {"attention_weights"}  # a step of `kernels.attention_head`, which `attend` calls
AFTERWARDS = {"normalize"}  # done in Python, on what `encode` returns


def functions(module: ModuleType) -> dict[str, ast.FunctionDef]:
    tree = ast.parse(inspect.getsource(module))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


MODEL, ENCODER = functions(model), functions(encoder)
SHARED = [name for name in MODEL if name in ENCODER]


def test_every_function_of_the_model_has_its_twin() -> None:
    assert set(MODEL) == set(SHARED) | ELSEWHERE | WITHIN | AFTERWARDS
    assert set(functions(kernels)) >= ELSEWHERE
    assert len(SHARED) >= 12


def test_they_stand_in_the_same_order() -> None:
    assert [name for name in ENCODER if name in MODEL] == SHARED


def steps(function: ast.FunctionDef) -> list[str]:
    """The shared functions that it calls, in order; of three `linear` in a row one is named."""
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    calls.sort(key=lambda call: (call.lineno, call.col_offset))
    names = [call.func.id for call in calls if isinstance(call.func, ast.Name)]
    names = [name for name in names if name in SHARED]
    return [name for i, name in enumerate(names) if names[i - 1 : i] != [name]]


@pytest.mark.parametrize("name", ["attention", "feed_forward", "encoder_layer"])
def test_the_same_steps_in_the_same_order(name: str) -> None:
    assert steps(MODEL[name]) == steps(ENCODER[name]) != []


def test_encode_is_the_embedding_and_the_layers_and_then_pools() -> None:
    assert steps(MODEL["encode"]) == ["embed", "encoder_layer"]
    assert steps(ENCODER["encode"]) == ["embed", "encoder_layer", "pool"]
