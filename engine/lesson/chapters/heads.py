"""Chapter 5: heads."""

import numpy as np

from engine import model
from engine.explain import explain
from engine.lesson.bert import Bert
from engine.lesson.chapter import Chapter, Page
from engine.lesson.exercise import Exercise


def split() -> None:
    x_LD = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])  # two tokens, D = 4
    for head, x_LK in enumerate(model.split_heads(x_LD, heads=2)):
        print("head", head, "has\n", x_LK)


def one_head_or_two() -> None:
    q_LD = np.array([[9, 0, 0, 9], [0, 0, 0, 0]], np.float32)
    k_LD = np.array([[1, 0, 1, 0], [0, 1, 0, 1]], np.float32)
    v_LD = np.array([[1, 1, 1, 1], [2, 2, 2, 2]], np.float32)
    for heads in (1, 2):
        gathered_LD = model.attend(q_LD, k_LD, v_LD, heads)
        print("heads:", heads, "first token:", gathered_LD[0].round(2))


def what_heads_look_at(bert: Bert) -> None:
    found = explain(bert.embedder, "the bank of the river")
    N, H, L, _ = found.attention_NHLL.shape
    print(N, "layers of", H, "heads; K is", bert.config.hidden // H)
    here = np.arange(1, L)  # all tokens behind [CLS]
    places = {"itself": here, "the one before": here - 1, "[CLS]": 0 * here}
    for name, there in places.items():
        share_NH = found.attention_NHLL[:, :, here, there].mean(axis=-1)
        n, h = np.unravel_index(share_NH.argmax(), share_NH.shape)
        print(f"{name}: layer {n + 1}, head {h} gives {share_NH[n, h]:.2f}")


def owner(column: int, D: int, heads: int) -> int:
    """The head that gets this column."""
    columns_LD = np.arange(D)[None]
    return int(np.argmax([column in one for one in model.split_heads(columns_LD, heads)]))


CHAPTER = Chapter(
    "Heads: several attentions side by side",
    (
        Page(
            """
            One attention gives a token one set of shares. But a token may need several things: a
            verb looks for who does it, and for what is done. So the D columns of queries, keys and
            values are cut into H heads of K = D / H columns. Each head computes attention by
            itself. Nothing is copied or changed by the cut: head h owns the K neighbouring columns
            from h K on.
            """,
            shown=(model.split_heads,),
            run=split,
        ),
        Page(
            """
            A small example. In the columns of the first head, the first token's query fits the
            first key. In those of the second head it fits the second key. A single head sees the
            sum of both scores, cannot decide, and takes the mean of the values. With two heads,
            each takes its own: the first half of the result comes from the first token, the other
            half from the second.
            """,
            run=one_head_or_two,
        ),
        Page(
            """
            The heads of a trained model differ, although nobody told them what to do. Some look at
            the token itself, some at the neighbour, some at [CLS]. For one text, this is the head
            that gives most to each of these places, on average over the tokens behind [CLS].
            """,
            run=what_heads_look_at,
        ),
        Page(
            """
            `attend` in engine/model.py does all heads at once: arrays with the axes H, L and K are
            multiplied head by head. At the end the heads stand side by side again, L rows of D
            numbers, and `attention_output`, a linear map, mixes them.
            """,
            shown=(model.attend,),
        ),
    ),
    Exercise(
        "BGE-base has D = 768 and 12 heads. Which head owns column 210? Heads and columns are"
        " counted from 0.",
        owner(210, 768, 12),
        "How many columns has a head? The first head owns the columns from 0 on.",
        mistakes={
            owner(210, 768, 12) + 1: "Heads are counted from 0.",
            210 % 12: "This would be so if heads took columns in turns. They own neighbours.",
            210 // 12: "You have divided by the number of heads. Divide by K, the columns of one.",
            210 % 64: "This is the column's place within its head.",
        },
    ),
)
