"""Arguments of other libraries that mean nothing here, and those that cannot be honoured."""

from pathlib import Path
from typing import Any

from engine import Embedder, InputError, UnknownOption, load

NO_POOL = "leave it out: encode uses all cores, in threads"
CACHE = "set HF_HUB_CACHE, or give the folder of the checkpoint instead of its name"
ADVICE = {
    "backend": "leave it out: the engine is the only one",
    "cache_dir": CACHE,
    "cache_folder": CACHE,
    "chunk_size": NO_POOL,
    "cuda": "leave it out: the engine computes on CPUs",
    "device_ids": "leave it out: the engine computes on CPUs",
    "model_kwargs": "leave it out; engine.load takes a precision",
    "modules": "give the folder of a checkpoint",
    "pool": NO_POOL,
    "providers": "leave it out: the engine computes on CPUs",
    "token": "set HF_TOKEN",
    "use_auth_token": "set HF_TOKEN",
}


def refuse(options: dict[str, object]) -> None:
    """UnknownOption if one is given."""
    for name, value in given(options).items():
        raise UnknownOption(
            f"{name} is {value!r}, which has no effect here: "
            f"{ADVICE.get(name, 'leave it out; there is no such option')}."
        )


def given(options: dict[str, Any]) -> dict[str, Any]:
    """Those that are neither None nor false, which are as if they had been left out."""
    return {
        name: value for name, value in options.items() if value is not None and value is not False
    }


def check_device(device: object) -> None:
    """InputError unless it is None or the CPU, also as a torch.device."""
    if device is not None and str(device) != "cpu":
        raise InputError(f"device is {device!r}; it must be 'cpu' or None: no GPU is used.")


def embedder_of(model: str | Path | Embedder, **options: Any) -> Embedder:
    """The embedder itself, or that of `engine.load` with the options that are given.

    Raises InputError for options beside an embedder, which is loaded already.
    """
    options = given(options)
    if not isinstance(model, Embedder):
        return load(model, **options)
    for name, value in options.items():
        raise InputError(
            f"{name} is {value!r}, but an Embedder is given, which is loaded already; "
            "leave it out, or give it to engine.load."
        )
    return model


def name_of(model: str | Path | Embedder) -> str:
    """What `engine.load` loads the model again by: the name given, or the folder."""
    return str(model.folder if isinstance(model, Embedder) else model)
