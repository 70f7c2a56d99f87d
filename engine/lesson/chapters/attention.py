"""Chapter 4: attention in the model, and why scores are divided by √K."""

import math

import numpy as np

from engine import model
from engine.explain import explain
from engine.lesson.bert import Bert
from engine.lesson.chapter import Chapter, Page
from engine.lesson.exercise import Exercise


def one_linear_map(bert: Bert) -> None:
    W, b = bert.weights.layers[0].query.w_OI, bert.weights.layers[0].query.b
    print("W has", *W.shape, "rows and columns, b has", len(b), "numbers")
    x_TD = model.embed(bert.batch("a cat"), bert.weights, bert.config.eps)
    products = [w * x for w, x in zip(W[0], x_TD[1], strict=True)]
    q_TD = model.linear(x_TD, bert.weights.layers[0].query)
    print(f"the first number of the query of 'a': {sum(products) + b[0]:.4f}")
    print(f"model.linear says                     {q_TD[1, 0]:.4f}")


def without_the_root() -> None:
    random = np.random.default_rng(0)
    print("   K  √K  spread of scores  largest share  with 1/√K")
    for K in (4, 16, 64, 256, 1024):
        queries, keys = random.standard_normal((2, 200, K))
        scores = queries @ keys.T
        root, spread, of_10 = math.sqrt(K), scores.std(), scores[:, :10]
        scaled = model.softmax(of_10 / root).max(axis=1).mean()
        plain = model.softmax(of_10).max(axis=1).mean()
        print(f"{K:4} {root:3.0f} {spread:17.1f} {plain:14.2f} {scaled:9.2f}")


def who_looks_where(bert: Bert) -> None:
    text = "the dog bit the man because it was hungry"
    found = explain(bert.embedder, text)
    shares_LL = found.attention_NHLL[-1].mean(axis=0)  # last layer, all heads
    for token, shares_L in zip(found.tokens, shares_LL, strict=True):
        largest = np.argsort(-shares_L)[:3]
        to = [f"{found.tokens[i]} {shares_L[i]:.2f}" for i in largest]
        print(f"{token:>8}:", ", ".join(to))


def share(divisor: float) -> float:
    """Softmax of the scores 24 and 16, each divided."""
    scores = np.array([[24, 16]], np.float32) / np.float32(divisor)
    return float(model.softmax(scores)[0, 0])


CHAPTER = Chapter(
    "Attention in the model, and why 1/√K",
    (
        Page(
            """
            In chapter 1 the queries, keys and values were given. The model computes them: each is a
            linear map of the token's vector, x Wᵀ + b. Each number of the result is a dot product
            of x with a row of W, plus a number of b. W and b were learned. Queries, keys and values
            have their own, in each layer.
            """,
            shown=(model.linear,),
            run=one_linear_map,
        ),
        Page(
            """
            Why are scores divided by √K? A score is a sum of K products. If the numbers of queries
            and keys are random, with mean 0 and a typical size of 1, then each product has a
            typical size of 1 too, with a random sign. Such a sum does not grow like K, because
            signs cancel. It grows like √K. Look at the spread (the standard deviation) in the
            table.

            With large scores softmax gives nearly everything to the largest one: a token would look
            at one other token and nothing else, and small changes of the scores would change
            nothing, so that the model could not learn. Divided by √K, scores keep the same spread
            for every K. The table has the mean, over 200 queries, of the largest of 10 shares.
            """,
            run=without_the_root,
        ),
        Page(
            """
            This is the whole step. The loop is over the texts of the batch: a token sees only
            tokens of its own text. After that, one more linear map mixes what was collected.
            """,
            shown=(model.attention,),
        ),
        Page(
            """
            And in the trained model: each token, and the three tokens to which it gives the largest
            shares in the last layer, on average over the heads. Much often goes to [SEP] or [CLS]:
            a head that has nothing to look for here puts its shares there.
            """,
            run=who_looks_where,
        ),
    ),
    Exercise(
        "In BGE a head has K = 64. A query has the dot products 24 and 16 with two keys. Which"
        " share does it give to the first? Two decimals.",
        share(math.sqrt(64)),
        "√64 is 8. Divide both scores, then take softmax.",
        within=0.006,
        mistakes={
            share(1): "This is softmax of 24 and 16: nearly everything for one key. Divide by √K"
            " first.",
            share(64): "You have divided by K. Divide by its square root.",
            24 / 40: "Shares come from e to the power of the scores, not from the scores.",
            1 - share(8): "This is the share of the second key.",
        },
    ),
)
