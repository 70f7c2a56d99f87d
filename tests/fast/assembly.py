"""Assembly as text: the loops of a function, what they compute with, and what they spill."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

LABEL = re.compile(r"^(\.?\w+):")
JUMP = re.compile(r"^\t(?:j\w+|b\.\w+|cbn?z|b)\s.*?(\.?LBB\w+)$")
OPERATION = re.compile(r"^\t(?:\{vex\}\s+)?(\w+)")
ORDER = re.compile(r"(?<=vfmadd)(132|213|231)")  # which operand is the sum: the same instruction
KIND = re.compile(r"%([xyz]mm)\d|\bv\d+\.(\d+[bhsd])\b")
VECTOR = re.compile(r"%[xyz]mm\d|\b[qvd]\d+\b")
STACK = re.compile(r"\(%r[sb]p|\[(?:sp|x29)\b")


@dataclass(frozen=True)
class Loop:
    """The instructions between a label and the jump back to it."""

    lines: Sequence[str]

    @property
    def operations(self) -> Counter[str]:
        """How often each instruction occurs, with the kind of its last register: "paddd xmm"."""
        return Counter(map(_operation, self.lines))

    @property
    def spills(self) -> list[str]:
        """Vectors that go to the stack or come from it, because registers do not suffice."""
        return [line.strip() for line in self.lines if STACK.search(line) and VECTOR.search(line)]


def _operation(line: str) -> str:
    match = OPERATION.match(line)
    kinds = KIND.findall(line)
    name = ORDER.sub("", match[1]) if match else line.strip()
    return f"{name} {''.join(kinds[-1])}" if kinds else name


def loops(assembly: str, function: str) -> list[Loop]:
    """The innermost loops of a function, in the order of the text."""
    lines = _body(assembly, function)
    labels = {match[1]: i for i, line in enumerate(lines) if (match := LABEL.match(line))}
    spans = [
        (labels[jump[1]], i)
        for i, line in enumerate(lines)
        if (jump := JUMP.match(line)) and labels.get(jump[1], i) < i
    ]
    inner = [
        (start, end)
        for start, end in spans
        if not any(start < other and last <= end for other, last in spans)
    ]
    return [Loop([x for x in lines[start : end + 1] if x.startswith("\t")]) for start, end in inner]


def _body(assembly: str, function: str) -> list[str]:
    """The function's lines without comments and directives."""
    start = re.search(rf"^{function}:", assembly, re.MULTILINE)
    if not start:
        raise ValueError(f"no function {function} in the assembly")
    end = assembly.index(".Lfunc_end", start.end())
    text = re.sub(r"(#|//).*", "", assembly[start.end() : end])
    return [line.rstrip() for line in text.split("\n") if line.strip() and line[:2] != "\t."]
