"""/tokenize and /decode beside each other, and large ones."""

import asyncio
import json
from types import SimpleNamespace

from engine.serve.dialects.tei.tokens import SLICE, TokenRoutes
from tests.serve.fake_embedder import FakeEmbedder

SERVED = SimpleNamespace(embedder=FakeEmbedder())


def test_slices_make_one_array():
    texts = ["word " * (2 * SLICE + 3), "", "two words"]
    found = json.loads(asyncio.run(TokenRoutes().tokenize(SERVED, texts, special=True)))
    assert [len(tokens) for tokens in found] == [2 * SLICE + 5, 2, 4]
    assert [token["id"] for token in found[2]] == [1, 3, 5, 2]
    assert found[0][-2] == {
        "id": 4,
        "text": "word",
        "special": False,
        "start": 5 * (2 * SLICE + 2),
        "stop": 5 * (2 * SLICE + 2) + 4,
    }


def test_several_at_once():
    async def work():
        routes = TokenRoutes()
        tasks = [routes.decode(SERVED, [[3, 4 + i % 3]], True) for i in range(10)]
        return await asyncio.gather(*tasks)

    assert asyncio.run(work()) == [["www " + "w" * (4 + i % 3)] for i in range(10)]
