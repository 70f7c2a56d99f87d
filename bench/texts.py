"""Builds the benchmark cases, lists of texts, from cases.toml."""

import ast
import csv
import hashlib
import re
import sysconfig
import textwrap
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

CASES = Path(__file__).with_name("cases.toml")
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Case:
    """The texts of one case. measure: "throughput" (encode the list) or "latency" (one by one)."""

    name: str
    about: str
    measure: str
    texts: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.texts)


def load_cases(names: Sequence[str] = (), path: Path = CASES, quick: bool = False) -> list[Case]:
    """The named cases of the file, in the file's order; all of them without names.

    quick: a case that says how many texts it has then has only so many.
    """
    description = tomllib.loads(path.read_text("utf-8"))
    known = description["case"]
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"unknown case {unknown[0]!r}; {path.name} has: {', '.join(known)}")
    if quick:
        fewer = {name: {"count": case["quick"]} for name, case in known.items() if "quick" in case}
        known = {name: case | fewer.get(name, {}) for name, case in known.items()}
    paragraphs = corpus(tuple(description["corpus"]["modules"]))
    return [
        Case(name, case["about"], case["measure"], texts_of(case, known, paragraphs))
        for name, case in known.items()
        if not names or name in names
    ]


def load_retrieval(path: Path = CASES) -> dict[str, tuple[str, ...]]:
    """The "queries" and "documents" of the retrieval test in bench/quality.py."""
    description = tomllib.loads(path.read_text("utf-8"))
    parts = description["retrieval"]
    paragraphs = corpus(tuple(description["corpus"]["modules"]))
    return {name: texts_of(part, parts, paragraphs) for name, part in parts.items()}


def load_sts(file: Path) -> tuple[list[str], list[str], list[float]]:
    """Pairs of sentences and their human scores: a csv file of sentence, sentence, score."""
    with file.open(encoding="utf-8", newline="") as lines:
        left, right, scores = zip(*csv.reader(lines), strict=True)
    return [*left], [*right], [float(score) for score in scores]


def load_calibration(path: Path = CASES) -> tuple[str, ...]:
    """Texts on which a peer may measure the range of its activations: those of no case."""
    description = tomllib.loads(path.read_text("utf-8"))
    paragraphs = corpus(tuple(description["corpus"]["modules"]))
    return texts_of(description["calibration"], {}, paragraphs)


def texts_of(
    case: dict[str, Any], known: dict[str, dict[str, Any]], paragraphs: Sequence[str]
) -> tuple[str, ...]:
    if parts := case.get("parts"):
        picked = [texts_of(known[name], known, paragraphs)[:n] for name, n in parts.items()]
        return tuple(text for part in picked for text in part)
    shortest, longest = case["characters"]
    if "cut" in case:
        paragraphs = pieces(paragraphs, case["cut"])
    if case.get("last"):
        paragraphs = paragraphs[::-1]
    fitting = (text for text in paragraphs if shortest <= len(text) <= longest)
    texts = joined(fitting, case["joined"]) if "joined" in case else fitting
    chosen = tuple(text for text, _ in zip(texts, range(case["count"]), strict=False))
    if len(chosen) < case["count"]:
        raise SystemExit(
            f"the corpus has only {len(chosen)} such texts, not {case['count']}; lower `count` or "
            "widen `characters` in cases.toml"
        )
    return chosen


def joined(paragraphs: Iterator[str], characters: int) -> Iterator[str]:
    text = ""
    for paragraph in paragraphs:
        text = f"{text} {paragraph}".strip()
        if len(text) >= characters:
            yield text
            text = ""


def pieces(paragraphs: Sequence[str], characters: int) -> list[str]:
    """Lines of the paragraphs, at most so many characters each, without repetition."""
    return list(
        dict.fromkeys(line for text in paragraphs for line in textwrap.wrap(text, characters))
    )


@cache
def corpus(modules: tuple[str, ...] = ()) -> tuple[str, ...]:
    """All distinct docstring paragraphs of the modules, in the order of their SHA-256.

    modules: names of the standard library; those of cases.toml if empty.
    """
    modules = modules or tuple(tomllib.loads(CASES.read_text("utf-8"))["corpus"]["modules"])
    found = {text for module in modules for file in sources(module) for text in paragraphs_of(file)}
    return tuple(sorted(found, key=lambda text: hashlib.sha256(text.encode()).digest()))


def sources(module: str) -> list[Path]:
    library = Path(sysconfig.get_path("stdlib"))
    if (library / module).is_dir():
        files = sorted((library / module).rglob("*.py"))
        return [file for file in files if not {"test", "tests"} & set(file.parts)]
    return [file for file in (library / f"{module}.py",) if file.exists()]


def paragraphs_of(source: Path) -> Iterator[str]:
    """Each docstring paragraph, with white space collapsed. The code is parsed, never run."""
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        if isinstance(node, DOCUMENTED):
            for paragraph in re.split(r"\n\s*\n", ast.get_docstring(node) or ""):
                if text := " ".join(paragraph.split()):
                    yield text


def fingerprint(texts: Sequence[str]) -> str:
    """SHA-256 of the texts in order."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()
