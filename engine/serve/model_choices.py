"""The models that options of `bge serve` name, and what an option says for one of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.literals import Precision


@dataclass(frozen=True)
class ModelChoice:
    """A model to serve, additional names for it, and what differs from the other models."""

    source: str
    aliases: tuple[str, ...] = ()
    precision: Precision | None = None  # None: that of the settings
    threads: int | None = None  # None: those of the settings

    @property
    def names(self) -> tuple[str, ...]:
        """What other options may call it."""
        return (self.source, *self.aliases)


def read_choices(text: str) -> tuple[ModelChoice, ...]:
    """Models separated by spaces: NAME or FOLDER, or either with =ALIAS,ALIAS."""
    return tuple(_choice(word) for word in text.split())


def _choice(word: str) -> ModelChoice:
    source, _, aliases = word.partition("=")
    if not source:
        raise ValueError("must be NAME, FOLDER or either with =ALIAS[,ALIAS...]")
    return ModelChoice(source, tuple(alias for alias in aliases.split(",") if alias))


def with_values(
    choices: Sequence[ModelChoice], field: str, by_model: Mapping[str, Any]
) -> tuple[ModelChoice, ...]:
    """The models with the field set for those that `by_model` names. ValueError for a name that
    none of them has."""
    known = [name for one in choices for name in one.names]
    for model, value in by_model.items():
        if model not in known:
            there = ", ".join(known)
            raise ValueError(f"{model}={value}: no --model is {model!r}; there are: {there}")
        choices = [replace(one, **{field: value}) if model in one.names else one for one in choices]
    return tuple(choices)
