"""Chapter 7: GELU and the feed-forward step."""

import math

import numpy as np

from engine import model
from engine.lesson.bert import Bert
from engine.lesson.chapter import Chapter, Page
from engine.lesson.exercise import Exercise


def two_maps_are_one() -> None:
    random = np.random.default_rng(0)
    x, up = random.standard_normal((1, 4)), random.standard_normal((4, 16))
    down = random.standard_normal((16, 4))
    print("two maps:", (x @ up @ down).round(3))
    print("one map: ", (x @ (up @ down)).round(3))


def curve() -> None:
    print("   x   Φ(x)  x Φ(x)    GELU    ReLU")
    for x in (-4.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 4.0):
        phi = 0.5 * (1 + math.erf(x / math.sqrt(2)))
        gelu, relu = float(model.gelu(np.array(x))), max(x, 0.0)
        print(f"{x:4} {phi:6.3f} {x * phi:7.3f} {gelu:7.3f} {relu:7.3f}")


def how_exact() -> None:
    x = np.linspace(-10, 10, 20001)
    exact = [t * 0.5 * (1 + math.erf(t / math.sqrt(2))) for t in x]
    for dtype in ("float64", "float32"):
        error = np.abs(model.gelu(x.astype(dtype)) - exact).max()
        print(f"largest error in {dtype}: {error:.1e}")
    print(f"float32 has steps of {np.spacing(np.float32(10)):.1e} at 10")


def in_the_model(bert: Bert) -> None:
    layer, c = bert.weights.layers[0], bert.config
    F, D = layer.up.w_OI.shape
    print(f"D is {D}, F is {F}; numbers of W in a layer:")
    print(f"  attention {4 * D * D:9,}  feed-forward {2 * D * F:9,}")
    batch = bert.batch("the bank of the river")
    x_TD = model.embed(batch, bert.weights, c.eps)
    x_TD += model.attention(x_TD, layer, batch.cu_seqlens, c.heads)
    x_TD = model.layer_norm(x_TD, layer.attention_norm, c.eps)
    wide_TF = model.linear(x_TD, layer.up)
    negative = (wide_TF < 0).mean()
    off = (np.abs(model.gelu(wide_TF)) < 0.2).mean()
    print(f"negative: {negative:.0%}; within 0.2 of 0 after GELU: {off:.0%}")


def gelu_of_minus_two() -> float:
    return float(model.gelu(np.array(-2.0)))


CHAPTER = Chapter(
    "GELU: the step that is not a straight line",
    (
        Page(
            """
            After attention, each token goes by itself through two linear maps. The first makes it
            wider: from D numbers to F, often 4 D. The second brings it back to D. With nothing
            between them, this would be a waste: two linear maps are one linear map.
            """,
            run=two_maps_are_one,
        ),
        Page(
            """
            Between them is GELU. It takes each number x times Φ(x). Φ(x), "phi", is the part of the
            normal distribution, the bell curve, that lies below x: nearly 0 for very negative x,
            one half for 0, nearly 1 for large x. So large numbers pass, very negative ones become
            almost 0, and between the two the curve is smooth. ReLU, an older function, has a corner
            at 0.
            """,
            run=curve,
        ),
        Page(
            """
            Φ needs the error function erf, and numpy has none. The model computes it by a formula
            with five constants, from a book of tables. Compare its error, for x from -10 to 10,
            with the steps in which float32 counts.
            """,
            shown=(model.gelu,),
            run=how_exact,
        ),
        Page(
            """
            The feed-forward step has more weights than attention. You can think of it as F
            questions to each token ("is it a river?"). Each column of the wide layer is one
            question. GELU shuts off most of those that do not fit, and the second map adds
            something to the token for each that does.
            """,
            shown=(model.feed_forward,),
            run=in_the_model,
        ),
    ),
    Exercise(
        "Φ(2) is 0.977. The bell curve is symmetric. What is GELU(-2)? Two decimals.",
        gelu_of_minus_two(),
        "What is Φ(-2), the part below -2? As much as lies above 2.",
        within=0.006,
        mistakes={
            -2 * 0.977: "Φ(2) is the part below 2. You need the part below -2.",
            0: "This is ReLU. GELU is a little below 0 there.",
            1 - 0.977: "This is Φ(-2). Multiply it by x.",
            2 * (1 - 0.977): "x is -2, so the result is negative.",
        },
    ),
)
