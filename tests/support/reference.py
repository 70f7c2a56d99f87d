"""The reference of all public names, as HTML: python -m tests.support.reference [FOLDER]

It needs the extra `docs`, and the libraries of the adapters. Default: build/reference.
"""

import sys
from pathlib import Path

import engine

PUBLIC = (
    "engine", "engine.errors", "engine.util", "engine.search", "engine.search.index",
    "engine.explain", "engine.export", "engine.compat", "engine.jobs.ray",
)  # fmt: skip
ADAPTERS = tuple(
    f"engine.adapters.{path.stem}"
    for path in sorted(Path(engine.__file__).with_name("adapters").glob("[!_]*.py"))
)


def render(folder: Path) -> None:
    """Writes folder/index.html and a page for each module of PUBLIC and ADAPTERS."""
    import pdoc

    for name in engine.__all__:  # made when first used, so pdoc would not see them
        setattr(engine, name, getattr(engine, name))
    pdoc.pdoc(*PUBLIC, *ADAPTERS, "!engine.search.(?!index)", output_directory=folder)


if __name__ == "__main__":
    render(Path(sys.argv[1] if len(sys.argv) > 1 else "build/reference"))
