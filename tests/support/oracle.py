"""A second BERT, as slow and plain as possible: the reference of the tests.

Lists of Python floats (64 bits), one text and one number at a time, without any code of `engine`.
Tensors are read by their names in the file.
"""

import math
from pathlib import Path

from safetensors.numpy import load_file

Vector = list[float]
Matrix = list[Vector]


class Oracle:
    def __init__(self, folder: Path, heads: int, eps: float = 1e-12) -> None:
        tensors = load_file(folder / "model.safetensors")
        self.tensors = {name: tensor.tolist() for name, tensor in tensors.items()}
        self.heads, self.eps = heads, eps

    def hidden(self, ids: list[int]) -> Matrix:
        """The last hidden state: one vector for each token."""
        x = self.embeddings(ids)
        layer = 0
        while f"encoder.layer.{layer}.output.dense.weight" in self.tensors:
            x = self.encoder_layer(x, f"encoder.layer.{layer}.")
            layer += 1
        return x

    def embeddings(self, ids: list[int]) -> Matrix:
        word = self.tensors["embeddings.word_embeddings.weight"]
        position = self.tensors["embeddings.position_embeddings.weight"]
        token_type = self.tensors["embeddings.token_type_embeddings.weight"]
        x = [add(add(word[id], position[p]), token_type[0]) for p, id in enumerate(ids)]
        return self.layer_norm(x, "embeddings.LayerNorm")

    def encoder_layer(self, x: Matrix, at: str) -> Matrix:
        attended = self.linear(self.attention(x, at), at + "attention.output.dense")
        x = self.add_and_norm(x, attended, at + "attention.output.LayerNorm")
        wide = self.linear(x, at + "intermediate.dense")
        wide = [[gelu(number) for number in row] for row in wide]
        return self.add_and_norm(x, self.linear(wide, at + "output.dense"), at + "output.LayerNorm")

    def attention(self, x: Matrix, at: str) -> Matrix:
        query = self.linear(x, at + "attention.self.query")
        key = self.linear(x, at + "attention.self.key")
        value = self.linear(x, at + "attention.self.value")
        width = len(x[0]) // self.heads
        out: Matrix = [[] for _ in x]
        for head in range(self.heads):
            part = slice(head * width, (head + 1) * width)
            for i in range(len(x)):
                scores = [dot(query[i][part], k[part]) / math.sqrt(width) for k in key]
                shares = softmax(scores)
                for column in range(width):
                    values = [v[part][column] for v in value]
                    out[i].append(dot(shares, values))
        return out

    def linear(self, x: Matrix, name: str) -> Matrix:
        weight, bias = self.tensors[name + ".weight"], self.tensors[name + ".bias"]
        return [[dot(row, w) + b for w, b in zip(weight, bias, strict=True)] for row in x]

    def add_and_norm(self, x: Matrix, change: Matrix, name: str) -> Matrix:
        return self.layer_norm([add(a, b) for a, b in zip(x, change, strict=True)], name)

    def layer_norm(self, x: Matrix, name: str) -> Matrix:
        scale, shift = self.tensors[name + ".weight"], self.tensors[name + ".bias"]
        out = []
        for row in x:
            mean = sum(row) / len(row)
            variance = sum((number - mean) ** 2 for number in row) / len(row)
            deviation = math.sqrt(variance + self.eps)
            normal = [(number - mean) / deviation for number in row]
            out.append([n * w + b for n, w, b in zip(normal, scale, shift, strict=True)])
        return out


def dot(a: Vector, b: Vector) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def add(a: Vector, b: Vector) -> Vector:
    return [x + y for x, y in zip(a, b, strict=True)]


def softmax(scores: Vector) -> Vector:
    highest = max(scores)
    powers = [math.exp(score - highest) for score in scores]
    total = sum(powers)
    return [power / total for power in powers]


def gelu(x: float) -> float:
    return x * (1 + math.erf(x / math.sqrt(2))) / 2


def mean_pool(x: Matrix) -> Vector:
    return [sum(column) / len(x) for column in zip(*x, strict=True)]


def cls_pool(x: Matrix) -> Vector:
    return x[0]


def unit(vector: Vector) -> Vector:
    length = math.sqrt(dot(vector, vector))
    return [number / length for number in vector]
