"""The checkpoints known by name, and what is known of each: registry.toml and published.json."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from engine.errors import ModelNotFound

HERE = Path(__file__).parent
# The engine does not read these: they are fetched so that other libraries can open the folder too.
FOR_OTHERS = {"modules.json", "special_tokens_map.json", "tokenizer_config.json", "vocab.txt"}


@dataclass(frozen=True)
class FileFact:
    """Size in bytes and SHA-256 (hex) of one file; None where it is not known."""

    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Package:
    """A Python package that carries the checkpoint: the requirement, and the folder inside it."""

    requirement: str
    folder: str


@dataclass(frozen=True)
class PublishedVector:
    """Components `start_index`, `start_index` + 1, ... of the unit vector of `prompt` + `text`."""

    text: str
    pooling: str
    values: tuple[float, ...]
    tolerance: float
    source: str
    prompt: str = ""
    start_index: int = 0


@dataclass(frozen=True)
class PublishedCosine:
    """Cosine of the vectors of `prompt_a` + `a` and of `b`."""

    a: str
    b: str
    pooling: str
    cosine: float
    tolerance: float
    source: str
    prompt_a: str = ""


@dataclass(frozen=True)
class Entry:
    """A known checkpoint. `files` is empty where the registry pins no file of it.

    `folder` is what its folder is called wherever it is kept: the name, unless `at` says otherwise.
    """

    name: str
    hub_id: str
    pooling: str
    dim: int
    layers: int
    heads: int
    ffn: int
    revision: str | None = None
    cf_id: str | None = None
    licence: str | None = None
    max_tokens: int | None = None
    prompts: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, FileFact] = field(default_factory=dict)
    pypi: Package | None = None
    folder: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", self.folder or self.name)

    @cached_property
    def published(self) -> tuple[PublishedVector, ...]:
        """Vectors that others computed with this checkpoint."""
        rows = _published().get(self.name, {}).get("vectors", ())
        return tuple(PublishedVector(**{**row, "values": tuple(row["values"])}) for row in rows)

    @cached_property
    def cosines(self) -> tuple[PublishedCosine, ...]:
        """Cosines that others computed with this checkpoint."""
        rows = _published().get(self.name, {}).get("cosines", ())
        return tuple(PublishedCosine(**row) for row in rows)

    @property
    def size(self) -> int | None:
        """Bytes to fetch, but for small files of unknown size; None where nothing is pinned."""
        weights = self.files.get("model.safetensors", FileFact()).size
        return weights and sum(fact.size or 0 for fact in self.files.values())

    @property
    def command(self) -> str:
        """What a user types to fetch it."""
        other = f" --revision {self.revision}" if self.folder != self.name else ""
        return f"bge pull {self.name}{other}"

    def at(self, revision: str | None) -> "Entry":
        """This checkpoint at another revision: nothing is pinned, its folder has another name."""
        if revision in (None, self.revision):
            return self
        folder = f"{self.name}@{revision}".replace("/", "--")
        return replace(self, folder=folder, revision=revision, files={}, pypi=None)


def entries() -> tuple[Entry, ...]:
    """All known checkpoints."""
    return tuple(_registry()[0].values())


def entry(name: str) -> Entry:
    """The checkpoint of that name: ours, the hub's or Cloudflare's, in any case of letters.

    Raises ModelNotFound, with near names.
    """
    known, refused = _registry()
    wanted = name.strip().lower()
    for each in known.values():
        if wanted in (each.name.lower(), each.hub_id.lower(), each.cf_id):
            return each
    kind = refused.get(wanted.rpartition("/")[2])
    if kind:
        raise ModelNotFound(f"{name!r} is no plain BERT ({kind}), and only BERT is computed here.")
    raise ModelNotFound(f"No model is known as {name!r}. {_near(wanted)}")


def _near(wanted: str) -> str:
    """What to do about an unknown name: the near ones, or the list of all."""
    from difflib import get_close_matches

    names = {each.name.lower(): each.name for each in entries()}
    close = get_close_matches(wanted.rpartition("/")[2], names, n=3, cutoff=0.6)
    meant = f"Did you mean {' or '.join(names[name] for name in close)}? " if close else ""
    return meant + "`bge models` lists the names; the path of a checkpoint's folder will do too."


@cache
def _registry() -> tuple[dict[str, Entry], dict[str, str]]:
    """Known checkpoints by name, and the reasons why some other names are refused."""
    import tomllib

    tables = tomllib.loads((HERE / "registry.toml").read_text("utf-8"))
    refused = {name.lower(): kind for name, kind in tables.pop("refused").items()}
    return {name: _entry(name, table) for name, table in tables.items()}, refused


def _entry(name: str, table: dict[str, Any]) -> Entry:
    files = {path: FileFact(**fact) for path, fact in table.pop("files", {}).items()}
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
