"""What type checkers say to users: wrong names of options are errors, results have their shapes."""

import re
import subprocess
import sys
from pathlib import Path

from tests.support.paths import ROOT

USER = """
import engine
from engine import compat

embedder = engine.load("bge-base-en-v1.5", precision="int16")
engine.load("bge-base-en-v1.5", precision="float16")  # error: "precision"
embedder.encode("a", pooling="cls", on_truncate="error", prompt_name="query")
embedder.encode("a", pooling="max")  # error: pooling: Literal['mean', 'cls']
embedder.encode(["a"], on_truncate="cut")  # error: on_truncate: Literal['warn', 'error', 'ignore']
embedder.encode_query("a", normalise=True)  # error: normalize: bool
embedder.encode(["a"], batch_size=32)  # error: No overload
embedder.encode(3)  # error: texts: str
engine.quantize(embedder.encode(["a"]), "int4")  # error: 'int8', 'uint8', 'binary', 'ubinary'
compat.SentenceTransformer(embedder).encode("a", precision="int4")  # error: "precision"
reveal_type(embedder.encode("a"))  # note: ndarray[tuple[int],
reveal_type(embedder.encode(["a"]))  # note: ndarray[tuple[int, int],
reveal_type(embedder.encode_query("a"))  # note: ndarray[tuple[int],
reveal_type(embedder.encode_document(x for x in "a"))  # note: ndarray[tuple[int, int],
embedder.encode_chunks("a", overlap="half")  # error: overlap: float
reveal_type(embedder.encode_chunks("a"))  # note: "engine.vectors.chunks.Chunks"
reveal_type(embedder.encode_chunks(["a"], chunk_tokens=9))  # note: "list[engine.vectors.chunks.Ch
reveal_type(embedder.count_tokens("a"))  # note: "int"
reveal_type(embedder.count_tokens(["a"]))  # note: "list[int]"
"""


def test_mypy(tmp_path: Path) -> None:
    user = tmp_path / "user.py"
    user.write_text(USER)
    settings = ["--strict", "--config-file", str(ROOT / "pyproject.toml")]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *settings, str(user)],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    said: dict[int, str] = {}
    for line in done.stdout.splitlines():
        if found := re.match(r".*user\.py:(\d+): (.*)", line):
            said[int(found[1])] = said.get(int(found[1]), "") + found[2]
    expected = {
        number: comment[1].split(": ", 1)
        for number, line in enumerate(USER.splitlines(), 1)
        if len(comment := line.split("  # ")) == 2
    }
    assert said.keys() == expected.keys(), done.stdout + done.stderr
    for number, (kind, words) in expected.items():
        assert kind in said[number] and words in said[number], said[number]
