"""A fixture for folders whose tests must not reach other machines: import it in their conftest."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="package", autouse=True)
def only_this_machine() -> Iterator[list[Any]]:
    """The names of other machines that were looked up. There must be none, even where a library
    ignores the error that it gets."""
    looked_up = []
    original = socket.getaddrinfo

    def getaddrinfo(host: Any, *arguments: Any, **named: Any) -> Any:
        if host not in ("127.0.0.1", "localhost", b"127.0.0.1"):
            looked_up.append(host)
            raise socket.gaierror(f"{host} is another machine")
        return original(host, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield looked_up
    assert not looked_up
