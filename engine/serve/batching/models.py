"""The models of this service, each with its batcher and its names."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import engine
from engine import Embedder
from engine.catalog import registry
from engine.errors import CheckpointError, InputError
from engine.serve.batching.batcher import Batcher
from engine.serve.batching.request import Text
from engine.serve.http.errors import ErrorKind, HTTPError
from engine.serve.model_choices import ModelChoice
from engine.serve.settings import Settings

LoadModel = Callable[[ModelChoice, Settings], Embedder]


@dataclass(frozen=True)
class ServedModel:
    """A model and its names; Cloudflare's name comes first if it has one."""

    embedder: Embedder
    batcher: Batcher
    names: tuple[str, ...]
    default_prompt: str | None = None  # None: the checkpoint's

    @property
    def hub_name(self) -> str:
        """The model's name on the hub, or its local name."""
        return self.embedder.hub_id or self.embedder.name

    @property
    def about(self) -> dict[str, Any]:
        """What an operator wants to know."""
        embedder = self.embedder
        return {
            "names": self.names,
            "precision": embedder.precision,
            "threads": embedder.threads,
            "dimensions": embedder.dim,
            "max_tokens": embedder.max_tokens,
        }

    def prompt_named(self, name: str | None) -> str | None:
        """The prompt of that name; None for None. Raises HTTPError for a name that is not there."""
        prompts = self.embedder.prompts
        if name is not None and name not in prompts:
            known = ", ".join(prompts) or "none"
            message = f"`prompt_name` is {name[:60]!r}; this model's prompts: {known}."
            raise HTTPError(ErrorKind.INVALID, message, param="prompt_name")
        return None if name is None else prompts[name]

    def prompt_or_default(self, prompt: str | None) -> str:
        """The prompt; for None that of --default-prompt, or else the checkpoint's, or ""."""
        return self.embedder.prompt_for(None, self.default_prompt if prompt is None else prompt)

    def prompted(self, texts: Sequence[Text], prompt: str | None = None) -> Sequence[Text]:
        """The texts with the prompt before each; None means the default prompt.

        Token ids stay as they are.
        """
        prompt = self.prompt_or_default(prompt)
        return [prompt + text if isinstance(text, str) else text for text in texts]

    def read(self, texts: list[str] | list[list[int]], *, truncate: bool = True) -> list[Text]:
        """Token ids checked; strings as they are. Raises InputError, TooLong."""
        read = self.embedder.tokens_of
        return [one if isinstance(one, str) else read(one, truncate=truncate) for one in texts]


class Models:
    """All models; the first one serves the routes that name no model."""

    def __init__(self, served: Iterable[ServedModel]) -> None:
        self.all = tuple(served)
        self._by_name: dict[str, ServedModel] = {}
        for one in self.all:
            for name in one.names:
                if self._by_name.setdefault(name.lower(), one) is not one:
                    raise InputError(f"Two models have the name {name!r}; rename one of them.")

    @property
    def first(self) -> ServedModel:
        return self.all[0]

    @property
    def names(self) -> list[str]:
        """All names of all models."""
        return [name for one in self.all for name in one.names]

    def find(self, name: str) -> ServedModel:
        """The model with that name, in any letter case. Raises HTTPError NO_MODEL."""
        found = self._by_name.get(name.lower())
        if found is None:
            known = ", ".join(one.names[0] for one in self.all)
            message = f"No such model {name[:100]} or task; here are: {known}"
            raise HTTPError(ErrorKind.NO_MODEL, message, param=name)
        return found

    def given(self, name: str | None) -> ServedModel:
        """The same; without a name the only model, if there is only one."""
        if name is not None:
            return self.find(name)
        if len(self.all) > 1:
            raise HTTPError(ErrorKind.INVALID, "you must provide a model parameter", param="model")
        return self.first

    def start(self) -> None:
        for one in self.all:
            one.batcher.start()

    async def stop(self) -> None:
        """Finishes all accepted work and closes the models."""
        for one in self.all:
            await one.batcher.stop()
            await asyncio.to_thread(one.embedder.close)


def load_model(choice: ModelChoice, settings: Settings) -> Embedder:
    """Loads a model by name or folder and warms it up with a short and a long text."""
    embedder = engine.load(
        choice.source,
        precision=choice.precision or settings.precision,
        threads=choice.threads or settings.threads,
        offline=settings.offline,
    )
    prompts = (*embedder.prompts.values(), settings.default_prompt)
    if not embedder.config.include_prompt and any(prompts):
        raise CheckpointError(
            f"{embedder.name}: its pooling leaves out the prompt (include_prompt is false), "
            "which the service does not support. Use the library or `bge embed`."
        )
    embedder.encode(["warm", "warm " * embedder.max_tokens], on_truncate="ignore")
    return embedder


def names_of(embedder: Embedder, aliases: Iterable[str]) -> tuple[str, ...]:
    """Cloudflare's name and the hub's if it has one, its own, then the aliases."""
    cloudflare = registry.entry(embedder.name).cf_id if embedder.hub_id else None
    names = (cloudflare, embedder.hub_id, embedder.name, *aliases)
    return tuple(dict.fromkeys(name for name in names if name))
