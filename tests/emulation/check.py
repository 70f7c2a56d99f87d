"""Run by the Python of either machine: what its CPU says it can do, and one vector."""

import json
import time
from typing import TypedDict

from tests.support.paths import WEIGHTS

AT_HWCAP, AT_HWCAP2 = 16, 26  # entries of Linux's auxiliary vector


class Report(TypedDict):
    """hwcap, hwcap2: the kernel's bits. seconds: to import and load the engine and encode."""

    hwcap: int
    hwcap2: int
    features: list[str]
    vector: list[float]
    seconds: float


def report() -> Report:
    began = time.perf_counter()
    import engine
    from engine.system import cpu

    with engine.load(WEIGHTS / "tiny", precision="reference") as embedder:
        vector = embedder.encode(["hello world"])[0].tolist()
    return {
        "hwcap": cpu.auxiliary(AT_HWCAP),
        "hwcap2": cpu.auxiliary(AT_HWCAP2),
        "features": sorted(cpu.features()),
        "vector": vector,
        "seconds": time.perf_counter() - began,
    }


if __name__ == "__main__":
    print(json.dumps(report()))
