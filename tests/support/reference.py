"""The reference of all public names, as HTML: python -m tests.support.reference [FOLDER]

It needs the extra `docs`. Default: build/reference.
"""

import sys
from pathlib import Path

import engine

PUBLIC = (
    "engine", "engine.errors", "engine.util", "engine.search", "engine.search.index",
    "engine.explain", "engine.jobs.ray",
)  # fmt: skip


def render(folder: Path) -> None:
    """Writes folder/index.html and a page for each module of PUBLIC."""
    import pdoc

    for name in engine.__all__:  # made when first used, so pdoc would not see them
        setattr(engine, name, getattr(engine, name))
    pdoc.pdoc(*PUBLIC, "!engine.search.(?!index)", output_directory=folder)


if __name__ == "__main__":
    render(Path(sys.argv[1] if len(sys.argv) > 1 else "build/reference"))
