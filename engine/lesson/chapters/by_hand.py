"""Chapter 1: attention between two tokens of two numbers."""

import math

import numpy as np

from engine import model
from engine.lesson.chapter import Chapter, Page
from engine.lesson.exercise import Exercise


def score() -> None:
    query, key_1, key_2 = np.array([2, 0]), np.array([1, 0]), np.array([0, 1])
    print("first key: ", 2 * 1 + 0 * 0, "=", query @ key_1)
    print("second key:", 2 * 0 + 0 * 1, "=", query @ key_2)


def shares() -> None:
    first, second = 2 / math.sqrt(2), 0 / math.sqrt(2)
    print(f"scores {first:.3f} {second:.3f}")
    first, second = math.exp(first), math.exp(second)
    sum_ = first + second
    print(f"exp    {first:.3f} {second:.3f}, their sum {sum_:.3f}")
    print(f"shares {first / sum_:.3f} {second / sum_:.3f}")


def gather() -> None:
    q_LK = np.array([[2, 0], [1, 1]], np.float32)  # a row for each token
    k_LK = np.array([[1, 0], [0, 1]], np.float32)
    v_LK = np.array([[10, 0], [0, 20]], np.float32)
    shares_LL = model.softmax(q_LK @ k_LK.T / math.sqrt(2))
    print("shares\n", shares_LL.round(3))
    print("shares times values\n", (shares_LL @ v_LK).round(2))
    print("model.attend\n", model.attend(q_LK, k_LK, v_LK, heads=1).round(2))


def share_of_the_second() -> float:
    """The answer: query (0, 2), keys (1, 0) and (0, 1)."""
    scores = np.array([[[0, 2]]], np.float32) / np.float32(math.sqrt(2))
    return float(model.softmax(scores)[0, 0, 1])


CHAPTER = Chapter(
    "Attention by hand: two tokens, two numbers each",
    (
        Page(
            """
            A language model cuts a text into tokens: words, or pieces of words. Each token is a
            list of numbers. In attention, every token collects information from all tokens of its
            text, from some more and from others less.

            Each token has three vectors for this. Its query says what it looks for. Its key says
            what it can be found by. Its value is what it gives. Here each vector has K = 2 numbers,
            so that you can check everything with a pencil.

            How well does a query fit a key? Multiply number by number and add up. This is the dot
            product. It is called a score here.
            """,
            run=score,
        ),
        Page(
            """
            Scores can be any numbers. We want shares: positive numbers that sum to 1. First each
            score is divided by the square root of K; chapter 4 shows why. Then comes softmax: e to
            the power of each score, divided by the sum of all of these.
            """,
            run=shares,
        ),
        Page(
            """
            Now the token takes its share of each value and adds them up. That is all of attention:

                softmax(Q Kᵀ / √K) V

            Q, K and V hold the queries, the keys and the values, one row for each token. (The K
            below the root is the count of numbers, 2.) A name such as q_LK ends in its axes: L
            tokens times K numbers. Here the first token has the query of above. The query of the
            second token fits both keys equally.
            """,
            run=gather,
        ),
        Page(
            """
            `model` in the code is engine/model.py, the whole of BERT in one file. These three
            functions of it are the attention that you have just computed. They do it for several
            heads at a time; chapter 5 explains heads.
            """,
            shown=(model.softmax, model.attention_weights, model.attend),
        ),
    ),
    Exercise(
        "The keys stay (1, 0) and (0, 1). A query is (0, 2). Which share does it give to the second"
        " token? Two decimals.",
        share_of_the_second(),
        "The scores are 0 and 2. Divide them by √2, then take softmax.",
        within=0.006,
        mistakes={
            math.exp(2) / (math.exp(2) + 1): "This is softmax of 0 and 2. Divide by √2 first.",
            1 - share_of_the_second(): "This is the share of the first token.",
            2 / math.sqrt(2): "This is the score divided by √2. Now take softmax.",
        },
    ),
)
