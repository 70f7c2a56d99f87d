"""The libraries must not reach other machines."""

from tests.support.network import only_this_machine

__all__ = ["only_this_machine"]
