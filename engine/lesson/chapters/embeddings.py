"""Chapter 3: from token ids to vectors."""

import numpy as np

from engine import model
from engine.batch import PackedBatch
from engine.lesson.bert import Bert
from engine.lesson.chapter import Chapter, Page
from engine.lesson.exercise import Exercise


def look_up(bert: Bert) -> None:
    print("the table has", *bert.weights.word_VD.shape, "rows and columns")
    for id in bert.batch("a cat").ids_T.tolist():
        first_4 = bert.weights.word_VD[id, :4].round(3)
        print(bert.vocabulary[id], "is row", id, first_4, "...")


def neighbours(bert: Bert) -> None:
    rows_VD = model.normalize(bert.weights.word_VD)
    for word in ("king", "monday", "blue"):
        id = bert.batch(word).ids_T[1]  # behind [CLS]
        cosines_V = rows_VD @ rows_VD[id]
        nearest = np.argsort(-cosines_V)[1:5]  # without the word itself
        found = (f"{bert.vocabulary[i]} {cosines_V[i]:.2f}" for i in nearest)
        print(bert.vocabulary[id], "->", *found)


def word_order(bert: Bert) -> None:
    batch = bert.batch("dog bites man", "man bites dog")
    print("ids      ", batch.ids_T)
    print("positions", batch.positions_T)
    print("cu_seqlens", batch.cu_seqlens)
    x_TD = model.embed(batch, bert.weights, bert.config.eps)
    first, last = model.normalize(x_TD)[[1, -2]]  # between [CLS] and [SEP]
    word = bert.vocabulary[batch.ids_T[1]]
    print(f"the cosine of {word} with {word}: {first @ last:.3f}")


def position() -> int:
    """The answer: of the sixth token, where a text of 4 and one of 3 tokens are packed."""
    texts = [np.zeros(4, np.int32), np.zeros(3, np.int32)]
    return int(PackedBatch.of(texts).positions_T[6 - 1])


CHAPTER = Chapter(
    "Embeddings: from tokens to vectors",
    (
        Page(
            """
            A token id is only the number of a row. The model has a table with a row for each token
            of its vocabulary, and the row is the vector of the token. These numbers were learned. V
            is the number of rows, D the number of columns; D is the width of the model.
            """,
            run=look_up,
        ),
        Page(
            """
            Words that stand in similar sentences got similar rows. How similar two rows are is
            measured by their cosine: 1 for the same direction, 0 for a right angle. Chapter 8 says
            how it is computed. Here are the nearest rows of three words. (Of a word that is several
            tokens for this model, the first token is shown.)
            """,
            run=neighbours,
        ),
        Page(
            """
            A row says which word it is, but not where it stands. So a second table has a row for
            each position in a text, from 0. Both rows are added. A third row, the token type, is
            added too: BERT can read pairs of texts, but an embedding is of one text, so that the
            type is always 0. The sum then goes through a layer norm, which is in chapter 6.
            """,
            shown=(model.embed,),
        ),
        Page(
            """
            The model gets many texts at once, end to end. Positions begin with 0 in each text.
            `cu_seqlens` says where the texts begin, and at last where they end ("cumulative
            sequence lengths"). The first word of the first text is the last word of the second. Its
            two vectors differ, because it stands in different places.
            """,
            run=word_order,
        ),
    ),
    Exercise(
        "A text of 4 tokens and a text of 3 tokens are packed, end to end. Which position does the"
        " sixth token of the batch have in its text?",
        position(),
        "Write down the seven positions. Each text begins with 0.",
        mistakes={
            5: "Positions begin again with 0 where the second text begins.",
            2: "Positions are counted from 0.",
        },
    ),
)
