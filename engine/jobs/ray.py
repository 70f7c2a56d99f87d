"""The same job on a Ray cluster, and a class for pipelines of your own.

`bge job --ray ADDRESS` cuts the same shards and makes the same bytes as on one machine: tasks read
the splits, actors on each node compute and write, and Ray Data handles locality, back-pressure and
the loss of a node. All nodes must see inputs and output under the same paths, and have
`bge-engine[ray]` installed.
"""

import json
import os
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import engine
from engine import errors
from engine.errors import CheckpointError, EngineError, InputError
from engine.jobs import embedding
from engine.jobs.cluster import connected, places
from engine.jobs.reading.inputs import STDIN
from engine.jobs.update import Planner, Reuse
from engine.jobs.writing.folders import Folders
from engine.jobs.writing.record import Record
from engine.jobs.writing.shards import Shard
from engine.literals import Precision

if TYPE_CHECKING:
    from engine.jobs.embedding import Advance
    from engine.jobs.job import Job
    from engine.jobs.options import Options
    from engine.jobs.writing.store import Store

READER_CPUS = 0.25
# What an embedder on any node must agree with the manifest in, and what to do where it does not.
NODE_FACTS = {
    "model_hash": "install the same model on every node.",
    "settings_hash": "install the same model on every node.",
    "numerics": "install the same release on every node; where nodes have different kinds of CPU, "
    "take --precision float32 or int16.",
}


class Embed:
    """Adds a column of vectors to the batches of a Ray dataset.

        vectors = ray.data.read_parquet("reviews/").map_batches(
            engine.jobs.ray.Embed,
            fn_constructor_kwargs={"model": "bge-base-en-v1.5", "text": "body", "threads": 4},
            batch_size=1024, num_cpus=4, concurrency=2,
        )

    Each of the `concurrency` actors loads the model once. `text` names the column to read,
    `column` the one to add, float32 (n, D); the other options are those of `engine.load` and
    `Embedder.encode`. A value that is not a string raises InputError.
    """

    def __init__(
        self, model: str, *, text: str = "text", column: str = "embedding",
        precision: Precision = "float32", threads: int | None = None, offline: bool = False,
        revision: str | None = None, **encode: Any,
    ) -> None:  # fmt: skip
        self._text, self._column = text, column
        self._encode = {"on_truncate": "ignore", **encode}
        self._embedder = engine.load(
            model, precision=precision, threads=threads, offline=offline, revision=revision
        )

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        texts = list(batch[self._text])
        for row, text in enumerate(texts):
            if not isinstance(text, str):
                raise InputError(f"row {row} of a batch: column {self._text!r} holds {text!r}, "
                                 "not a string; filter out such rows")  # fmt: skip
        return {**batch, self._column: self._embedder.encode_document(texts, **self._encode)}


def embed_on_cluster(
    job: "Job", store: "Store", reuse: "Reuse | None", advance: "Advance"
) -> Generator[Record, None, None]:
    """Embed the missing shards on the cluster at `options.ray`, in any order."""
    if STDIN in job.options.inputs:
        raise InputError("standard input cannot be read by a cluster; give --ray files")
    with connected(str(job.options.ray)):
        import ray

        try:
            for row in _dataset(job, store, reuse).iter_rows():
                _raise_if(row["error"])
                record = Record.from_json(row["record"])
                advance(record.rows, record.tokens, record.size)
                yield record
        except ray.exceptions.RayError as error:
            raise EngineError(f"the Ray job failed: {error}") from error


def _dataset(job: "Job", store: "Store", reuse: "Reuse | None") -> Any:
    import ray

    threads, actors = places(ray.nodes(), job.options.threads)
    missing = [split for split in range(len(job.splits)) if not store.done(split)]
    items = [{"split": split, "done": list(store.digests(split).items())} for split in missing]
    cwd = os.getcwd()  # noqa: PTH109  (a string, to be sent)
    tasks = ray.data.from_items(items, override_num_blocks=len(items))
    read = tasks.flat_map(_read, fn_args=(ray.put(job), cwd), num_cpus=READER_CPUS)
    facts = {name: store.manifest[name] for name in NODE_FACTS}
    # Actor arguments are passed by value: a dead node would lose an object reference.
    target = _Target(store.folders, facts, threads, cwd, reuse)
    return read.map(
        _Worker,
        fn_constructor_args=(target, job.options, job.how),
        num_cpus=threads,
        compute=ray.data.ActorPoolStrategy(size=actors),
    )


def _read(row: dict[str, Any], shared: Any, cwd: str) -> Iterator[dict[str, Any]]:
    """Read one split, shard by shard."""
    import ray

    os.chdir(cwd)
    job: Job = ray.get(shared)
    try:
        for shard in job.shards(row["split"], dict(row["done"])):
            yield {"shard": shard.to_bytes(), "error": ""}
    except EngineError as error:
        yield {"shard": b"", "error": _to_message(error)}


def _to_message(error: EngineError) -> str:
    """Serialize our error: Ray would wrap an exception in pages of traceback."""
    return json.dumps([type(error).__name__, str(error)])


def _raise_if(error: str) -> None:
    if error:
        name, message = json.loads(error)
        raise getattr(errors, name, EngineError)(message)


@dataclass(frozen=True)
class _Target:
    """What an actor loads, and where it writes, on any node."""

    folders: Folders
    facts: dict[str, str]  # of the manifest: what the node's embedder must agree with
    threads: int
    cwd: str
    reuse: "Reuse | None"


class _Worker:
    """Computes shards and writes their files; only their records are sent back."""

    def __init__(self, target: _Target, options: "Options", how: embedding.How) -> None:
        os.chdir(target.cwd)
        self._folders, self._how = target.folders, how
        self._error = ""
        try:
            self._embedder = _load(target, options)
            self._planner = Planner(options, how, self._embedder, target.reuse)
        except EngineError as error:
            self._error = _to_message(error)

    def __call__(self, row: dict[str, Any]) -> dict[str, str]:
        if error := row["error"] or self._error:
            return {"record": "", "error": error}
        try:
            return {"record": self._embed(Shard.from_bytes(row["shard"])).to_json(), "error": ""}
        except EngineError as exception:
            return {"record": "", "error": _to_message(exception)}

    def _embed(self, shard: Shard) -> Record:
        work = embedding.tokenize(self._embedder, self._how, self._planner.work(shard))
        done = embedding.embed(self._embedder, self._how, work, lambda *_: None)
        return self._planner.write(self._folders, done)


def _load(target: _Target, options: "Options") -> engine.Embedder:
    embedder = engine.load(
        options.model,
        precision=options.precision,
        threads=target.threads,
        offline=options.offline,
        revision=options.revision,
    )
    for name, expected in target.facts.items():
        if (found := getattr(embedder, name)) != expected:
            raise CheckpointError(
                f"node {os.uname().nodename}: {name} is {found!r}, the job's is {expected!r}, so "
                f"its vectors would differ; {NODE_FACTS[name]}"
            )
    return embedder
