"""Chapter 10: from the model to read to the compiled kernels, and to BGE."""

from decimal import Context, Decimal
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from engine.batch import PackedBatch
from engine.explain import steps
from engine.lesson.bert import Bert
from engine.lesson.chapter import Chapter, Page
from engine.lesson.exercise import Exercise

Array = NDArray[np.float32]
TEXTS = (
    "a cat",
    "A kitten sleeps for most of the day.",
    "Your parcel arrives on Monday, between nine and noon.",
    "blue",
    "The bank of the river, and the bank in the town.",
)


def pack() -> None:
    lengths = (3, 9, 4, 30)
    batch = PackedBatch.of([np.zeros(length, np.int32) for length in lengths])
    print("packed:", len(batch.ids_T), "tokens, cu_seqlens", batch.cu_seqlens)
    print("padded:", len(lengths) * max(lengths), "tokens")


def order_matters() -> None:
    big, one = np.float32(2**24), np.float32(1)
    print("(big + 1) + 1 =", (big + one) + one)
    print("big + (1 + 1) =", big + (one + one))
    x = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    print("first to last:", [*accumulate(x)][-1])
    print("last to first:", [*accumulate(x[::-1])][-1])
    print("by numpy:     ", x.sum())


def tile(rows_MK: Array, panel_KN: Array) -> Array:
    """M rows times N columns. Each of the M N sums is one chain along K."""
    sums_MN = np.zeros((len(rows_MK), panel_KN.shape[1]), np.float32)
    for k in range(len(panel_KN)):
        sums_MN += rows_MK[:, k, None] * panel_KN[k]
    return sums_MN


def row_by_row() -> None:
    random = np.random.default_rng(0)
    x_MK = random.standard_normal((6, 300)).astype(np.float32)
    w_KN = random.standard_normal((300, 16)).astype(np.float32)
    for name, product in (("tile", tile), ("numpy", np.matmul)):
        together = product(x_MK, w_KN)
        alone = np.concatenate([product(x_K[None], w_KN) for x_K in x_MK])
        equal = (alone == together).sum()
        print(f"{name:5}: {equal} of {alone.size} numbers are equal")


def any_batch(bert: Bert) -> None:
    texts = list(TEXTS)
    reference = bert.embedder.encode(texts)
    for precision in ("float32", "int16", "int8"):
        with bert.load(precision) as fast:
            alone = np.stack([fast.encode(text) for text in texts])
            together = fast.encode(texts)
            backwards = fast.encode(texts[::-1])[::-1]
        same = (alone == together).all() and (alone == backwards).all()
        print(f"{precision:7}: the same bits in each batch: {same}; ", end="")
        print(f"from model.py: {np.abs(together - reference).max():.0e}")


def parameters(V: int, P: int, types: int, D: int, F: int, N: int) -> int:
    embeddings = (V + P + types) * D + 2 * D  # three tables and a norm
    attention = 4 * (D * D + D)  # query, key, value, output: W and b
    feed_forward = D * F + F + F * D + D
    return embeddings + N * (attention + feed_forward + 2 * 2 * D)  # two norms


def to_bge(bert: Bert) -> None:
    for name, D, F, N in (
        ("bge-small-en-v1.5", 384, 1536, 12),
        ("bge-base-en-v1.5", 768, 3072, 12),
        ("bge-large-en-v1.5", 1024, 4096, 24),
    ):
        print(f"{name:17} {parameters(30522, 512, 2, D, F, N):11,}")
    found = steps(bert.config, tokens=1)
    counted = sum(step.parameters * step.repeats for step in found)
    print(f"{bert.embedder.name:17} {counted:11,}, counted step by step")


def three_digits(*numbers: int) -> int:
    """The sum, from left to right, by a machine that keeps three decimal digits."""
    machine = Context(prec=3)
    sum_ = Decimal(0)
    for number in numbers:
        sum_ = machine.add(sum_, Decimal(number))
    return int(sum_)


CHAPTER = Chapter(
    "The fast path: from model.py to kernels, and to BGE",
    (
        Page(
            """
            engine/fast/encoder.py has the same functions as engine/model.py, in the same order,
            compiled. Lay both files side by side. This chapter is about what makes it fast, and why
            its results do not depend on the batch.

            First: texts of different lengths are packed end to end. Others pad them: they fill up
            each text to the longest one, and compute the filling too. Only attention has to know
            where a text ends, so that packing costs nothing.
            """,
            run=pack,
        ),
        Page(
            """
            Then products. Their sums have hundreds of terms, and in floats the order of a sum
            matters, because each step is rounded. A float32 has 24 binary digits. 2 to the power of
            24, plus 1, needs 25. So the 1 is lost, unless it meets another 1 first.
            """,
            run=order_matters,
        ),
        Page(
            """
            A kernel computes a product in tiles: a few rows times a panel of columns. All sums of
            the tile stay in the registers of the CPU while the loop walks along K, and each number
            that is read takes part in many products. That is why it is fast. And each sum is one
            chain: first to last, one product after another. Which other rows are in the tile does
            not matter. This is the idea in numpy:
            """,
            shown=(tile,),
            run=row_by_row,
        ),
        Page(
            """
            The product of numpy may choose another order of summing for one row than for six. Which
            numbers differ then depends on the machine. Both are right, but a text's vector would
            change its last digits with the texts beside it: search results would not be
            reproducible, and vectors that were computed again would not be found to be the same.

            The compiled kernels (in engine/fast/codegen/micro_kernel.py) keep the chain, on every
            number of threads too. For integers the order does not matter at all. So a text has the
            same bits, alone or in any batch:
            """,
            run=any_batch,
        ),
        Page(
            """
            And BGE? You know all of it. BGE is this model with other weights, more or wider layers
            and cls pooling. Count its parameters:
            """,
            shown=(parameters,),
            run=to_bge,
        ),
        Page(
            """
            Go on with these:

                bge learn 8 --model bge-base-en-v1.5    any chapter, with BGE
                bge explain "the bank of the river"     attention and tokens of your text
                engine/model.py                         all of it, in the order it computes
            """,
        ),
    ),
    Exercise(
        "A machine keeps three decimal digits: after each addition it rounds to three, so that 1004"
        " becomes 1000. It adds 1000 + 4 + 4 from left to right and gets 1000. What does it get"
        " from right to left, 4 + 4 + 1000?",
        three_digits(4, 4, 1000),
        "Do one addition, then round to three digits, then the next.",
        mistakes={
            1000 + 4 + 4: "This is the exact sum. It has four digits; the machine keeps three.",
            three_digits(1000, 4, 4): "This is the sum from left to right.",
        },
    ),
)
