"""The chapters, one module each, in the order in which they are read."""

from engine.lesson.chapters import (
    attention,
    by_hand,
    embeddings,
    fast_path,
    feed_forward,
    heads,
    pooling,
    quantisation,
    residual,
    words,
)

CHAPTERS = (
    by_hand.CHAPTER,
    words.CHAPTER,
    embeddings.CHAPTER,
    attention.CHAPTER,
    heads.CHAPTER,
    residual.CHAPTER,
    feed_forward.CHAPTER,
    pooling.CHAPTER,
    quantisation.CHAPTER,
    fast_path.CHAPTER,
)
