"""What decides the bytes of a job's output, and how two such descriptions differ."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from engine.errors import EngineError, InputError
from engine.jobs.embedding import How
from engine.jobs.options import Fields, Options
from engine.jobs.reading import inputs
from engine.jobs.reading.inputs import Source
from engine.jobs.writing.shards import output_schema

if TYPE_CHECKING:
    from engine.embedder import Embedder

VERSION = 1
SHOWN = 5


def how(options: Options, embedder: "Embedder") -> How:
    """Fill in what the checkpoint says where the command says nothing."""
    kind = "query" if options.query else "document"
    if options.query and kind not in embedder.prompts:
        raise InputError(f"--query: {embedder.name} has no prompt for queries; give it by --prompt")
    prompt = embedder.prompts.get(kind) if options.prompt is None else options.prompt
    dim = options.truncate_dim
    if dim is not None and dim > embedder.dim:
        raise InputError(
            f"--truncate-dim {dim}: the vectors of {embedder.name} have {embedder.dim}"
            f" components; give 1 to {embedder.dim}"
        )
    return How(prompt or None, options.pooling or embedder.pooling, options.normalize, dim)


def describe(
    options: Options, how: How, embedder: "Embedder", sources: list[Source], schema: pa.Schema
) -> dict[str, Any]:
    """Return the manifest. Neither threads nor --ray nor --max-rejects are in it: no bit of the
    output depends on them."""
    return {
        "version": VERSION,
        "model": embedder.name,
        "model_hash": embedder.model_hash,
        "precision": embedder.precision,
        "dim": how.truncate_dim or embedder.dim,
        "pooling": how.pooling,
        "prompt": how.prompt,
        "normalize": how.normalize,
        "text": {"literals": options.fields.text.literals, "columns": options.fields.text.columns},
        "columns": [f"{field.name}: {field.type}" for field in schema],
        "id": options.fields.id,
        "format": options.format,
        "dtype": options.dtype,
        "shard_rows": options.shard_rows,
        "inputs": inputs.fingerprints(sources),
    }


def schema_of(sources: list[Source], fields: Fields) -> pa.Schema:
    """Return the types of the columns beside the vectors. InputError: two files do not agree."""
    carried = pa.schema([(name, pa.string()) for name in fields.carried])
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
    """Return the manifest that a job has written. EngineError: damaged, or of another version."""
    try:
        manifest = json.loads(path.read_bytes())
        version = manifest["version"]
        names = [facts["name"] for facts in manifest["inputs"]] if version == VERSION else []
        whole = "text" in manifest and all(isinstance(name, str) for name in names)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _damaged(path, repr(error)) from error
    if version != VERSION:
        raise EngineError(f"{path} is of version {version!r}; this is {VERSION}")
    if not whole:
        raise _damaged(path, "it lacks the text or the names of the inputs")
    return dict(manifest)


def _damaged(path: Path, why: str) -> EngineError:
    return EngineError(
        f"{path} is damaged ({why}): what the output was made of is not known. Restore that file, "
        "or name another output."
    )


def _types(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} {field.type}" for field in schema)


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Say in lines what another manifest has otherwise; none when the two agree."""
    named = [
        f"{key}: {old.get(key)!r} there, {new[key]!r} asked now"
        for key in new
        if key not in ("inputs", "text", "model") and old.get(key) != _plain(new[key])
    ]
    if old["text"] != _plain(new["text"]):
        named.append(f"text: made of {old['text']} there, of {_plain(new['text'])} asked now")
    changed = list(_input_differences(old["inputs"], new["inputs"]))
    if len(changed) > SHOWN:
        changed[SHOWN:] = [f"... and {len(changed) - SHOWN} more inputs"]
    return named + changed


def _plain(value: Any) -> Any:
    """Make of tuples the lists that JSON makes of them."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


def _input_differences(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> Iterator[str]:
    before = {facts["name"]: facts for facts in old}
    now = {facts["name"]: facts for facts in new}
    yield from (f"input {name!r} is gone" for name in before if name not in now)
    yield from (f"input {name!r} is new" for name in now if name not in before)
    for name in now:
        was, facts = before.get(name, now[name]), now[name]
        if keys := [key for key in facts if facts[key] != was.get(key)]:
            yield f"input {name!r} has changed: " + ", ".join(
                f"{key} was {was.get(key)}, is {facts[key]}" for key in keys
            )
    if list(before) != list(now) and sorted(before) == sorted(now):
        yield "the inputs are the same, but in another order"
