"""The models of this service, each with its batcher, found by any of their names."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import engine
from engine import Embedder
from engine.catalog import registry
from engine.errors import CheckpointError, InputError
from engine.serve.batching.batcher import Batcher
from engine.serve.http.errors import Kind, Problem
from engine.serve.settings import ModelChoice, Settings

Load = Callable[[ModelChoice, Settings], Embedder]


@dataclass(frozen=True)
class Served:
    """A model and all the names it answers to, Cloudflare's first where it has one."""

    embedder: Embedder
    batcher: Batcher
    names: tuple[str, ...]

    @property
    def hub_name(self) -> str:
        """As the hub calls it, or its own name where the hub does not know it."""
        return self.embedder.hub_id or self.embedder.name

    def prompted(self, texts: Sequence[str], prompt: str | None = None) -> Sequence[str]:
        """Each text after the prompt; None means the checkpoint's default, as in the library."""
        prompt = self.embedder.default_prompt if prompt is None else prompt
        return [prompt + text for text in texts] if prompt else texts


class Models:
    """All of them; the first is the one for routes that name no model."""

    def __init__(self, served: Iterable[Served]) -> None:
        self.all = tuple(served)
        self._by_name: dict[str, Served] = {}
        for one in self.all:
            for name in one.names:
                if self._by_name.setdefault(name.lower(), one) is not one:
                    raise InputError(f"Two models answer to {name!r}; give one another name.")

    @property
    def first(self) -> Served:
        return self.all[0]

    @property
    def full(self) -> bool:
        """None of them takes a text now."""
        return all(one.batcher.full for one in self.all)

    @property
    def backlog(self) -> float:
        """Seconds until the first of them has computed what waits."""
        return min(one.batcher.backlog for one in self.all)

    def find(self, name: str) -> Served:
        """Any name, in any case. Raises Problem NO_MODEL."""
        found = self._by_name.get(name.lower())
        if found is None:
            known = ", ".join(one.names[0] for one in self.all)
            raise Problem(
                Kind.NO_MODEL, f"No such model {name[:100]} or task; here are: {known}", param=name
            )
        return found

    def start(self) -> None:
        for one in self.all:
            one.batcher.start()

    async def stop(self) -> None:
        """Finishes what was accepted and releases the models."""
        for one in self.all:
            await one.batcher.stop()
            await asyncio.to_thread(one.embedder.close)


def load_model(choice: ModelChoice, settings: Settings) -> Embedder:
    """From a name or a folder, and warm: a text of every length class has been computed."""
    embedder = engine.load(
        choice.source,
        precision=settings.precision,
        threads=settings.threads,
        offline=settings.offline,
    )
    if not embedder.config.include_prompt and any(embedder.prompts.values()):
        raise CheckpointError(
            f"{embedder.name}: its pooling leaves out the prompt (include_prompt is false), "
            "which the service does not compute. Use the library or `bge embed`."
        )
    embedder.encode(["warm", "warm " * embedder.max_tokens], on_truncate="ignore")
    return embedder


def names_of(embedder: Embedder, aliases: Iterable[str]) -> tuple[str, ...]:
    """Cloudflare's name and the hub's where they have one, its own, then the aliases."""
    cloudflare = registry.entry(embedder.name).cf_id if embedder.hub_id else None
    names = (cloudflare, embedder.hub_id, embedder.name, *aliases)
    return tuple(dict.fromkeys(name for name in names if name))
