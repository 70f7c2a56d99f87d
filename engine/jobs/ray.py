"""The same job on a Ray cluster, and a class for pipelines of your own.

`bge job --ray ADDRESS` cuts the same shards and makes the same bytes as on one machine: tasks read
the splits, one stateful actor or more on each node compute and write, and Ray Data sees to
locality, back-pressure and what is lost with a node. All nodes must see inputs and output under
the same paths, and have `bge-engine[ray]` installed.
"""

import logging
import os
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import engine
from engine.errors import CheckpointError, EngineError, InputError
from engine.jobs import vectors
from engine.jobs.inputs import STDIN
from engine.jobs.parts import Record, write_part
from engine.jobs.shards import Shard

if TYPE_CHECKING:
    from engine.jobs.corpus import Job
    from engine.jobs.options import Options
    from engine.jobs.store import Store
    from engine.jobs.vectors import Advance

READER_CPUS = 0.25
SPARE_CPUS = 1  # of each node: for readers, and for an actor whose own node has died


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
        precision: str = "float32", threads: int | None = None, offline: bool = False,
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
                                 "not a string; filter such rows out first")  # fmt: skip
        return {**batch, self._column: self._embedder.encode_document(texts, **self._encode)}


def embed_there(job: "Job", store: "Store", advance: "Advance") -> Generator[Record, None, None]:
    """Embed the shards that are missing on the cluster at `options.ray`, in any order."""
    if STDIN in job.options.inputs:
        raise InputError("standard input cannot be read by a cluster; give --ray files")
    with _cluster(str(job.options.ray)):
        import ray

        try:
            for row in _dataset(job, store).iter_rows():
                record = Record.from_json(row["record"])
                advance(record.rows, record.tokens, record.size)
                yield record
        except ray.exceptions.RayError as error:
            raise _our_error(error) or EngineError(f"the Ray job failed: {error}") from error


def _dataset(job: "Job", store: "Store") -> Any:
    import ray

    threads, actors = _places(ray.nodes(), job.options.threads)
    missing = [split for split in range(len(job.splits)) if not store.done(split)]
    items = [{"split": split, "done": list(store.digests(split).items())} for split in missing]
    here = os.getcwd()  # noqa: PTH109  (a string that travels)
    tasks = ray.data.from_items(items, override_num_blocks=len(items))
    read = tasks.flat_map(_read, fn_args=(ray.put(job), here), num_cpus=READER_CPUS)
    # What makes an actor travels inside the request for it, not as an object that can be lost.
    target = _Target(str(store.folder), store.manifest["model_hash"], threads, here)
    return read.map(
        _Worker,
        fn_constructor_args=(target, job.options, job.how),
        num_cpus=threads,
        compute=ray.data.ActorPoolStrategy(size=actors),
    )


def _places(nodes: list[dict[str, Any]], threads: int | None) -> tuple[int, int]:
    """Return threads of an actor and how many actors; one a node unless `threads` is given."""
    cpus = [int(node["Resources"].get("CPU", 0)) - SPARE_CPUS for node in nodes if node["Alive"]]
    usable = [count for count in cpus if count > 0]
    threads = threads or min(usable, default=0)
    actors = sum(count // threads for count in usable) if threads else 0
    if not actors:
        raise EngineError(
            f"no node of the Ray cluster has {(threads or 1) + SPARE_CPUS} logical CPUs (they have "
            f"{[count + SPARE_CPUS for count in cpus]}): an actor takes {threads or 1} and leaves "
            f"{SPARE_CPUS}; give nodes more, or lower --threads"
        )
    return threads, actors


def _read(row: dict[str, Any], shared: Any, here: str) -> Iterator[dict[str, bytes]]:
    """Read one split, shard by shard."""
    import ray

    os.chdir(here)
    job: Job = ray.get(shared)
    for shard in job.shards(row["split"], dict(row["done"])):
        yield {"shard": shard.to_bytes()}


@dataclass(frozen=True)
class _Target:
    """What an actor is to load and where it is to write, on whatever node it finds itself."""

    folder: str
    model_hash: str
    threads: int
    here: str


class _Worker:
    """Computes shards and puts them in place; only their records travel back."""

    def __init__(self, target: _Target, options: "Options", how: vectors.How) -> None:
        os.chdir(target.here)
        self._folder, self._options, self._how = Path(target.folder), options, how
        self._embedder = engine.load(
            options.model,
            precision=options.precision,
            threads=target.threads,
            offline=options.offline,
            revision=options.revision,
        )
        if self._embedder.model_hash != target.model_hash:
            raise CheckpointError(
                f"node {os.uname().nodename}: {options.model} has hash {self._embedder.model_hash}"
                f", the job's is {target.model_hash}; give every node the same"
            )

    def __call__(self, row: dict[str, bytes]) -> dict[str, str]:
        work = vectors.tokenize(self._embedder, self._how, Shard.from_bytes(row["shard"]))
        done = vectors.embed(self._embedder, self._how, work, lambda *_: None)
        record = write_part(self._folder, done, self._options.format, self._options.dtype)
        return {"record": record.to_json()}


@contextmanager
def _cluster(address: str) -> Iterator[None]:
    """Connect to a cluster, quietly; one that this process is connected to already stays so."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address == "local":  # loopback only: Ray's own name for that is about other systems
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise EngineError("--ray needs Ray: pip install 'bge-engine[ray]'") from error
    _configure(ray.data.DataContext.get_current())
    if ray.is_initialized():
        yield
        return
    options = {"include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise EngineError(f"no Ray cluster at {address!r}: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _configure(context: Any) -> None:
    context.enable_progress_bars = False
    context.target_max_block_size = 1  # a block a shard: it is the unit that is dealt and retried
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def _our_error(error: BaseException | None) -> EngineError | None:
    """Find what an actor or a reader of ours raised inside what Ray wrapped around it."""
    while error is not None:
        if isinstance(error, EngineError):
            return error
        error = getattr(error, "cause", None) or error.__cause__
    return None
