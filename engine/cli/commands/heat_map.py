"""A matrix as a heat map of block characters, for `bge explain`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from engine.cli import outputs

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHADES = " ░▒▓█"
NEGATIVE = "-"
WIDE, MOST = 28, 56  # columns: so many have cells of two characters; more than MOST are left out
TICK = 5
LABEL = 17


def heat_map(tokens: Sequence[str], values_RC: NDArray[Any]) -> Iterator[str]:
    """A line for each row: its number, a cell for each column, its token; at most 80 characters.

    A cell is shaded by its value, from 0 to the largest. A value as far below 0 as the lightest
    shade is above it is "-". Of more than MOST rows or columns, the first are shown.
    """
    shown_RC = values_RC[:MOST, :MOST]
    most = max(float(abs(shown_RC).max()), 1e-12)
    cell = 2 if shown_RC.shape[1] <= WIDE else 1
    ticks = "".join(f"{j:<{TICK * cell}}" for j in range(0, shown_RC.shape[1], TICK))
    yield f"     {ticks.rstrip()}\n"
    for i, row in enumerate(shown_RC.tolist()):
        cells = "".join(_shade(value / most) * cell for value in row)
        yield f"{i:>3}  {cells}  {outputs.one_line(tokens[i], LABEL)}\n"
    yield f"     {SHADES[-1]} is {most:.4f}\n"
    if max(values_RC.shape) > MOST:
        yield f"     the first {MOST} tokens; all are in --json\n"


def _shade(value: float) -> str:
    """The character for a value from -1 to 1, rounded to the nearest shade."""
    step = round(abs(value) * (len(SHADES) - 1))
    return NEGATIVE if value < 0 and step else SHADES[step]
