"""More clients than a server can serve in time: what can be served is served."""

import asyncio
import time

import openai

from tests.serve.serving import fake_server

CLIENTS, TEXTS = 16, ["eight words are ten tokens of this model"] * 64
LIMIT, SECONDS = 6.0, 20.0  # of a request, and of the test
A_REQUEST = 1.0  # what one takes the model alone, so six fit in the limit


def test_clients_that_retry_get_what_the_server_can_do():
    slow = {"FAKE_SECONDS_A_TOKEN": str(A_REQUEST / (10 * len(TEXTS)))}
    options = ("--request-timeout", str(LIMIT), "--max-batch-tokens", "256")
    with fake_server(*options, **slow) as server:
        counts = asyncio.run(load(f"{server.url}/v1"))
    assert counts["served"] >= 0.85 * SECONDS / A_REQUEST, counts
    assert counts["timeouts"] <= 2, counts  # before the rate is known


async def load(url: str) -> dict[str, int]:
    """So many clients for so long, each with the client's own retries."""
    counts = {"served": 0, "refused": 0, "timeouts": 0}
    began = time.monotonic()

    async def client() -> None:
        async with openai.AsyncOpenAI(api_key="none", base_url=url) as one:
            while time.monotonic() - began < SECONDS:
                try:
                    await one.embeddings.create(model="fake", input=TEXTS)
                    counts["served"] += time.monotonic() - began < SECONDS
                except openai.RateLimitError:
                    counts["refused"] += 1
                except openai.APIStatusError as error:
                    assert error.status_code == 408
                    counts["timeouts"] += 1

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return counts
