"""Group rows into shards, the units that are computed, written and resumed from."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from engine.jobs.options import FILE, ROW, Fields
from engine.jobs.reading.blocks import Block, shown_id
from engine.jobs.reading.inputs import Source
from engine.jobs.reading.readers import blocks
from engine.jobs.reading.row_text import BadRow

SHARD_BYTES = 8 << 20
TEXTS = "\x00texts"  # cannot be the name of a user's column


class Key(NamedTuple):
    """A shard's place in the order of the input: its split, and its part within the split."""

    split: int
    part: int

    def __str__(self) -> str:
        return f"{self.split:06}-{self.part:06}"


@dataclass(frozen=True)
class Reject:
    file: str
    row: int
    reason: str
    id: str | int | float | None = None


@dataclass(frozen=True)
class Shard:
    """A fixed group of consecutive rows.

    `columns` has a row for each text. `places` gives each text's file, as an index into `files`
    (the shard's, in order), and row; chunks of one text have the same. `digest` identifies texts,
    ids and rejects as read. `size` is in bytes of input. `last`: the split ends with this shard.
    """

    key: Key
    last: bool
    texts: list[str]
    files: list[str]
    places: list[tuple[int, int]]
    columns: pa.Table
    rejects: list[Reject]
    digest: str
    size: int
    id: str | None = None  # the column with the ids

    def without(self, bad: Mapping[int, str]) -> "Shard":
        """Return the shard with the texts in `bad` (index -> reason) moved to its rejects."""
        if not bad:
            return self
        kept = [i for i in range(len(self.texts)) if i not in bad]
        # The chunks of one row are one reject.
        rejects = dict.fromkeys(
            Reject(self.files[file], row, bad[i], self._id(i))
            for i, (file, row) in enumerate(self.places)
            if i in bad
        )
        return replace(
            self,
            texts=[self.texts[i] for i in kept],
            places=[self.places[i] for i in kept],
            columns=self.columns.take(pa.array(kept, pa.int64())),
            rejects=sorted([*self.rejects, *rejects], key=self._position),
        )

    def _id(self, row: int) -> str | int | float | None:
        return shown_id(self.columns.column(self.id)[row]) if self.id else None

    def _position(self, reject: Reject) -> tuple[int, int]:
        return self.files.index(reject.file), reject.row

    def to_bytes(self) -> bytes:
        """Serialize the shard as an Arrow stream, to send it from a reader to a worker."""
        head = {
            "key": self.key, "last": self.last, "digest": self.digest, "size": self.size,
            "rejects": [asdict(reject) for reject in self.rejects],
            "files": self.files, "places": self.places, "id": self.id,
        }  # fmt: skip
        table = self.columns.append_column(TEXTS, pa.array(self.texts, pa.large_string()))
        sink = pa.BufferOutputStream()
        schema = table.schema.with_metadata({"shard": json.dumps(head)})
        with pa.ipc.new_stream(sink, schema) as writer:
            writer.write_table(table)
        return bytes(sink.getvalue())

    @classmethod
    def from_bytes(cls, data: bytes) -> "Shard":
        with pa.ipc.open_stream(data) as reader:
            table = reader.read_all()
        head = json.loads(table.schema.metadata[b"shard"])
        head["key"] = Key(*head["key"])
        head["places"] = [(file, row) for file, row in head["places"]]
        head["rejects"] = [Reject(**reject) for reject in head["rejects"]]
        columns = table.drop_columns([TEXTS]).replace_schema_metadata()
        return cls(texts=table.column(TEXTS).to_pylist(), columns=columns, **head)


def output_schema(carried: pa.Schema, fields: Fields) -> pa.Schema:
    """Return the output columns other than the vectors; file and row come first without --id."""
    if fields.id:
        return carried
    return pa.schema([(FILE, pa.string()), (ROW, pa.int64()), *carried])


def shards(
    split: int,
    sources: Sequence[Source],
    fields: Fields,
    schema: pa.Schema,
    shard_rows: int,
    after: Callable[[Source, int], None] = lambda source, rows: None,
) -> Iterator[Shard]:
    """Cut the rows of a split into shards of `shard_rows` rows, or fewer when texts are long.

    A shard also ends with the row that brings its texts to 8 MiB, which bounds memory. BadRow rows
    count, so the borders depend on the input alone. Every split has at least one shard. `after` is
    called with each source and its number of rows, before the shard with its last row is yielded.
    """
    cuts = _cuts(_all_blocks(sources, fields, after), sum(one.size for one in sources), shard_rows)
    for part, (cut, last) in enumerate(_with_last(cuts)):
        yield cut.shard(Key(split, part), last, fields, schema)


@dataclass
class _Cut:
    """The rows of one shard, as slices of blocks."""

    slices: list[tuple[Block, int, int]] = field(default_factory=list)
    size: int = 0

    def shard(self, key: Key, last: bool, fields: Fields, schema: pa.Schema) -> Shard:
        texts: list[str] = []
        places: list[tuple[int, int]] = []
        rejects: list[Reject] = []
        files = list(dict.fromkeys(block.source.name for block, _, _ in self.slices))
        for block, start, stop in self.slices:
            file = files.index(block.source.name)
            for row, text in zip(block.rows[start:stop], block.texts[start:stop], strict=True):
                if isinstance(text, BadRow):
                    rejects.append(Reject(block.source.name, row, text.reason, text.id))
                else:
                    texts.append(text)
                    places.append((file, row))
        batches = [_good_rows(*piece, fields, schema) for piece in self.slices]
        columns = pa.Table.from_batches(batches, schema=schema).combine_chunks()
        digest = _digest(texts, rejects, columns)
        return Shard(
            key, last, texts, files, places, columns, rejects, digest, self.size, fields.id
        )


def _good_rows(
    block: Block, start: int, stop: int, fields: Fields, schema: pa.Schema
) -> pa.RecordBatch:
    good = pa.array([isinstance(text, str) for text in block.texts[start:stop]], pa.bool_())
    columns = block.columns.slice(start, stop - start).columns
    if not fields.id:
        rows = block.rows[start:stop]
        columns = [pa.array([block.source.name] * len(rows)), pa.array(rows, pa.int64()), *columns]
    return pa.RecordBatch.from_arrays(columns, schema=schema).filter(good)


def _cuts(read: Iterable[tuple[Block, int]], total: int, shard_rows: int) -> Iterator[_Cut]:
    cut, rows, filled, begun, any_yet = _Cut(), 0, 0, 0, False
    for block, position in read:
        start = 0
        for index, text in enumerate(block.texts):
            rows += 1
            filled += len(text.encode()) if isinstance(text, str) else 0
            if rows == shard_rows or filled >= SHARD_BYTES:
                cut.slices.append((block, start, index + 1))
                cut.size = position - begun
                yield cut
                cut, rows, filled, begun, any_yet = _Cut(), 0, 0, position, True
                start = index + 1
        if start < len(block.texts):
            cut.slices.append((block, start, len(block.texts)))
    cut.size = total - begun
    if rows or not any_yet:
        yield cut


def _all_blocks(
    sources: Sequence[Source], fields: Fields, after: Callable[[Source, int], None]
) -> Iterator[tuple[Block, int]]:
    """Each block, with the bytes of the split read up to its end."""
    before = 0
    for source in sources:
        rows = 0
        for block in blocks(source, fields):
            rows += len(block.rows)
            yield block, before + block.position
        after(source, rows)
        before += source.size


def _with_last(cuts: Iterable[_Cut]) -> Iterator[tuple[_Cut, bool]]:
    held = None
    for cut in cuts:
        if held:
            yield held, False
        held = cut
    if held:
        yield held, True


def _digest(texts: Sequence[str], rejects: Sequence[Reject], columns: pa.Table) -> str:
    """Hash what a resumed run compares; the lengths keep ("ab", "c") and ("a", "bc") apart."""
    digest = hashlib.sha256()
    for text in texts:
        encoded = text.encode()
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    digest.update(repr(rejects).encode())
    sink = pa.BufferOutputStream()  # Parquet: other layouts of the same values differ in memory
    pq.write_table(columns, sink, compression="none", store_schema=False)
    digest.update(sink.getvalue())
    return digest.hexdigest()
