"""Chapter 8: pooling and cosine."""

import numpy as np

from engine import model
from engine.lesson.bert import Bert
from engine.lesson.chapter import Chapter, Page
from engine.lesson.exercise import Exercise


def pool() -> None:
    cls, word, sep = [1, 0], [3, 2], [2, 4]
    x_LD = np.array([cls, word, sep], np.float32)
    print("mean", model.mean_pool(x_LD))
    print("cls ", model.cls_pool(x_LD))


def cosine_by_hand() -> None:
    a, b = np.array([3, 4], np.float32), np.array([6, 8], np.float32)
    c = np.array([-4, 3], np.float32)
    print("length of the first:", np.sqrt(3 * 3 + 4 * 4))
    units = model.normalize(np.array([a, b, c]))
    print("unit vectors\n", units.round(2))
    print("cosines\n", (units @ units.T).round(2))


def the_whole_model(bert: Bert) -> None:
    texts = ("a cat", "a kitten", "a bill of lading")
    batch = bert.batch(*texts)
    c = bert.config
    x_TD = model.encode(batch, bert.weights, c.heads, c.eps)
    pooled_SD = model.pool(x_TD, batch.cu_seqlens, [c.pooling] * 3)
    units_SD = model.normalize(pooled_SD)
    print("tokens of all texts", x_TD.shape, "vectors", units_SD.shape)
    print("pooling:", c.pooling)
    print("cosines\n", (units_SD @ units_SD.T).round(3))
    encoded = bert.embedder.encode(texts, normalize=True)
    largest = np.abs(units_SD - encoded).max()
    print(f"largest difference from encode: {largest:.0e}")


def cosine(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    units = model.normalize(np.array([a, b], np.float32))
    return float(units[0] @ units[1])


CHAPTER = Chapter(
    "Pooling and cosine: from tokens to one vector",
    (
        Page(
            """
            After the last layer there is a vector for each token. We want one for the text. There
            are two ways. Mean pooling takes the average of all tokens. Cls pooling takes the first
            token, [CLS]: it has collected from all the others. A model must be used with the
            pooling with which it was trained. BGE was trained with cls, all-MiniLM-L6-v2 with mean;
            the checkpoint says which.
            """,
            shown=(model.mean_pool, model.cls_pool),
            run=pool,
        ),
        Page(
            """
            Two texts are similar if their vectors have the same direction. The cosine of the angle
            between them measures this: 1 for the same direction, 0 for a right angle, -1 for
            opposite directions. Divide each vector by its length; then the dot product is the
            cosine. The second vector here is twice the first.
            """,
            shown=(model.normalize,),
            run=cosine_by_hand,
        ),
        Page(
            """
            Now you have all the steps. This is the whole model, and then the same by the public
            API: `encode` of an embedder. No more is needed for an embedding. (Some checkpoints have
            another linear map behind the pooling; then the difference is not small.)
            """,
            shown=(model.encode, model.pool),
            run=the_whole_model,
        ),
    ),
    Exercise(
        "What is the cosine of (3, 4) and (4, 3)? Two decimals.",
        cosine((3, 4), (4, 3)),
        "Both have length 5.",
        within=0.006,
        mistakes={
            24: "This is the dot product. Divide it by both lengths.",
            24 / 5: "You have divided by one length. Divide by both.",
            1: "They have the same length, but not the same direction.",
            1 - cosine((3, 4), (4, 3)): "This is the distance, 1 - cosine.",
        },
    ),
)
