"""A run as a record (JSON, for keeping) and as tables (for people)."""

import json
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.peers.registry import OURS

RECORDS = Path(__file__).with_name("records")
BASES = (*OURS.values(), "blas")

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
        ours = result["ratios"].get(OURS.get(result.get("precision", "")), {})
        result["speed_by_ours"] = {name: speed(name, value) for name, value in ours.items()}
    return result


def speed(column: str, ratio: float) -> float:
    """How many times as fast: tokens a second as they are, times turned over."""
    return ratio if column.endswith("tok/s") else round(1 / ratio, 3)


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
    """Medians, settings, speed by ours and by the ceiling, then what limits the figures."""
    engines = result["engines"]
    columns = list(dict.fromkeys(c for e in engines.values() for c in e.get("medians", {})))
    head = ["engine", *columns, "cores", "peak MB", "max |d|", "1 - cos", "mean"]
    parts = [heading(result), grid([head, *(row(n, e, columns) for n, e in engines.items())])]
    parts += chosen(engines, list(result["cases"]))
    parts += by_ours(engines, columns)
    if names := [n for n, e in engines.items() if "blas" in e.get("ratios", {})]:
        lines = [[n, *(ratio(engines[n]["ratios"]["blas"], c) for c in columns)] for n in names]
        parts.append(grid([["by blas", *columns], *lines]))
    parts.append(closing(result))
    return "\n\n".join(parts)


def chosen(engines: Mapping[str, Record], cases: Sequence[str]) -> list[str]:
    """What each peer's user would choose for each case."""
    tuned = {name: engine["settings"] for name, engine in engines.items() if "settings" in engine}
    lines = [
        [name, *(f"{each[case]['batch']} x {each[case]['streams']}" for case in cases)]
        for name, each in tuned.items()
    ]
    return [grid([["batch x side by side", *cases], *lines])] if lines else []


def by_ours(engines: Mapping[str, Record], columns: Sequence[str]) -> list[str]:
    """For each precision: how many times as fast as ours, with a star where it is faster."""
    parts = []
    for precision, ours in OURS.items():
        lines = [
            [
                name,
                *(starred(engine["speed_by_ours"], column) for column in columns),
                *(f"{engine['peak_mb']:,}", f"{engine['cosine_mean']:.1e}"),
            ]
            for name, engine in engines.items()
            if engine.get("precision") == precision and engine.get("speed_by_ours")
        ]
        if lines:
            head = [f"{precision}: speed by {ours}", *columns, "peak MB", "1 - cos, mean"]
            parts.append(grid([head, *lines]))
    return parts


def starred(values: Mapping[str, float], column: str) -> str:
    if column not in values:
        return ""
    return f"{values[column]:.2f}" + ("*" if values[column] > 1 else " ")


def by_threads(results: Sequence[Record]) -> str:
    """Tokens a second of each engine, by how many threads it had."""
    found: dict[str, dict[str, float]] = {}
    for result in results:
        for name, engine in result["engines"].items():
            for column, value in engine.get("medians", {}).items():
                if column.endswith("tok/s"):
                    at = f"{column.removesuffix(' tok/s')} @ {result['threads']}"
                    found.setdefault(name, {})[at] = value
    columns = sorted({column for each in found.values() for column in each})
    lines = [[name, *(number(each.get(c)) for c in columns)] for name, each in found.items()]
    return grid([["tok/s @ threads", *columns], *lines])


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
    exactness = [f"{engine[key]:.1e}" for key in ("max_difference", "cosine_error", "cosine_mean")]
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
        f"{name} {case['tokens']:,} in {case['texts']:,}" for name, case in result["cases"].items()
    )
    return "\n".join(
        (
            f"Medians of {rounds} rounds; ratios are medians of the rounds' own. Tokens: {tokens}.",
            f"max |d|, 1 - cos: the worst against {result['truth']}; mean: of the worst case.",
            "peak MB: a fresh process after mixed.",
            "Settings: texts in a batch x batches side by side. A star: the peer is faster.",
            f"While engines were timed, others used {others:.2f} of the {cores} cores"
            + (": too busy for absolute figures." if others > 0.05 else "."),
        )
    )
