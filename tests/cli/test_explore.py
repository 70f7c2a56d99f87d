"""`bge explore`: its options, and what it says without its extra."""

import pytest

from tests.cli.command import Run
from tests.cli.test_main import without_extras


def test_without_the_extra_it_says_so_before_anything_is_loaded() -> None:
    run = without_extras("explore", "--model", "nowhere/at-all")
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr in {
        f"bge: error: `bge explore` needs {name}: pip install 'bge-engine[explore]'\n"
        for name in ("starlette", "uvicorn")
    }


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--port", "65536"], "'65536' is not a port, 0 to 65535"),
        (["--port", "-1"], "'-1' is not a port"),
        (["--port", "http"], "'http' is not a port"),
    ],
)
def test_wrong_usage(bge: Run, words: list[str], complaint: str) -> None:
    run = bge("explore", *words)
    assert run.status == 2 and run.out == ""
    assert complaint in run.err and run.err.startswith("usage: bge explore")
