"""Structures in memory as numba records: `job = view(JOB)(address)`, then `job.tokens`."""

from numba import from_dtype, types
from numba.extending import intrinsic


def view(dtype):
    """A function for numba: an address -> the record of that dtype there, read and written in
    place. A field costs one load; a field that is a structure is a record itself."""
    # numba represents a record as a pointer to its bytes, so the address is all there is to give.
    record = from_dtype(dtype)

    @intrinsic
    def at(typing_context, address):
        def emit(context, builder, signature, args):
            return builder.inttoptr(args[0], context.get_value_type(record))

        return record(types.int64), emit

    return at
