"""Measures the cost of each stage of a job: reading, tokenizing, computing, writing, the journal.

Each stage runs alone in one thread. The documents have about 1,000 characters, joined from the
standard library's docstrings. A cost is the median of several rounds, in seconds per document:
CPU seconds, except for writing and the journal. These wait for the disk, so wall time is measured.
"""

import gzip
import json
import random
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import engine
from bench.checkpoints import find_checkpoint
from bench.texts import corpus, joined
from engine.jobs import embedding
from engine.jobs.options import Fields, parse_template
from engine.jobs.reading.inputs import find
from engine.jobs.writing.folders import Folders
from engine.jobs.writing.record import Record
from engine.jobs.writing.row_hashes import hash_texts, rows_of
from engine.jobs.writing.shard_files import write_shard
from engine.jobs.writing.shards import Key, Shard, output_schema, shards
from engine.jobs.writing.store import Store
from engine.jobs.writing.stored import Vectors

CHARACTERS = 1000
SHARD_ROWS = 4096
FORMATS = ("parquet", "jsonl", "jsonl.gz")
FIELDS = Fields(parse_template("text"), "id", ())

Clock = Callable[[], float]


@dataclass(frozen=True)
class Costs:
    """The measured costs, and the averages of a document.

    read, tokenize, compute, write: seconds of one core per document. journal: seconds per shard.
    tokens, characters, output_bytes: per document. journal_bytes, journal_memory: bytes per shard,
    on disk and in memory.
    """

    model: str
    precision: str
    read: dict[str, float]
    tokenize: float
    compute: float
    write: float
    journal: float
    tokens: float
    characters: float
    output_bytes: float
    journal_bytes: float
    journal_memory: float

    @property
    def total(self) -> float:
        return self.read["parquet"] + self.tokenize + self.compute + self.write

    @property
    def stages(self) -> dict[str, float]:
        """The share of each stage in the total (0 to 1), with reading from Parquet."""
        parts = {"reading": self.read["parquet"], "tokenizing": self.tokenize}
        parts |= {"computing": self.compute, "writing": self.write}
        return {name: seconds / self.total for name, seconds in parts.items()}

    def cores_fed(self) -> dict[str, float]:
        """The number of computing cores that one reader, one writer and one journal can serve."""
        core = self.tokenize + self.compute
        fed = {f"one reader of {name}": core / seconds for name, seconds in self.read.items()}
        fed["one writer"] = core / self.write
        fed["the one journal"] = core / (self.journal / SHARD_ROWS)
        return fed


def measure(model: str, precision: str, rows: int, rounds: int) -> Costs:
    """Runs every stage: tokenizing and computing with `rows` documents, the others with a shard."""

    def median(work: Callable[[], object], clock: Clock = time.process_time) -> float:
        return statistics.median(seconds_of(work, clock) for _ in range(rounds))

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = write_corpus(folder)
        read = {form: median(lambda p=path: read_shards(p)) for form, path in paths.items()}
        whole = read_shards(paths["parquet"])[0]
        some = replace(whole, texts=whole.texts[:rows], columns=whole.columns.slice(0, rows))
        checkpoint = str(find_checkpoint(model).folder)
        with engine.load(checkpoint, precision=precision, threads=1) as embedder:
            how = embedding.How(embedder.prompts.get("document"), embedder.pooling, True, None)
            new = embedding.all_new(some)
            work = embedding.tokenize(embedder, how, new)
            done = embedding.embed(embedder, how, work, ignore)
            tokenize = median(lambda: embedding.tokenize(embedder, how, new))
            compute = median(lambda: embedding.embed(embedder, how, work, ignore))
        vectors = Vectors(spread(done.vectors.values, len(whole.texts)), None)
        full = embedding.Embedded(whole, vectors, rows_of(hash_texts(whole.texts)), 0, 0)
        folders = Folders.of(folder / "out")
        folders.create()
        put = partial(write_shard, folders, full, "parquet", "id")
        record = put()
        seconds, size = measure_journal(folder, record)
        return Costs(
            model=model, precision=precision, tokens=done.tokens / rows,
            read={form: seconds / len(whole.texts) for form, seconds in read.items()},
            tokenize=tokenize / rows, compute=compute / rows,
            write=median(put, time.perf_counter) / len(whole.texts),
            journal=seconds, journal_memory=size, characters=sum(map(len, some.texts)) / rows,
            output_bytes=sum(content.size for content in record.files.values()) / len(whole.texts),
            journal_bytes=len(record.to_json()) + 1,
        )  # fmt: skip


def ignore(rows: int, tokens: int, read: int) -> None:
    """A callback for progress that does nothing."""


def seconds_of(work: Callable[[], object], clock: Clock) -> float:
    began = clock()
    work()
    return clock() - began


def spread(vectors: np.ndarray, rows: int) -> np.ndarray:
    """The vectors repeated up to `rows`. Distinct values compress as in a real shard."""
    return np.resize(vectors, (rows, vectors.shape[1]))


def measure_journal(folder: Path, record: Record, shards: int = 200) -> tuple[float, float]:
    """Seconds to write one line of the journal to the disk, and bytes of memory per line."""
    lines = [replace(record, last=False).to_json() for _ in range(shards)]
    with Store(Folders.of(folder / "journal"), {"version": 1}, splits=1) as store:
        tracemalloc.start()
        made = [Record.from_json(line) for line in lines]
        size = tracemalloc.get_traced_memory()[0] / shards
        tracemalloc.stop()
        numbered = [replace(one, key=Key(0, part)) for part, one in enumerate(made)]
        seconds = seconds_of(lambda: [store.add(one) for one in numbered], time.perf_counter)
    return seconds / shards, size


def write_corpus(folder: Path) -> dict[str, Path]:
    paragraphs = list(corpus())
    random.Random(10).shuffle(paragraphs)
    made = list(joined(iter(paragraphs), CHARACTERS))
    texts = [made[row % len(made)] for row in range(SHARD_ROWS)]
    paths = {form: folder / f"documents.{form}" for form in FORMATS}
    ids = [str(row) for row in range(len(texts))]
    pq.write_table(pa.table({"id": ids, "text": texts}), paths["parquet"])
    rows = zip(ids, texts, strict=True)
    lines = "".join(json.dumps({"id": id, "text": text}) + "\n" for id, text in rows).encode()
    paths["jsonl"].write_bytes(lines)
    paths["jsonl.gz"].write_bytes(gzip.compress(lines, 6))
    return paths


def read_shards(path: Path) -> list[Shard]:
    schema = output_schema(pa.schema([("id", pa.string())]), FIELDS)
    sources = find([str(path)], None, "elsewhere")
    return list(shards(0, sources, FIELDS, schema, SHARD_ROWS))
