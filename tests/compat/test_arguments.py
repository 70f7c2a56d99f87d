"""What means nothing here is refused, with what to do."""

from typing import Any

import pytest

from engine import InputError, UnknownOption
from engine.compat.arguments import ADVICE, check_device, embedder_of, name_of, refuse
from tests.support.paths import WEIGHTS
from tests.support.toy_embedder import toy_embedder


@pytest.mark.parametrize("name", [*ADVICE, "unheard_of"])
def test_values_are_refused_and_none_is_not(name: str) -> None:
    refuse({name: None})
    refuse({name: False})
    with pytest.raises(UnknownOption, match=f"^{name} is 3, which has no effect here: ."):
        refuse({name: 3})


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "mps", ["cpu", "cpu"], 0])
def test_devices(device: Any) -> None:
    import torch

    for cpu in (None, "cpu", torch.device("cpu")):
        check_device(cpu)
    with pytest.raises(InputError, match="must be 'cpu' or None: no GPU is used"):
        check_device(device)


def test_an_embedder_is_taken_as_it_is() -> None:
    embedder = toy_embedder()
    assert embedder_of(embedder) is embedder
    assert name_of(embedder) == str(embedder.folder) == str(WEIGHTS / "tiny")
    assert name_of("BAAI/bge-small-en-v1.5") == "BAAI/bge-small-en-v1.5"
    with embedder_of(WEIGHTS / "tiny", threads=1, offline=True, precision=None) as loaded:
        assert loaded.threads == 1 and loaded.dim == 40 and loaded.precision == "float32"


@pytest.mark.parametrize("options", [{"threads": 0}, {"revision": "main"}, {"precision": "int8"}])
def test_an_embedder_is_loaded_already(options: dict[str, Any]) -> None:
    embedder = toy_embedder()
    assert embedder_of(embedder, threads=None, offline=False) is embedder
    with pytest.raises(InputError, match=r"is .*, but an Embedder is given, which is loaded"):
        embedder_of(embedder, **options)
