"""Batching of requests, with a fake model that can be paused."""

import asyncio
import contextlib

import numpy as np
import pytest

from engine import TooLong
from engine.serve.batching.batcher import LONG_TEXT, Batcher
from engine.serve.batching.models import ServedModel
from engine.serve.batching.request import WorkOptions
from engine.serve.http.errors import ErrorKind, HTTPError
from tests.serve.fake_embedder import FakeEmbedder

MEAN = WorkOptions("mean")


@contextlib.asynccontextmanager
async def batching(embedder, **limits):
    limits = {"batch_tokens": 256, "waiting_texts": 64, "waiting_tokens": 4096, **limits}
    batcher = Batcher(embedder, **limits)
    batcher.start()
    try:
        yield batcher
    finally:
        embedder.free.set()
        await batcher.stop()


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


async def hold(batcher):
    """Gives the model a text, which it computes until `embedder.free` is set."""
    batcher.embedder.free.clear()
    seen = len(batcher.embedder.batches)
    held = asyncio.create_task(batcher.embed(["held"], MEAN))
    await until(lambda: len(batcher.embedder.batches) > seen)
    return held


def run(test):
    asyncio.run(asyncio.wait_for(test, 20))


def test_vectors_equal_those_of_encode():
    async def test():
        embedder = FakeEmbedder()
        texts = ["one two three", "four", "", "five six " * 40]
        async with batching(embedder) as batcher:
            work = await batcher.embed(texts, WorkOptions(pooling="mean"))
            assert np.array_equal(work.vectors(), embedder.encode(texts, pooling="mean"))
            short = work.vectors(normalize=False, truncate_dim=5)
            assert np.array_equal(
                short, embedder.encode(texts, pooling="mean", normalize=False, truncate_dim=5)
            )
            assert work.truncated == 1
            assert work.tokens == sum(map(len, embedder.tokenize(texts)))

    run(test())


def test_concurrent_requests_share_a_batch():
    async def test():
        embedder = FakeEmbedder()
        async with batching(embedder) as batcher:
            first = await hold(batcher)
            texts = [f"{'w' * i} text" for i in range(1, 21)]
            choices = [WorkOptions(pooling="mean" if i % 2 else "cls") for i in range(20)]
            jobs = [
                asyncio.create_task(batcher.embed([text], options))
                for text, options in zip(texts, choices, strict=True)
            ]
            await until(lambda: sum(map(len, embedder.tokenised)) == 21)
            embedder.free.set()
            await first
            for task, text, options in zip(jobs, texts, choices, strict=True):
                vectors = (await task).vectors()
                assert np.array_equal(vectors, embedder.encode([text], pooling=options.pooling))
            assert len(embedder.batches[1]) == 20  # one batch for all that waited

    run(test())


def test_batches_stay_within_the_token_budget():
    async def test():
        embedder = FakeEmbedder()
        async with batching(embedder, batch_tokens=100, waiting_texts=1000) as batcher:
            await batcher.embed(["a b c d e f g h"] * 50, MEAN)
            assert max(map(sum, embedder.batches)) <= 100
            assert sum(map(len, embedder.batches)) == 50

    run(test())


@pytest.mark.slow
def test_a_single_text_overtakes_a_large_request():
    async def test():
        embedder = FakeEmbedder(seconds_a_token=0.0001)
        async with batching(embedder, batch_tokens=128) as batcher:
            large = asyncio.create_task(batcher.embed(["a b c d e f"] * 1000, MEAN))
            await until(lambda: len(embedder.batches) > 2)
            await batcher.embed(["quick"], MEAN)
            assert not large.done()
            assert len((await large).rows) == 1000

    run(test())


def test_a_large_request_leaves_room_for_others_and_a_full_queue_refuses():
    async def test():
        embedder = FakeEmbedder()
        async with batching(embedder, waiting_texts=16) as batcher:
            embedder.free.clear()
            tasks = [asyncio.create_task(batcher.embed(["x"] * 500, MEAN))]
            await until(lambda: batcher.waiting == 2)  # an eighth of the limit
            tasks += [asyncio.create_task(batcher.embed(["x"], MEAN)) for _ in range(14)]
            await until(lambda: batcher.waiting == 16)
            with pytest.raises(HTTPError) as caught:
                await asyncio.wait_for(batcher.embed(["x"], MEAN), 1)
            assert caught.value.kind is ErrorKind.OVERLOADED
            assert caught.value.retry_after >= 1
            queued = asyncio.create_task(batcher.embed(["x"], WorkOptions("mean", background=True)))
            embedder.free.set()
            await asyncio.gather(*tasks, queued)
            assert batcher.waiting == 0

    run(test())


def test_tokens_fill_the_queue_like_texts():
    async def test():
        embedder = FakeEmbedder()
        async with batching(embedder, waiting_tokens=400, waiting_texts=10_000) as batcher:
            embedder.free.clear()
            text = "w " * 60
            tasks = [asyncio.create_task(batcher.embed([text], MEAN)) for _ in range(14)]
            await until(lambda: sum(map(len, embedder.tokenised)) == 14)
            with pytest.raises(HTTPError) as caught:
                for _ in range(20):
                    tasks.append(asyncio.create_task(batcher.embed([text], MEAN)))
                    await asyncio.sleep(0.01)
                await batcher.embed([text], MEAN)
            assert caught.value.kind is ErrorKind.OVERLOADED
            embedder.free.set()
            await asyncio.gather(*tasks, return_exceptions=True)

    run(test())


def test_only_if_idle_refuses_instead_of_waiting():
    async def test():
        embedder = FakeEmbedder()
        async with batching(embedder) as batcher:
            await batcher.embed(["idle"], WorkOptions("mean", only_if_idle=True))
            busy = await hold(batcher)
            with pytest.raises(HTTPError):
                await batcher.embed(["no"], WorkOptions("mean", only_if_idle=True))
            embedder.free.set()
            await busy

    run(test())


def test_texts_of_a_cancelled_caller_are_not_computed():
    async def test():
        embedder = FakeEmbedder()
        async with batching(embedder) as batcher:
            held = await hold(batcher)
            gone = asyncio.create_task(batcher.embed(["a b c"] * 5, MEAN))
            await until(lambda: sum(map(len, embedder.tokenised)) == 6)
            gone.cancel()
            with pytest.raises(asyncio.CancelledError):
                await gone
            assert batcher.waiting == 1
            embedder.free.set()
            await held
            await batcher.embed(["last"], MEAN)
            assert embedder.batches == [[3], [3]]

    run(test())


def test_a_failing_batch_fails_its_requests_and_the_next_one_works():
    async def test():
        embedder = FakeEmbedder()
        async with batching(embedder) as batcher:
            with pytest.raises(HTTPError) as caught:
                await batcher.embed(["w" * 666], MEAN)
            assert caught.value.kind is ErrorKind.BACKEND
            assert len((await batcher.embed(["fine"], MEAN)).rows) == 1

    run(test())


class Panic(BaseException):
    """What pyo3 raises for a panic in Rust."""


def test_a_panic_does_not_end_a_thread(monkeypatch):
    async def test():
        embedder = FakeEmbedder()
        tokenize, encode = embedder.tokenize, embedder.encode_tokens

        def panicking(compute, bad):
            def request(items, **options):
                if bad(items):
                    raise Panic("the library is broken")
                return compute(items, **options)

            return request

        monkeypatch.setattr(embedder, "tokenize", panicking(tokenize, lambda t: "bad" in t))
        seven = panicking(encode, lambda t: any(7 in one.ids for one in t))
        monkeypatch.setattr(embedder, "encode_tokens", seven)
        async with batching(embedder) as batcher:
            for text in ("bad", "w" * 7):
                with pytest.raises(HTTPError) as caught:
                    await batcher.embed([text], MEAN)
                assert caught.value.kind is ErrorKind.BACKEND
                assert len((await batcher.embed(["fine"], MEAN)).rows) == 1

    run(test())


def test_retry_after_is_the_time_to_compute_half_of_the_queue():
    batcher = Batcher(FakeEmbedder(), batch_tokens=8, waiting_texts=8, waiting_tokens=99_999)
    for load, rate, seconds in ((0, 10.0, 1), (40, 10.0, 2), (90, 10.0, 5), (9_000, 10.0, 60)):
        batcher._ready.load, batcher._forecast.rate = load, rate
        assert batcher._overloaded().retry_after == seconds


def test_work_that_would_end_too_late_is_refused_at_once():
    async def test():
        async with batching(FakeEmbedder(), seconds=10.0, waiting_texts=9999) as batcher:
            batcher._forecast.rate = 100.0  # so 39 texts of 26 units end in time, alone
            text = "x" * 96
            with pytest.raises(HTTPError, match=r"about 16 seconds.*Send at most 38") as never:
                await batcher.embed([text] * 62, MEAN)
            assert never.value.kind is ErrorKind.INVALID
            held = await hold(batcher)
            first = asyncio.create_task(batcher.embed([text] * 30, MEAN))
            await until(lambda: batcher.waiting == 31)
            with pytest.raises(HTTPError, match="would not end within 10 seconds") as later:
                await batcher.embed([text] * 30, MEAN)
            assert (later.value.kind, later.value.retry_after) == (ErrorKind.OVERLOADED, 8)
            small = asyncio.create_task(batcher.embed([text], MEAN))
            batcher.embedder.free.set()
            done = await asyncio.gather(held, first, small)
            assert [len(work.rows) for work in done] == [1, 30, 1]

    run(test())


def test_a_vector_that_is_not_finite_fails_only_its_request():
    async def test():
        embedder = FakeEmbedder()
        async with batching(embedder) as batcher:
            held = await hold(batcher)
            asked = [["good"], ["also", "w" * 777], ["fine", "too"]]
            jobs = [asyncio.create_task(batcher.embed(texts, MEAN)) for texts in asked]
            await until(lambda: batcher._ready.load == 3 * 5)
            embedder.free.set()
            good, bad, fine = await asyncio.gather(*jobs, return_exceptions=True)
            await held
            assert [len(length) for length in embedder.batches] == [1, 5, 3]
            assert isinstance(bad, HTTPError) and bad.kind is ErrorKind.BACKEND
            assert "text 1 of this request is not finite" in bad.message
            assert np.array_equal(good.vectors(), embedder.encode(["good"], pooling="mean"))
            assert np.array_equal(fine.vectors(), embedder.encode(["fine", "too"], pooling="mean"))
            assert len((await batcher.embed(["next"], MEAN)).rows) == 1
            assert batcher.waiting == 0

    run(test())


def test_a_text_that_may_not_be_truncated_is_too_long():
    async def test():
        embedder = FakeEmbedder()
        async with batching(embedder) as batcher:
            with pytest.raises(TooLong, match=r"less than 64 tokens[.] Given: 102"):
                await batcher.embed(["fine", "w " * 100], WorkOptions("mean", truncate=False))
            left = await batcher.embed(
                ["w " * 100 + "last"], WorkOptions("mean", truncation_side="left")
            )
            assert left.truncated == 1
            same = embedder.encode(["w " * 61 + "last"], pooling="mean")
            assert np.array_equal(left.vectors(), same)

    run(test())


def test_long_texts_are_tokenised_separately():
    async def test():
        embedder = FakeEmbedder()
        async with batching(embedder) as batcher:
            work = await batcher.embed(["short", "w" * (LONG_TEXT + 1), "brief"], MEAN)
            assert sorted(embedder.tokenised) == [["short", "brief"], ["w" * (LONG_TEXT + 1)]]
            assert len(work.vectors()) == 3

    run(test())


def test_the_end_of_a_long_text_is_not_counted():
    async def test():
        embedder = FakeEmbedder()
        long = "some words " * 100_000
        async with batching(embedder) as batcher:
            work = await batcher.embed([long, "short"], WorkOptions(pooling="cls"))
            assert np.array_equal(work.vectors(), embedder.encode([long, "short"]))
            assert work.truncated == 1
            left = await batcher.embed([long], WorkOptions(pooling="cls", truncation_side="left"))
            assert np.array_equal(left.vectors(), embedder.encode(["some words " * 31]))
            with pytest.raises(TooLong, match="Given: at least 65"):
                await batcher.embed([long], WorkOptions("mean", truncate=False))
            with pytest.raises(TooLong, match=r"Given: 202$"):
                await batcher.embed([long[:1_100]], WorkOptions("mean", truncate=False))
        assert not any(embedder.counted)

    run(test())


def test_token_vectors_and_pooled_vectors_in_one_batch():
    async def test():
        embedder = FakeEmbedder()
        async with batching(embedder) as batcher:
            held = await hold(batcher)
            pooled = asyncio.create_task(batcher.embed(["a bb"], MEAN))
            each = asyncio.create_task(
                batcher.embed(["ccc d"], WorkOptions("mean", per_token=True))
            )
            await until(lambda: sum(map(len, embedder.tokenised)) == 3)
            embedder.free.set()
            await held
            assert np.array_equal(
                (await pooled).vectors(), embedder.encode(["a bb"], pooling="mean")
            )
            assert (await each).rows[0][:, 0].tolist() == [1, 3, 1, 2]

    run(test())


def test_stop_finishes_all_accepted_work():
    async def test():
        embedder = FakeEmbedder(seconds_a_batch=0.01)
        async with batching(embedder, batch_tokens=6) as batcher:
            tasks = [asyncio.create_task(batcher.embed(["x"], MEAN)) for _ in range(20)]
            await until(lambda: batcher.waiting == 20)
        assert [len((await task).rows) for task in tasks] == [1] * 20

    run(test())


def test_the_checkpoints_default_prompt_is_added():
    embedder = FakeEmbedder()
    served = ServedModel(embedder, None, ("fake",))
    assert served.prompted(["a"]) == ["a"]
    embedder.default_prompt = "passage: "
    assert served.prompted(["a", "b"]) == ["passage: a", "passage: b"]
    assert served.prompted(["a"], "query: ") == ["query: a"]
    assert served.prompted(["a"], "") == ["a"]
