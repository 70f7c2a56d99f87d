"""The registry of checkpoints known by name, read from registry.toml and published.json.

Any other repository on the hub gets an entry too, which has only a name.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from engine.catalog.repository_files import check_revision, is_hub_name
from engine.errors import ModelNotFound
from engine.literals import Pooling

HERE = Path(__file__).parent
# Files that a folder of a known model need not have: they repeat the content of tokenizer.json.
OPTIONAL = {"special_tokens_map.json", "tokenizer_config.json", "vocab.txt"}


@dataclass(frozen=True)
class FileFact:
    """What one file must be: its size in bytes and its SHA-256 (hex); None if unknown.

    content: the parsed content of a JSON file whose hash is unknown. optional: the folder may lack
    the file.
    """

    size: int | None = None
    sha256: str | None = None
    content: Mapping[str, Any] | None = None
    optional: bool = False

    @property
    def decides(self) -> bool:
        """Whether a change of the file's content is detected."""
        return self.sha256 is not None or self.content is not None


@dataclass(frozen=True)
class Package:
    """A Python package that contains the checkpoint.

    requirement: as for pip. folder: the path of the checkpoint inside the wheel.
    """

    requirement: str
    folder: str


@dataclass(frozen=True)
class PublishedVector:
    """Published components of the unit vector of `prompt` + `text`, from `start_index` on.

    tolerance: the largest absolute difference that is accepted.
    """

    text: str
    pooling: Pooling
    values: tuple[float, ...]
    tolerance: float
    source: str
    prompt: str = ""
    start_index: int = 0


@dataclass(frozen=True)
class PublishedCosine:
    """Published cosine of the vectors of `prompt_a` + `a` and of `b`.

    tolerance: the largest absolute difference that is accepted.
    """

    a: str
    b: str
    pooling: Pooling
    cosine: float
    tolerance: float
    source: str
    prompt_a: str = ""


@dataclass(frozen=True)
class Entry:
    """A checkpoint. `files` is empty if none of its files is pinned.

    The sizes are None for a repository that the registry does not know. `folder` is the name of
    its folder: `name` with "--" for "/", and with the revision if `at` set one.
    """

    name: str
    hub_id: str
    pooling: Pooling | None = None
    dim: int | None = None
    layers: int | None = None
    heads: int | None = None
    ffn: int | None = None
    revision: str | None = None
    cf_id: str | None = None
    licence: str | None = None
    max_tokens: int | None = None
    prompts: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, FileFact] = field(default_factory=dict)
    pypi: Package | None = None
    folder: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", self.folder or self.name.replace("/", "--"))

    @cached_property
    def published(self) -> tuple[PublishedVector, ...]:
        """Vectors that other implementations computed with this checkpoint."""
        rows = _published().get(self.name, {}).get("vectors", ())
        return tuple(PublishedVector(**{**row, "values": tuple(row["values"])}) for row in rows)

    @cached_property
    def cosines(self) -> tuple[PublishedCosine, ...]:
        """Cosines that other implementations computed with this checkpoint."""
        rows = _published().get(self.name, {}).get("cosines", ())
        return tuple(PublishedCosine(**row) for row in rows)

    @property
    def spellings(self) -> set[str]:
        """All names of this checkpoint, in lower case."""
        names = (self.name, self.hub_id, self.cf_id)
        return {name.lower() for name in names if name is not None}

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes that config.json must have, by its field names; empty if none is known."""
        named = {
            "hidden_size": self.dim,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "intermediate_size": self.ffn,
        }
        return {field: size for field, size in named.items() if size is not None}

    @property
    def size(self) -> int | None:
        """Bytes to download, without small files of unknown size; None if nothing is pinned."""
        weights = self.files.get("model.safetensors", FileFact()).size
        return weights and sum(fact.size or 0 for fact in self.files.values())

    @property
    def command(self) -> str:
        """The command that downloads it."""
        other = f" --revision {self.revision}" if "@" in self.folder else ""
        return f"bge pull {self.name}{other}"

    def at(self, revision: str | None) -> "Entry":
        """This checkpoint at another revision, with no pinned files and another folder name.

        None or the pinned revision returns the entry itself. Raises InputError for an invalid
        revision.
        """
        check_revision(revision)
        if revision in (None, self.revision):
            return self
        folder = f"{self.name}@{revision}".replace("/", "--")
        return replace(self, folder=folder, revision=revision, files={}, pypi=None)


def entries() -> tuple[Entry, ...]:
    """All checkpoints of the registry."""
    return tuple(_registry()[0].values())


def entry(name: str) -> Entry:
    """The checkpoint of that name: its name here, on the hub or at Cloudflare, in any case.

    An "org/name" that the registry does not know becomes an entry for that repository of the hub,
    which may not exist. Raises ModelNotFound, which suggests similar names.
    """
    refused, wanted = _registry()[1], name.strip().lower()
    for each in entries():
        if wanted in each.spellings:
            return each
    for hub_id, kind in refused.items():
        if wanted in (hub_id, hub_id.partition("/")[2]):
            raise ModelNotFound(
                f"{name!r} is not a plain BERT ({kind}); only plain BERT models are supported. "
                "`bge models` lists some."
            )
    if is_hub_name(name.strip()):
        return Entry(name.strip(), name.strip())
    raise ModelNotFound(f"No model is known as {name!r}. {near(name)}")


def is_known(name: str) -> bool:
    """Whether the registry has a model of that name (any of its names, in any case)."""
    return any(name.strip().lower() in each.spellings for each in entries())


def near(name: str) -> str:
    """The advice for an unknown name: similar names, and how to list all."""
    from difflib import get_close_matches

    names = {each.name.lower(): each.name for each in entries()}
    last = name.strip().lower().rpartition("/")[2]
    close = [names[found] for found in get_close_matches(last, names, n=3, cutoff=0.6)]
    meant = f"Did you mean {' or '.join(close)}? " if close else ""
    return (
        f"{meant}`bge models` lists the names. You can also give the hub's name of any plain BERT "
        "(org/name), or the path of a checkpoint's folder (./folder)."
    )


@cache
def _registry() -> tuple[dict[str, Entry], dict[str, str]]:
    """Known checkpoints by name, and the refused names with the reasons."""
    import tomllib

    tables = tomllib.loads((HERE / "registry.toml").read_text("utf-8"))
    refused = {name.lower(): kind for name, kind in tables.pop("refused").items()}
    return {name: _entry(name, table) for name, table in tables.items()}, refused


def _entry(name: str, table: dict[str, Any]) -> Entry:
    rows = table.pop("files", {})
    files = {path: FileFact(**row, optional=path in OPTIONAL) for path, row in rows.items()}
    package = table.pop("pypi", None)
    return Entry(
        name=name,
        hub_id=table.pop("hub"),
        cf_id=table.pop("cloudflare", None),
        files=files,
        pypi=Package(package["package"], package["folder"]) if package else None,
        **table,
    )


@cache
def _published() -> dict[str, Any]:
    published: dict[str, Any] = json.loads((HERE / "published.json").read_text("utf-8"))
    return published
