"""What decides the bytes of a job's output, and how two such descriptions differ."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from engine.errors import EngineError, InputError
from engine.jobs import chunking
from engine.jobs.embedding import How
from engine.jobs.options import Fields, Options
from engine.jobs.reading import inputs
from engine.jobs.reading.blocks import carried_schema
from engine.jobs.reading.inputs import Source
from engine.jobs.writing.shards import output_schema

if TYPE_CHECKING:
    from engine.embedder import Embedder

VERSION = 3
SHOWN = 5


def how(options: Options, embedder: "Embedder") -> How:
    """Resolve the options; the checkpoint gives those that the command leaves open."""
    kind = "query" if options.query else "document"
    if options.query and kind not in embedder.prompts:
        raise InputError(f"--query: {embedder.name} has no prompt for queries; use --prompt")
    prompt = embedder.prompt_for(kind, options.prompt)
    dim = options.truncate_dim
    if dim is not None and dim > embedder.dim:
        raise InputError(
            f"--truncate-dim {dim}: the vectors of {embedder.name} have {embedder.dim}"
            f" components; give 1 to {embedder.dim}"
        )
    if options.chunk_tokens:  # refuses what the model cannot do
        overlap, size = options.chunk_overlap, options.chunk_tokens
        embedder.chunk_spans("", chunk_tokens=size, overlap=overlap, prompt=prompt)
    return How(
        prompt or None,
        options.pooling or embedder.pooling,
        options.normalize,
        dim,
        options.dtype,
        options.chunk_tokens,
        options.chunk_overlap,
    )


def describe(
    options: Options, how: How, embedder: "Embedder", sources: list[Source], schema: pa.Schema
) -> dict[str, Any]:
    """Return the manifest, without --threads, --ray and --max-rejects: they change no bit of the
    output."""
    return {
        "version": VERSION,
        "model": embedder.name,
        "model_hash": embedder.model_hash,
        "settings_hash": embedder.settings_hash,
        "precision": embedder.precision,
        "numerics": embedder.numerics,
        "dim": how.truncate_dim or embedder.dim,
        "pooling": how.pooling,
        "prompt": how.prompt,
        "normalize": how.normalize,
        "chunk_tokens": how.chunk_tokens,
        "chunk_overlap": how.chunk_overlap if how.chunk_tokens else None,
        "text": {"literals": options.fields.text.literals, "columns": options.fields.text.columns},
        "columns": [f"{field.name}: {field.type}" for field in _written(schema, how)],
        "null": options.fields.null,
        "id": options.fields.id,
        "format": options.format,
        "dtype": options.dtype,
        "shard_rows": options.shard_rows,
        "keep_removed": options.keep_removed,
        **asdict(options.dialect),
        "inputs": inputs.fingerprints(sources),
    }


def _written(schema: pa.Schema, how: How) -> list[pa.Field]:
    return [*schema, *(chunking.COLUMNS if how.chunk_tokens else ())]


def schema_of(sources: list[Source], fields: Fields) -> pa.Schema:
    """Return the types of the other output columns. InputError: two files differ."""
    carried = carried_schema(fields)
    if sources and sources[0].format == "parquet":
        from engine.jobs.reading.columnar import parquet_schema

        carried = parquet_schema(sources[0], fields)
        for source in sources[1:]:
            if (other := parquet_schema(source, fields)) != carried:
                raise InputError(
                    f"inputs {sources[0].name!r} and {source.name!r} differ in the types of their "
                    f"columns: {_types(carried)} and {_types(other)}; run one job for each"
                )
    return output_schema(carried, fields)


def read(path: Path) -> dict[str, Any]:
    """Return the manifest of an earlier run. EngineError: damaged, or of another version."""
    try:
        manifest = json.loads(path.read_bytes())
        version = manifest["version"]
        names = [facts["name"] for facts in manifest["inputs"]] if version == VERSION else []
        whole = "text" in manifest and all(isinstance(name, str) for name in names)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _damaged(path, repr(error)) from error
    if version != VERSION:
        raise EngineError(
            f"{path} is of version {version!r}; this release reads {VERSION}. Name another output."
        )
    if not whole:
        raise _damaged(path, "the text or the names of the inputs are missing")
    return dict(manifest)


def _damaged(path: Path, why: str) -> EngineError:
    return EngineError(
        f"{path} is damaged ({why}), so the job that made the output is unknown. "
        "Restore that file, or name another output."
    )


def _types(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} {field.type}" for field in schema)


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return lines that describe how two manifests differ; none if they agree."""
    named = differing(old, new, [key for key in new if key not in ("inputs", "text", "model")])
    if old["text"] != _plain(new["text"]):
        named.append(f"text: was {old['text']}, is {_plain(new['text'])}")
    changed = list(_input_differences(old["inputs"], new["inputs"]))
    if len(changed) > SHOWN:
        changed[SHOWN:] = [f"... and {len(changed) - SHOWN} more inputs"]
    return named + changed


def differing(old: dict[str, Any], new: dict[str, Any], keys: Iterable[str]) -> list[str]:
    """Return lines that describe which of these entries differ."""
    return [
        f"{key}: was {old.get(key)!r}, is {new.get(key)!r}"
        for key in keys
        if old.get(key) != _plain(new.get(key))
    ]


def _plain(value: Any) -> Any:
    """Turn tuples into lists, as JSON does."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


def _input_differences(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> Iterator[str]:
    before = {facts["name"]: facts for facts in old}
    now = {facts["name"]: facts for facts in new}
    yield from (f"input {name!r} is missing" for name in before if name not in now)
    yield from (f"input {name!r} is new" for name in now if name not in before)
    for name in now:
        was, facts = before.get(name, now[name]), now[name]
        if keys := [key for key in facts if facts[key] != was.get(key)]:
            yield f"input {name!r} has changed: " + ", ".join(
                f"{key} was {was.get(key)}, is {facts[key]}" for key in keys
            )
    if list(before) != list(now) and sorted(before) == sorted(now):
        yield "the inputs are the same, but in another order"
