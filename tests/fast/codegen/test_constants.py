"""What the compiler's environment says becomes the constants of the kernels."""

import pytest

from engine.fast.codegen.target import TARGETS, Target, able_targets, host_target
from tests.fast import fast_process

CONSTANTS = """
from engine.fast.codegen.constants import LANES, PRECISION, REGISTER, TARGET
print(TARGET.name, PRECISION, REGISTER, LANES)
"""


def constants(**environment: str) -> list[str]:
    """Target, precision, lanes of a register and of a vector, in a process with these variables."""
    unset = {"BGE_COMPILE_FOR": "", "BGE_TARGET": ""}
    return fast_process.run(CONSTANTS, **{**unset, **environment}).split()


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_every_target_can_be_compiled_for(target: Target) -> None:
    """Also those that this CPU cannot run."""
    register = {"amx": 16, "avx512vnni": 16, "avx512": 16, "avxvnni": 8, "avx2": 8}.get(
        target.name, 4
    )
    got = constants(BGE_COMPILE_FOR=target.name, BGE_COMPILE_PRECISION="int8")
    assert got == [target.name, "int8", str(register), "16"]


def test_without_an_environment_it_is_this_cpu_in_float32() -> None:
    host = host_target()
    assert constants() == [host.name, "float32", str(host.register), "16"]


@pytest.mark.parametrize("precision", ["float32", "int16", "int8"])
def test_every_precision_of_this_cpu(precision: str) -> None:
    host = host_target()
    assert constants(BGE_COMPILE_PRECISION=precision) == [
        host.name,
        precision,
        str(host.register),
        "16",
    ]


def test_what_is_compiled_for_comes_before_what_this_process_runs() -> None:
    """The lesser target that a user asked for is of no interest to the compiler."""
    least = able_targets()[-1]
    assert constants(BGE_TARGET=least.name)[0] == least.name
    assert constants(BGE_TARGET=least.name, BGE_COMPILE_FOR="neon")[0] == "neon"
