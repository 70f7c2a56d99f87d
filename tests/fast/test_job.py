"""The tables of addresses: each place has one meaning, and there are counters for every phase."""

import ast
import inspect
from collections import Counter
from itertools import product

from engine.fast import encoder, job

LINEAR_MAPS = (job.TO_QKV, job.FROM_HEADS, job.UP, job.DOWN)
FIELDS = (job.PANELS, job.BIAS, job.SCALES, job.OFFSETS)
NORMS = (job.NORM1_SCALE, job.NORM1_SHIFT, job.NORM2_SCALE, job.NORM2_SHIFT)


def job_fields() -> list[str]:
    """The names that get a place in a job: what is assigned from its counter."""
    names = []
    for node in ast.parse(inspect.getsource(job)).body:
        if isinstance(node, ast.Assign) and "next(_job)" in ast.unparse(node.value):
            names += [name.id for name in ast.walk(node.targets[0]) if isinstance(name, ast.Name)]
    return names


def test_every_field_of_a_job_has_its_own_place() -> None:
    fields = [name for name in job_fields() if name != "JOB_SIZE"]
    assert len(fields) > 30
    assert sorted(getattr(job, name) for name in fields) == [*range(job.JOB_SIZE)]


def test_every_field_of_a_layer_has_its_own_place() -> None:
    places = [*(place + field for place, field in product(LINEAR_MAPS, FIELDS)), *NORMS]
    assert sorted(places) == [*range(job.LAYER_SIZE)]


def test_counters_of_two_phases_share_no_cache_line() -> None:
    assert job.TICKET_BYTES > 0 and job.TICKET_BYTES % 64 == 0


FUNCTIONS = {
    node.name: node
    for node in ast.parse(inspect.getsource(encoder)).body
    if isinstance(node, ast.FunctionDef)
}
PHASES = {
    name
    for name, node in FUNCTIONS.items()
    if "step" in [ast.unparse(decorator) for decorator in node.decorator_list]
}


def phases_of(function: str) -> Counter[str]:
    """How often a function of the encoder calls each phase."""
    calls = [node for node in ast.walk(FUNCTIONS[function]) if isinstance(node, ast.Call)]
    names = [node.func.id for node in calls if isinstance(node.func, ast.Name)]
    return Counter(name for name in names if name in PHASES)


def test_there_are_counters_for_every_phase_of_the_encoder() -> None:
    """A phase without counters of its own would write behind them."""
    assert phases_of("encoder_layer").total() == job.STEPS_A_LAYER
    assert phases_of("encode") == {"embed": job.STEPS_BEFORE, "pool": job.STEPS_AFTER}
    assert phases_of("encoder_layer") + phases_of("encode") == Counter(PHASES)
