"""`bge explore`: its options."""

import subprocess
import sys

import pytest

from tests.cli.command import HERE, ROOT, Run


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--port", "65536"], "'65536' is not a port, 0 to 65535"),
        (["--port", "-1"], "'-1' is not a port"),
        (["--port", "http"], "'http' is not a port"),
        (["--threads", "0"], "'0' is not a positive integer"),
        (["a text"], "unrecognized arguments: a text"),
    ],
)
def test_wrong_usage(bge: Run, words: list[str], complaint: str) -> None:
    run = bge("explore", *words)
    assert run.status == 2 and run.out == ""
    assert complaint in run.err and run.err.startswith("usage: bge explore")


def test_other_commands_load_nothing_of_it() -> None:
    code = (
        "import sys, engine.cli.main as cli; cli.main(sys.argv[1:]); "
        "loaded = {'engine.explore', 'engine.explain', 'starlette', 'uvicorn'} & {*sys.modules}; "
        "sys.exit(f'loaded: {loaded}' if loaded else 0)"
    )
    command = [sys.executable, "-c", code, "embed", *HERE, "a cat"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
