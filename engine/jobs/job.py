"""The plan of a job: its inputs, cut into shards that are the same in every run."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from engine.errors import InputError
from engine.jobs.embedding import How
from engine.jobs.options import Options
from engine.jobs.reading.inputs import Source
from engine.jobs.reading.unchanged import check_unchanged, parquet_rows
from engine.jobs.writing.shards import Key, Shard, shards

MAX_LEADING_REJECTS = 100


@dataclass(frozen=True)
class Job:
    """What is known before the first row is read."""

    options: Options
    how: How
    splits: list[list[Source]]
    schema: pa.Schema
    fingerprints: dict[str, dict[str, Any]]  # of each input, from before it is read

    @property
    def total_bytes(self) -> int:
        return sum(source.size for split in self.splits for source in split)

    @property
    def total_rows(self) -> int | None:
        """The rows of the output, where they are known before anything is read; else None."""
        sources = [source for split in self.splits for source in split]
        if self.how.chunk_tokens or any(source.format != "parquet" for source in sources):
            return None
        return sum(parquet_rows(source) for source in sources)

    def shards(self, split: int, done: dict[int, str]) -> Iterator[Shard]:
        """Cut a split into shards, except the parts in `done` (part -> digest), which must match.

        InputError: the rows of a completed part have changed, or none of the first is usable.
        EngineError: an input changed while it was read; its last shard is not yielded then.
        """
        options = self.options
        cut = shards(
            split, self.splits[split], options.fields, self.schema, options.shard_rows, self._check
        )
        for shard in cut:
            if shard.key == Key(0, 0) and options.max_rejects is None:
                _fail_if_unusable(shard)
            old = done.get(shard.key.part)
            if old is None:
                yield shard
            elif old != shard.digest:
                names = ", ".join(source.name for source in self.splits[split])
                raise InputError(
                    f"shard {shard.key} was made from rows that have changed in {names}; give the "
                    "input that the job started with, or name another output."
                )

    def _check(self, source: Source, rows: int) -> None:
        check_unchanged(source, self.fingerprints[source.name], rows)


def _fail_if_unusable(first: Shard) -> None:
    """Detect a wrong --text at the first shard, before hours are spent rejecting every row."""
    if len(first.rejects) >= MAX_LEADING_REJECTS and not first.texts:
        reject = first.rejects[0]
        raise InputError(
            f"none of the first {len(first.rejects):,} rows is usable; row {reject.row} of "
            f"{reject.file!r}: {reject.reason}. Check --text, --id and --input-format (or allow "
            "it with --max-rejects)."
        )
