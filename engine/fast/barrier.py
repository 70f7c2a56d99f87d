"""Threads that share the tasks of a job: each takes the next, and nobody is waited for in vain."""

from llvmlite import ir

from engine.fast import job as at
from engine.fast.codegen.numba_vectors import I32, I64, int64, taught, void
from engine.fast.codegen.simd import load_long
from engine.fast.kernels import jit


@taught(
    (
        int64,
        int64,
        lambda b, a: b.atomic_rmw("add", b.inttoptr(a, I64.as_pointer()), I64(1), "seq_cst"),
    )
)
def take_ticket(address):
    """Adds one to the int64 there, in one step for all threads, and gives what it was."""


@taught((int64, int64, lambda b, a: b.load_atomic(b.inttoptr(a, I64.as_pointer()), "seq_cst", 8)))
def read_ticket(address):
    """The int64 there, as other threads left it."""


@taught(
    (void, int64, lambda b, f: b.call(b.inttoptr(f, ir.FunctionType(I32, []).as_pointer()), []))
)
def call(function):
    """Calls the C function at an address, without arguments."""


def step(task):
    """Shares the tasks 0, 1, ... count - 1 of one step among the threads that are here."""

    @jit
    def run(job, scratch, layer, number, count):
        taken = load_long(job, at.TICKETS) + number * at.TICKET_BYTES
        done = taken + 8
        mine = take_ticket(taken)
        while mine < count:
            task(job, scratch, layer, mine)
            take_ticket(done)
            mine = take_ticket(taken)
        turns = 0
        while read_ticket(done) < count:
            turns += 1
            if turns % 256 == 0:
                call(load_long(job, at.YIELD))
        return number + 1

    return run
