"""`import engine`: the names that it exports, and that it imports them on first use."""

import subprocess
import sys

import pytest

import engine

NAMES = [
    "CheckpointError", "Embedder", "EngineError", "InputError", "ModelNotFound", "Overloaded",
    "TooLong", "TruncationWarning", "__version__", "load", "prepare", "quantize",
]  # fmt: skip


def test_dir_shows_what_is_loaded_later_too() -> None:
    """In a new process, before any name is used."""
    code = f"import engine; assert set({NAMES}) <= set(dir(engine)), dir(engine)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert dir(engine) == sorted(set(dir(engine)))


def test_the_names_are_those_of_their_modules() -> None:
    from engine import embedder, errors, loading
    from engine.vectors import quantized

    assert engine.load is loading.load and engine.prepare is loading.prepare
    assert engine.Embedder is embedder.Embedder and engine.quantize is quantized.quantize
    for name in set(NAMES) - {"load", "prepare", "quantize", "Embedder", "__version__"}:
        assert getattr(engine, name) is getattr(errors, name)


def test_the_version_is_that_of_the_distribution() -> None:
    from engine import _version

    assert engine.__version__ == _version.__version__
    assert engine.__version__[0].isdigit()


def test_star_import_brings_all_names() -> None:
    there: dict[str, object] = {}
    exec("from engine import *", there)
    assert set(NAMES) <= set(there)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'engine' has no attribute 'lode'"):
        engine.lode  # noqa: B018
    assert not hasattr(engine, "encode")


def test_windows_is_refused_in_one_sentence() -> None:
    code = "import sys; sys.platform = 'win32'; import engine"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "ImportError: bge-engine runs on Linux and macOS, not on Windows" in done.stderr
