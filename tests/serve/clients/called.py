"""What the clients of this folder call: the names of the model, the token, the texts."""

import numpy as np

MODEL = "@cf/baai/bge-base-en-v1.5"
TOKEN = "a-token-of-the-tests"
NAMES = ["sentence-transformers/all-MiniLM-L6-v2", "all-MiniLM-L6-v2", MODEL]
TEXTS = ["This is a story about an orange cloud", "This is a story about a llama"]
DOCUMENTS = [f"{TEXTS[i % 2]}, which is number {i}" for i in range(100)]


def same(found, expected):
    """Whether the numbers are those of the library, bit for bit."""
    return np.array_equal(np.array(found, np.float32), expected)
