"""Chapter 6: the residual, and layer norm."""

import numpy as np

from engine import model
from engine.checkpoint.weights import Norm
from engine.explain import explain
from engine.lesson.bert import Bert
from engine.lesson.chapter import Chapter, Page
from engine.lesson.exercise import Exercise


def by_hand() -> None:
    x = np.array([1, 5, 1, 5], np.float32)
    centred = x - x.mean()
    variance = (centred**2).mean()
    print("mean", x.mean(), "centred", centred, "variance", variance)
    print("by hand:         ", centred / np.sqrt(variance))
    nothing = Norm(np.ones(4, np.float32), np.zeros(4, np.float32))
    print("model.layer_norm:", model.layer_norm(x[None], nothing, 1e-12)[0])


def twelve_layers() -> None:
    random = np.random.default_rng(0)
    D = 64
    plain = added = normed = random.standard_normal((1, D))
    norm = Norm(np.ones(D, np.float32), np.zeros(D, np.float32))
    print("layer  plain    x + f(x)  norm(x + f(x))")
    for n in range(1, 13):
        w_DD = random.standard_normal((D, D)) * 0.5 / np.sqrt(D)
        plain = plain @ w_DD  # f(x) is x W
        added = added + added @ w_DD
        normed = model.layer_norm(normed + normed @ w_DD, norm, 1e-12)
        if n in (1, 6, 12):
            a, b, c = (np.linalg.norm(x) for x in (plain, added, normed))
            print(f"{n:5}  {a:<7.3f}  {b:<8.1f}  {c:.1f}")


def along_the_layers(bert: Bert) -> None:
    found = explain(bert.embedder, "the bank of the river")
    x_ED = model.normalize(found.hidden_ELD[:, 2])  # of one token
    print(f"{found.tokens[2]!r} after each layer")
    print("layer  cosine with the layer before  with the embedding")
    for n in range(1, len(x_ED)):
        before, start = x_ED[n] @ x_ED[n - 1], x_ED[n] @ x_ED[0]
        print(f"{n:5}  {before:28.2f}  {start:18.2f}")


def last_number() -> float:
    """The answer: layer norm of (2, 4, 6, 8)."""
    norm = Norm(np.ones(4, np.float32), np.zeros(4, np.float32))
    return float(model.layer_norm(np.array([[2, 4, 6, 8]], np.float32), norm, 1e-12)[0, 3])


CHAPTER = Chapter(
    "Residual and layer norm: how many layers can be stacked",
    (
        Page(
            """
            Layer norm brings the numbers of each token to mean 0 and variance 1: subtract their
            mean, divide by their standard deviation. Every token is treated by itself. Then each
            column is multiplied by a number and another number is added, scale and shift, which
            were learned. eps is tiny and only keeps the root from being 0.
            """,
            shown=(model.layer_norm,),
            run=by_hand,
        ),
        Page(
            """
            Attention does not replace a token's vector x. It computes f(x), and that is added: x +
            f(x). This is the residual: what f does not change stays. Feed-forward, the other half
            of a layer, is added in the same way. And the sum goes through a layer norm, or the sums
            would become larger from layer to layer. Look at the length of a vector that goes
            through twelve random layers. Plain, it disappears. With the residual alone, it grows.
            With both it stays.
            """,
            run=twelve_layers,
        ),
        Page(
            """
            So a layer of BERT is this: attention, add, norm; feed-forward, add, norm. Chapter 7
            explains feed-forward. BERT has the norm after the sum ("post-norm").
            """,
            shown=(model.encoder_layer,),
        ),
        Page(
            """
            In the trained model, each layer changes a token a little. With every layer it is
            farther from the embedding with which it began: it says more and more what the word
            means in this text.
            """,
            run=along_the_layers,
        ),
    ),
    Exercise(
        "A token is (2, 4, 6, 8). What is the last number after layer norm, with scale 1 and shift"
        " 0? Two decimals.",
        last_number(),
        "The mean is 5. The variance is the mean of the squares of what is left.",
        within=0.006,
        mistakes={
            3 / 5: "You have divided by the variance. Divide by its square root.",
            3 / float(np.std([2, 4, 6, 8], ddof=1)): "The variance here is the sum of squares"
            " divided by 4, not by 3.",
            8 / float(np.std([2, 4, 6, 8])): "Subtract the mean first.",
            3: "This is the number without the mean. Divide it by the standard deviation.",
        },
    ),
)
