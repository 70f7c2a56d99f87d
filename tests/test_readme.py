"""README is true: what it shows is run, and what it prints is compared.

Its blocks say what they are. `console`: commands with their output, run here on a terminal, as
people see them. `python`: run here, in order; a `text` block after it is what it prints. `sh`:
commands to copy; those of ours must parse, and so must that of the systemd unit.
"""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from engine.catalog import registry
from engine.cli import main
from tests.cli.command import ROOT, on_a_terminal

README = (ROOT / "README.md").read_text("utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
SERVICE = (ROOT / ".container" / "bge.service").read_text("utf-8")
FIRST_SCREEN = README.partition("\n## ")[0]


@dataclass(frozen=True)
class Block:
    """A fenced block: the word after the fence, and what is inside."""

    kind: str
    content: str


BLOCKS = [Block(*found) for found in re.findall(r"^```(\w+)\n(.*?)^```$", README, re.S | re.M)]
CONSOLE = [
    tuple(part.split("\n", 1))
    for block in BLOCKS
    if block.kind == "console"
    for part in ("\n" + block.content).split("\n$ ")[1:]
]


def sh_commands() -> list[list[str]]:
    """Words of each command of ours that a `sh` or `console` block shows."""
    lines = [line for b in BLOCKS if b.kind == "sh" for line in b.content.splitlines()]
    parts = [
        shlex.split(part, comments=True)
        for line in [*lines, *(command for command, _ in CONSOLE)]
        for part in re.split(r" \| | && | > ", line)
    ]
    services = re.findall(r"^ExecStart=\S*/(bge .*)$", SERVICE, re.M)
    parts += [shlex.split(service) for service in services]
    return [words[1:] for words in parts if words and words[0] == "bge"]


def shell(command: str) -> str:
    """What a shell prints on a terminal of 110 columns, in the checkout, with `bge` on its path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environ = {**os.environ, "PATH": path}
    return on_a_terminal("bash", "-c", command, columns=110, environ=environ)


@pytest.fixture(scope="module", autouse=True)
def ready(minilm: Path) -> None:
    """What is said once, at the first use on a machine, is no part of the outputs."""
    shell("bge prepare all-MiniLM-L6-v2")


@pytest.mark.parametrize(("command", "printed"), CONSOLE)
def test_console_output(command: str, printed: str) -> None:
    assert shell(command) == printed.rstrip("\n") + "\n"


def test_python_output() -> None:
    blocks = [b for b in BLOCKS if b.kind in ("python", "text")]
    shown = [(a, b) for a, b in pairwise(blocks) if b.kind == "text"]
    assert len(shown) == 2
    for code, printed in shown:
        command = [sys.executable, "-c", code.content]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        assert (done.stdout, done.stderr) == (printed.content, "")


def test_every_python_block_runs() -> None:
    names = {"texts": ["one", "two"]}
    blocks = [block.content for block in BLOCKS if block.kind == "python"]
    assert len(blocks) > 1
    for content in blocks:
        exec(compile(content, "README.md", "exec"), names)


@pytest.mark.parametrize("words", sh_commands(), ids=" ".join)
def test_commands_parse(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BGE_API_TOKENS", "one")  # as the text asks of a server for other machines
    if words[0] == "serve":
        from engine.serve.settings import parse_settings

        parse_settings(words[1:])
    elif words[0] == "job":
        from engine.jobs import arguments

        arguments.parse(words[1:])
    else:
        main._parser().parse_args(words)


@pytest.mark.parametrize("command", [*main.COMMANDS, *main.EXTRA_COMMANDS])
def test_every_command_is_told(command: str) -> None:
    assert f"`bge {command}" in README


def test_every_option_that_is_told_exists() -> None:
    told = set(re.findall(r"`[^`\n]*`", README)) | {" ".join(words) for words in sh_commands()}
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", " ".join(told)))
    assert "--text" in options
    assert options - all_options() == set()


def all_options() -> set[str]:
    helps = [
        subprocess.run(
            [sys.executable, "-m", "engine", name, "--help"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout
        for name in [*main.COMMANDS, *main.EXTRA_COMMANDS]
    ]  # fmt: skip
    return set(re.findall(r"--[a-z][a-z-]+", " ".join(helps)))


def test_the_two_commands_stand_first() -> None:
    first = next(block for block in BLOCKS if block.kind == "sh")
    assert first.content in FIRST_SCREEN
    install, test = first.content.splitlines()
    assert install.startswith("pip install . && bge embed ")
    assert install.partition(" && ")[2] == CONSOLE[0][0]
    assert f"\n({test}) | tee " in (ROOT / ".ci" / "run").read_text("utf-8")


def test_the_map_names_every_folder() -> None:
    folders = {
        f"{path.parent.relative_to(ROOT).as_posix()}/"
        for path in (ROOT / "engine").rglob("__init__.py")
    }
    named = set(re.findall(r"`([\w/.]+/)`", CONTRIBUTING.partition("\n## The map")[2]))
    assert named >= folders
    assert [path for path in named if not (ROOT / path).is_dir()] == []


def test_the_first_page_is_short() -> None:
    assert len(README.splitlines()) <= 250


def test_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\((?!http)([^)#]+)\)", README + CONTRIBUTING)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_licences_are_the_registrys() -> None:
    (table,) = re.findall(r"^\| models \| licence \|\n\|---\|---\|\n((?:\|.*\n)+)", README, re.M)
    rows = [row.strip("|").split("|") for row in table.splitlines()]
    told = {name.strip(): licence.strip() for names, licence in rows for name in names.split(",")}
    known = {entry.name: entry.licence or "not stated" for entry in registry.entries()}
    assert told == known
