"""Chapter 9: weights and numbers in 8 or 16 bits."""

import numpy as np

from engine.explain import precision_errors
from engine.fast.weights import quantize
from engine.lesson.bert import Bert
from engine.lesson.chapter import Chapter, Page
from engine.lesson.exercise import Exercise


def by_hand() -> None:
    row = np.array([0.5, -1.27, 0.024, 1.0], np.float32)
    scale = np.abs(row).max() / 127
    integers = np.rint(row / scale).astype(int)
    print(f"scale {scale:.2f}, integers", integers)
    print("scale times integers:", (scale * integers).round(3))
    print("quantize.int8 says", quantize.int8(row[None], pairs=False)[0])


def a_product() -> None:
    w, x = np.array([0.5, -1.27, 0.024]), np.array([2.0, 1.0, -2.54])
    w_scale, x_scale = np.abs(w).max() / 127, np.abs(x).max() / 127
    w_int = np.rint(w / w_scale).astype(int)
    x_int = np.rint(x / x_scale).astype(int)
    print("integers", w_int, "times", x_int, "sum up to", w_int @ x_int)
    print(f"times both scales: {w_int @ x_int * w_scale * x_scale:.4f}")
    print(f"in floats:         {w @ x:.4f}")


def an_outlier() -> None:
    random = np.random.default_rng(0)
    w, x = random.standard_normal((2, 1, 64)).astype(np.float32)
    x[0, 5] = 60
    block = quantize.block_size(64)
    root = np.sqrt(block)  # keeps the length
    turned_w = quantize.rotate(w, block) * root
    turned_x = quantize.rotate(x, block) * root
    for name, row in (("as it is", x), ("rotated", turned_x)):
        integers, scale = quantize.int8(row, pairs=False)
        error = np.linalg.norm(row - scale * integers)
        print(f"{name:8}: length {np.linalg.norm(row):.2f}, ", end="")
        print(f"largest {np.abs(row).max():5.2f}, error {error:.2f}")
    print(f"product as it is {(w @ x.T).item():.3f}, ", end="")
    print(f"rotated {(turned_w @ turned_x.T).item():.3f}")


def weights_of_the_model(bert: Bert) -> None:
    w_OI = bert.weights.layers[0].up.w_OI
    rotated = quantize.rotate(w_OI, quantize.block_size(w_OI.shape[1]))
    for name, before, (integers, scales) in (
        ("int16", w_OI, quantize.int16(w_OI)),
        ("int8", rotated, quantize.int8(rotated, pairs=False)),
    ):
        lost = before - scales[:, None] * integers
        error = np.linalg.norm(lost) / np.linalg.norm(before)
        print(f"{name:5}: {integers.nbytes:,} bytes instead of", end="")
        print(f" {w_OI.nbytes:,}, error {error:.1e} of the length")


def vectors_of_the_model(bert: Bert) -> None:
    errors = precision_errors(bert.embedder, "A kitten sleeps.")
    for name, cosine, largest in errors:
        print(f"{name:7} 1 - cosine {1 - cosine:7.1e}, ", end="")
        print(f"largest difference {largest:.1e}")


def integer_of(number: float, row: tuple[float, ...]) -> int:
    integers, _ = quantize.int8(np.array([row], np.float32), pairs=False)
    return int(integers[0, row.index(number)])


ROW = (0.2, -2.54, 1.0)

CHAPTER = Chapter(
    "Quantisation: integers instead of floats",
    (
        Page(
            """
            A float32 takes 4 bytes, an integer of 8 bits takes one. A CPU reads less memory then,
            and multiplies more numbers at a time. To quantise a row of numbers, find a scale: the
            largest number becomes 127, the largest integer that is used. Divide each number by the
            scale and round. Back again, each number is wrong by at most half a scale.
            """,
            run=by_hand,
        ),
        Page(
            """
            This is what the engine does for each row of the weights, once. A token's numbers are
            quantised each time, just before a product, with a scale for each token. (In 8 bits the
            token's smallest number is subtracted first; that is left out here.) The product is then
            a sum of integers. Such a sum has no rounding at all. At the end it is multiplied by
            both scales.

            In the code of the engine, `pairs` is for CPUs that sum two products in 16 bits.
            """,
            shown=(quantize.int8,),
            run=a_product,
        ),
        Page(
            """
            One large number spoils the row: the scale follows it, and all others lose their digits.
            BERT has such outliers. So the engine first rotates rows, in blocks. The rotation keeps
            the length and spreads the outlier over all numbers of its block. Weights and tokens are
            rotated in the same way, and that does not change their products. Rotation is built from
            sums and differences only, and from changes of sign.
            """,
            shown=(quantize.rotate,),
            run=an_outlier,
        ),
        Page(
            """
            Weights of the real model: the first map of the feed-forward step. int16 needs no
            rotation, it has digits enough. Its scales are chosen so that no sum can overflow 32
            bits.
            """,
            run=weights_of_the_model,
        ),
        Page(
            """
            What remains of it in the vector of a text, compared with engine/model.py in float32.
            The compiled kernels compute this. At their first use on a machine they are compiled,
            which can take a minute or more.
            """,
            run=vectors_of_the_model,
        ),
    ),
    Exercise(
        f"A row of weights is {ROW}. It is quantised to 8 bits. Which integer does 1.0 become?",
        integer_of(1.0, ROW),
        "The scale is the largest number, whatever its sign, divided by 127.",
        mistakes={
            127: "The largest number of this row is -2.54. Its size counts, not its sign.",
            integer_of(-2.54, ROW): "This is the integer of -2.54.",
            integer_of(0.2, ROW): "This is the integer of 0.2.",
        },
    ),
)
