"""Vectors of an emulated arm64 CPU: the bits of this machine's, from kernels compiled here."""

import pytest

from tests.emulation import machine, parts, vectors
from tests.emulation.vectors import CPUS, Hashes

TEXTS = 20


@pytest.fixture(scope="module")
def expected() -> Hashes:
    return vectors.hashes(TEXTS)


@pytest.mark.parametrize("cpu", CPUS)
def test_an_emulated_arm64_cpu_gives_the_same_bits(cpu: str, expected: Hashes) -> None:
    try:
        machine.machine(numba=True)
    except parts.Unavailable as error:
        pytest.skip(f"no emulator can be installed here: {error}")
    assert vectors.differing(cpu, expected, TEXTS) == []
