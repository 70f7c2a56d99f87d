"""A work-sharing barrier: threads claim tasks one by one, then wait until all of them are done."""

from llvmlite import ir

from engine.fast.codegen.constants import TARGET
from engine.fast.codegen.numba_vectors import I32, I64, int64, llvm_declared, taught, void
from engine.fast.codegen.target import ARM64
from engine.fast.job import TICKET_BYTES
from engine.fast.kernels import jit


# seq_cst is the strongest order; a phase has few tickets, so a weaker one would save nothing.
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


def _pauses(b):
    # hint 1 is arm64's "yield"
    name, args = ("aarch64.hint", [I32(1)]) if TARGET in ARM64 else ("x86.sse2.pause", [])
    kind = ir.FunctionType(ir.VoidType(), [one.type for one in args])
    b.call(llvm_declared(b, f"llvm.{name}", kind), args)


@taught((void, _pauses))
def pause():
    """Tells the core that this thread only waits, and leaves it to a hyperthread beside it."""


def phase(count):
    """Makes a function of one task a phase, whose tasks any number of threads share.

    `count(job, *args)` is the number of tasks. The decorated function(job, me, task, *args) does
    one. It is called as function(job, me, *args), by every thread, and returns when all tasks are
    done. A thread that comes late finds no task left in the phases before, and passes through them.
    """

    def shared(task):
        @jit
        def run(job, me, *args):
            # Every thread counts its own way through the phases, so all agree on the number.
            number = me.phase
            me.phase = number + 1
            if job.tickets == 0:
                return
            tasks = count(job, *args)
            # Two counters: a task that is taken is not yet done. Both are changed and read in one
            # order for all threads (seq_cst), and `done` is raised after the task's results are
            # written. So a thread that reads done == tasks also reads all results.
            taken = job.tickets + number * TICKET_BYTES
            done = taken + 8
            mine = take_ticket(taken)
            while mine < tasks:
                task(job, me, mine, *args)
                take_ticket(done)
                mine = take_ticket(taken)
            turns = 0
            while read_ticket(done) < tasks:
                turns += 1
                pause()
                if turns % 256 == 0:  # there may be fewer cores than threads
                    call(job.sched_yield)

        return run

    return shared
