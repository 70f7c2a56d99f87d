"""Heat maps to the letter."""

import numpy as np

from engine.cli.commands.heat_map import MOST, WIDE, heat_map


def lines(tokens: list[str], values: object) -> list[str]:
    return "".join(heat_map(tokens, np.array(values))).splitlines()


def test_to_the_letter() -> None:
    assert lines(["[CLS]", "a\tb"], [[0.0, 0.25, 0.5], [1.0, -0.25, -0.1]]) == [
        "     0",
        "  0    ░░▒▒  [CLS]",
        "  1  ██--    a b",
        "     █ is 1.0000",
    ]


def test_ticks_are_above_their_columns() -> None:
    for count in (WIDE, MOST):
        ticks, row, *_ = lines(["a"], np.eye(count)[[10]])
        assert ticks.index("10") == row.index("█")
        assert row.count("█") == (2 if count == WIDE else 1)


def test_zeros() -> None:
    assert lines(["a"], [[0.0, 0.0]])[1] == "  0        a"


def test_many_tokens_are_cut_and_no_line_is_over_80() -> None:
    values = np.random.default_rng(1).random((MOST + 40, MOST + 1))
    found = lines(["x" * 30] * len(values), values)
    assert len(found) == MOST + 3
    assert found[-1] == f"     the first {MOST} tokens; all are in --json"
    assert max(map(len, found)) <= 80
    assert not any("first" in line for line in lines(["x"] * MOST, values[:MOST, :MOST]))
