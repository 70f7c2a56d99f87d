"""The source that the page shows is that of model.py."""

import re
from pathlib import Path

from engine import model
from engine.explore.source import functions
from tests.support.paths import ROOT


def test_lines_are_where_they_say() -> None:
    lines = Path(model.__file__).read_text("utf-8").splitlines()
    found = functions()
    assert len(found) > 12
    for name, function in found.items():
        first = function["first"] - 1
        assert function["lines"] == lines[first : first + len(function["lines"])]
        assert function["lines"][0].startswith(f"def {name}(")


def test_each_panel_names_functions_that_exist() -> None:
    page = (ROOT / "engine" / "explore" / "assets" / "index.html").read_text("utf-8")
    named = " ".join(re.findall(r'data-source="([^"]+)"', page)).split()
    assert named and set(named) <= functions().keys()
