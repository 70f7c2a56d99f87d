"""A run as a record (JSON, for keeping) and as tables (for people)."""

import json
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.peers import BATCH

RECORDS = Path(__file__).with_name("records")
BASES = ("onnxruntime", "onnxruntime-int8", "ours-float32", "blas")

Record = dict[str, Any]


def summary(engine: str, results: Mapping[str, Mapping[str, Any]]) -> Record:
    result = dict(results[engine])
    if clocks := result.pop("clocks", None):
        seconds, cpu, _ = (sum(column) for column in zip(*clocks, strict=True))
        result["cores"] = round(cpu / seconds, 2)
    if "rounds" in result:
        result["medians"] = {
            name: float(f"{statistics.median(values):.4g}")
            for name, values in result["rounds"].items()
        }
        result["ratios"] = {
            base: ratios(result["rounds"], results[base]["rounds"])
            for base in BASES
            if base != engine and "rounds" in results.get(base, {})
        }
    return result


def padding(lengths: Sequence[int]) -> float:
    """What an engine computes that pads sorted batches, by the tokens that there are."""
    order = sorted(lengths)
    batches = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
    return sum(len(batch) * batch[-1] for batch in batches) / sum(lengths)


def ratios(ours: Mapping[str, Sequence[float]], base: Mapping[str, Sequence[float]]) -> Record:
    """Median over the rounds of this engine's figure by the base's in the same round."""
    return {
        name: round(statistics.median(map(_by, values, base[name])), 3)
        for name, values in ours.items()
        if name in base
    }


def _by(a: float, b: float) -> float:
    return a / b


def noise(results: Iterable[Mapping[str, Any]]) -> Record:
    """Cores that other processes kept busy during the timings, on average."""
    clocks = [clock for result in results for clock in result.get("clocks", [])]
    seconds = sum(clock[0] for clock in clocks)
    others = sum(clock[0] * clock[2] for clock in clocks)
    return {"cores_used_by_others": round(others / seconds, 3) if seconds else 0.0}


def save(result: Record, kind: str = "") -> Path:
    """Write records/<date>-<machine>-<kind>-<model>.json; a later run of the day replaces it."""
    RECORDS.mkdir(exist_ok=True)
    words = (result["date"][:10], result["machine"]["cpu"], kind, Path(result["model"]).name)
    name = "-".join(re.sub(r"[^a-z0-9]+", "-", word.lower()).strip("-") for word in words if word)
    file = RECORDS / f"{name}.json"
    file.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    return file


def tables(result: Record) -> str:
    """Medians, then ratios to the peers and to the ceiling, then what limits the figures."""
    engines = result["engines"]
    columns = list(dict.fromkeys(c for e in engines.values() for c in e.get("medians", {})))
    head = ["engine", *columns, "cores", "peak MB", "max |d|", "1 - cos"]
    parts = [heading(result), grid([head, *(row(n, e, columns) for n, e in engines.items())])]
    for base in BASES:
        names = [n for n, e in engines.items() if base in e.get("ratios", {})]
        if names:
            lines = [[n, *(ratio(engines[n]["ratios"][base], c) for c in columns)] for n in names]
            parts.append(grid([[f"by {base}", *columns], *lines]))
    parts.append(closing(result))
    return "\n\n".join(parts)


def heading(result: Record) -> str:
    machine, versions = result["machine"], result["versions"]
    return "\n".join(
        (
            f"{result['model']}; {result['threads']} threads, {result['clock']} time",
            f"{result['date']}, commit {result['commit']}",
            f"{machine['cpu']}, {machine['cores']} cores: {' '.join(machine['features'])}",
            ", ".join(f"{name} {version}" for name, version in versions.items()),
        )
    )


def row(name: str, engine: Record, columns: Sequence[str]) -> list[str]:
    if "medians" not in engine:
        return [name, engine.get("failed", "verified, not timed")]
    figures = [number(engine["medians"].get(column)) for column in columns]
    cores = f"{engine['cores']:.1f}" if "cores" in engine else ""  # known where a round was timed
    if name == "blas":
        return ["blas (ceiling)", *figures, cores]
    exactness = [f"{engine[key]:.1e}" for key in ("max_difference", "cosine_error")]
    return [name, *figures, cores, str(engine["peak_mb"]), *exactness]


def ratio(values: Mapping[str, float], column: str) -> str:
    return f"{values[column]:.2f}" if column in values else ""


def number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def grid(rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned: names to the left, figures to the right. A short row is a remark."""
    full = [cells for cells in rows if len(cells) > 2] or rows
    widths = [max(len(c[i]) for c in full if i < len(c)) for i in range(max(map(len, full)))]
    widths[0] = max(len(cells[0]) for cells in rows)
    return "\n".join(_line(cells, widths) for cells in rows)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = cells
    if len(rest) < 2:
        return "  ".join([first.ljust(widths[0]), *rest])
    figures = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=False))
    return "  ".join([first.ljust(widths[0]), *figures]).rstrip()


def closing(result: Record) -> str:
    rounds = max(
        (len(v) for e in result["engines"].values() for v in e.get("rounds", {}).values()),
        default=0,
    )
    others, cores = result["noise"]["cores_used_by_others"], result["machine"]["cores"]
    tokens = ", ".join(
        f"{name} {case['tokens']:,} in {case['texts']} (padded x {case['padding']:.2f})"
        for name, case in result["cases"].items()
    )
    return "\n".join(
        (
            f"Medians of {rounds} rounds; ratios are medians of the rounds' own. Tokens: {tokens}.",
            f"max |d|, 1 - cos: the worst vector against {result['truth']}. peak MB: after mixed.",
            f"While engines were timed, others used {others:.2f} of the {cores} cores"
            + (": too busy for absolute figures." if others > 0.05 else "."),
        )
    )
