"""Texts to tokens and back, for /tokenize and /decode: in threads, and bounded."""

import asyncio
from collections.abc import Sequence
from typing import Any

from engine.serve.batching.models import ServedModel
from engine.serve.http.errors import ErrorKind, HTTPError
from engine.serve.http.messages import to_json

MAX_CHARACTERS = 200_000  # for /tokenize; a token takes 300 bytes until it is sent
MAX_IDS = 200_000  # for /decode
SLOTS = 2  # requests at once
SLICE = 1024  # tokens serialised at once; a thread that serialises all stops the others


class TokenRoutes:
    """What the two routes compute. Raises HTTPError for too much, InputError for unknown ids."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(SLOTS)

    async def tokenize(self, served: ServedModel, texts: Sequence[Any], special: bool) -> bytes:
        """JSON: for each text a list of its tokens."""
        _check_size(sum(map(len, texts)), MAX_CHARACTERS, "`inputs` has {} characters")

        def work() -> bytes:
            found = served.embedder.token_details(texts, add_special_tokens=special)
            return b"[%b]" % b",".join(map(_to_json, found))

        async with self._slots:
            return await asyncio.to_thread(work)

    async def decode(
        self, served: ServedModel, ids: Sequence[list[int]], skip_special: bool
    ) -> list[str]:
        """The text of each list of ids."""
        _check_size(sum(map(len, ids)), MAX_IDS, "`ids` has {} token ids")
        decode = served.embedder.decode

        def work() -> list[str]:
            return [decode(each, skip_special_tokens=skip_special) for each in ids]

        async with self._slots:
            return await asyncio.to_thread(work)


def _check_size(size: int, most: int, what: str) -> None:
    if size > most:
        raise HTTPError(ErrorKind.INVALID, f"{what.format(size)}; the limit is {most}.")


def _to_json(tokens: Sequence[Any]) -> bytes:
    slices = (tokens[start : start + SLICE] for start in range(0, len(tokens), SLICE))
    return b"[%b]" % b",".join(to_json([_token(token) for token in one])[1:-1] for one in slices)


def _token(token: Any) -> dict[str, Any]:
    return {name: getattr(token, name) for name in ("id", "text", "special", "start", "stop")}
