"""A job on one machine: reading, tokenizing, computing and writing at the same time."""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from engine.errors import EngineError
from engine.jobs import embedding, update
from engine.jobs.embedding import Advance, Embedded
from engine.jobs.job import Job
from engine.jobs.options import Options
from engine.jobs.pipeline import Stages
from engine.jobs.progress import Progress, Summary
from engine.jobs.reading import inputs
from engine.jobs.reading.rows import with_types
from engine.jobs.update import Planner, Reuse
from engine.jobs.writing import manifest
from engine.jobs.writing.exchange import complete, exchange, next_of
from engine.jobs.writing.folders import Folders
from engine.jobs.writing.lock import locked
from engine.jobs.writing.record import Record
from engine.jobs.writing.shard_files import write_shard
from engine.jobs.writing.shards import Shard
from engine.jobs.writing.store import Store

if TYPE_CHECKING:
    from engine.embedder import Embedder


def plan(options: Options, embedder: "Embedder") -> tuple[Job, dict[str, Any]]:
    """Find the inputs and describe the job, as its manifest does; nothing is written yet."""
    sources = inputs.find(options.inputs, options.input_format, options.output, options.dialect)
    options = replace(options, fields=with_types(sources, options.fields))
    schema = manifest.schema_of(sources, options.fields)
    how = manifest.how(options, embedder)
    description = manifest.describe(options, how, embedder, sources, schema)
    fingerprints = {facts["name"]: facts for facts in description["inputs"]}
    return Job(options, how, inputs.splits(sources), schema, fingerprints), description


def run(options: Options, embedder: "Embedder") -> Summary:
    """Run a job, or resume it, or update its table.

    Raises InputError, and EngineError when the disk is full, another job holds the output, or
    more rows than --max-rejects are bad. Completed shards stay, and the next run resumes there.
    """
    job, description = plan(options, embedder)
    folders = Folders.of(options.output)
    with locked(folders):
        complete(folders)
        reuse = update.begin(folders, description, options) if options.update else None
        splits = len(job.splits) + (reuse is not None and options.keep_removed)
        where = next_of(folders) if reuse else folders
        with Store(where, description, splits) as store:
            summary = _fill(job, store, embedder, reuse)
        if reuse:
            exchange(folders)
        return replace(summary, output=str(folders.data))


def _fill(job: Job, store: Store, embedder: "Embedder", reuse: Reuse | None) -> Summary:
    """Compute and write what is missing in the table."""
    before = store.totals["rows"]
    progress = Progress(
        job.total_bytes,
        store.totals["size"],
        rows_before=before + store.totals["rejects"],
        total_rows=job.total_rows,
        quiet=job.options.quiet,
    )
    records = _records(job, store, embedder, reuse, progress)
    with closing(progress), closing(records):
        _check_rejects(job.options, store)
        for record in records:
            store.add(record)
            _check_rejects(job.options, store)
    changes = _finish_update(job, store, reuse) if reuse else []
    store.finish()
    totals = store.totals
    return Summary(
        output=str(store.folders.data),
        rows=totals["rows"],
        tokens=totals["tokens"],
        cut=totals["cut"],
        rejects=totals["rejects"],
        shards=len(store.records),
        here=totals["rows"] - before,
        seconds=progress.seconds(),
        changes=tuple(changes),
    )


def _finish_update(job: Job, store: Store, reuse: Reuse) -> list[str]:
    """Keep removed rows if asked to; return lines for the summary."""
    earlier, options, split = reuse.open(), job.options, len(job.splits)
    if options.keep_removed:
        for kept in update.removed_rows(earlier, store, split, options.shard_rows):
            if kept.shard.key not in store.records:
                store.add(write_shard(store.folders, kept, options.format, options.fields.id))
        store.splits = split + any(key.split == split for key in store.records)
    lines = [f"compared with the earlier table: {update.changes(earlier, store, split)}"]
    if reuse.damaged:
        lines.append(f"damaged shards of the earlier table, not used: {reuse.damaged:,}")
    if reuse.differing:
        lines.append("no earlier vector was used; what differs: " + "; ".join(reuse.differing))
    return lines


def _records(
    job: Job, store: Store, embedder: "Embedder", reuse: Reuse | None, progress: Progress
) -> Generator[Record, None, None]:
    if job.options.ray is None:
        return embed_locally(job, store, embedder, reuse, progress.advance)
    from engine.jobs.ray import embed_on_cluster

    return embed_on_cluster(job, store, reuse, progress.advance)


def embed_locally(
    job: Job, store: Store, embedder: "Embedder", reuse: Reuse | None, advance: Advance
) -> Generator[Record, None, None]:
    """Embed the missing shards, in order, and write their files."""
    planner = Planner(job.options, job.how, embedder, reuse)
    with Stages() as stages:

        def report(rows: int, tokens: int, read: int) -> None:
            stages.check()
            advance(rows, tokens, read)

        read = stages.ahead(planner.work(shard) for shard in _missing(job, store))
        tokenized = stages.ahead(embedding.tokenize(embedder, job.how, work) for work in read)
        embedded: Iterator[Embedded] = stages.ahead(
            embedding.embed(embedder, job.how, work, report) for work in tokenized
        )
        for done in embedded:
            yield planner.write(store.folders, done)


def _missing(job: Job, store: Store) -> Iterator[Shard]:
    for split in range(len(job.splits)):
        if not store.done(split):
            yield from job.shards(split, store.digests(split))


def _check_rejects(options: Options, store: Store) -> None:
    limit, rejects = options.max_rejects, store.totals["rejects"]
    if limit is not None and rejects > limit:
        first = store.first_reject()
        raise EngineError(
            f"{rejects:,} rows are bad, more than --max-rejects {limit}; the first is row "
            f"{first['row']} of {first['file']!r}: {first['reason']}. Completed "
            "shards are kept. Raise --max-rejects and rerun the command to resume, or repair "
            "the input and start over with another output."
        )
