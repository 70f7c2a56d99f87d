"""A job on one machine: reading, tokenizing, computing and writing at the same time."""

from collections.abc import Generator, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from engine.errors import EngineError
from engine.jobs import embedding
from engine.jobs.embedding import Advance, Embedded
from engine.jobs.job import Job
from engine.jobs.options import Options
from engine.jobs.pipeline import Stages
from engine.jobs.progress import Progress, Summary
from engine.jobs.reading import inputs
from engine.jobs.writing import manifest
from engine.jobs.writing.folders import Folders
from engine.jobs.writing.lock import locked
from engine.jobs.writing.shard_files import Record, write_shard
from engine.jobs.writing.shards import Shard
from engine.jobs.writing.store import Store

if TYPE_CHECKING:
    from engine.embedder import Embedder


def plan(options: Options, embedder: "Embedder") -> tuple[Job, Store]:
    """Find the inputs and describe the job; nothing is written yet."""
    sources = inputs.find(options.inputs, options.input_format, options.output)
    schema = manifest.schema_of(sources, options.fields)
    how = manifest.how(options, embedder)
    description = manifest.describe(options, how, embedder, sources, schema)
    fingerprints = {facts["name"]: facts for facts in description["inputs"]}
    job = Job(options, how, inputs.splits(sources), schema, fingerprints)
    return job, Store(Folders.of(options.output), description, len(job.splits))


def run(options: Options, embedder: "Embedder") -> Summary:
    """Run a job, or resume it.

    Raises InputError, and EngineError when the disk is full, another job holds the output, or
    more rows than --max-rejects are bad. Completed shards stay, and the next run resumes there.
    """
    job, store = plan(options, embedder)
    with locked(store.folders), store:
        before = store.totals["rows"]
        progress = Progress(job.total_bytes, store.totals["size"], quiet=options.quiet)
        with closing(progress), closing(_records(job, store, embedder, progress)) as records:
            _check_rejects(options, store)
            for record in records:
                store.add(record)
                _check_rejects(options, store)
        store.finish()
        return _summary(store, before, progress.seconds())


def _summary(store: Store, rows_before: int, seconds: float) -> Summary:
    totals = store.totals
    return Summary(
        output=str(store.folders.data),
        rows=totals["rows"],
        tokens=totals["tokens"],
        cut=totals["cut"],
        rejects=totals["rejects"],
        shards=len(store.records),
        here=totals["rows"] - rows_before,
        seconds=seconds,
    )


def _records(
    job: Job, store: Store, embedder: "Embedder", progress: Progress
) -> Generator[Record, None, None]:
    if job.options.ray is None:
        return embed_locally(job, store, embedder, progress.advance)
    from engine.jobs.ray import embed_on_cluster

    return embed_on_cluster(job, store, progress.advance)


def embed_locally(
    job: Job, store: Store, embedder: "Embedder", advance: Advance
) -> Generator[Record, None, None]:
    """Embed the missing shards, in order, and write their files."""
    with Stages() as stages:

        def report(rows: int, tokens: int, read: int) -> None:
            stages.check()
            advance(rows, tokens, read)

        read = stages.ahead(_missing(job, store))
        tokenized = stages.ahead(embedding.tokenize(embedder, job.how, shard) for shard in read)
        embedded: Iterator[Embedded] = stages.ahead(
            embedding.embed(embedder, job.how, work, report) for work in tokenized
        )
        for work in embedded:
            yield write_shard(store.folders, work, job.options.format, job.options.dtype)


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
