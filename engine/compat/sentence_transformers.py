"""The calls of sentence-transformers. Vectors are the same; torch is needed only for tensors."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine import Embedder, EngineError, InputError, quantize
from engine.compat.arguments import check_device, embedder_of, refuse
from engine.compat.tensors import cpu, like, tensors
from engine.literals import SIMILARITIES, VECTOR_TYPES, Similarity, VectorType
from engine.options import check_choice, check_count
from engine.vectors.similarity import similarity

Array = NDArray[Any]
Precision = Literal["float32"] | VectorType | None
OutputValue = Literal["sentence_embedding", "token_embeddings"]
OUTPUT_VALUES = ("sentence_embedding", "token_embeddings")


class SentenceTransformer:
    """An `Embedder` with the methods of sentence-transformers' class of this name.

    model_name_or_path: what `engine.load` takes, or an `Embedder` that it has returned, such as one
    of another precision. prompts are added to those of the checkpoint.

    These differ from sentence-transformers. Results are numpy arrays unless tensors are asked for,
    those of output_value="token_embeddings" too; `similarity` returns a tensor for tensors only.
    int8 and uint8 are `engine.quantize`: each vector by itself, not by the ranges of the batch, so
    that vectors of different calls can be compared. Text over the limit is cut with a warning.
    batch_size has no effect. Arguments that cannot be honoured are refused: InputError.
    """

    def __init__(
        self,
        model_name_or_path: str | Path | Embedder,
        *,
        device: object = None,
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
        trust_remote_code: bool = False,  # needed by no model: no code of a checkpoint is run
        revision: str | None = None,
        local_files_only: bool = False,
        similarity_fn_name: Any = None,
        truncate_dim: int | None = None,
        **refused: object,
    ) -> None:
        refuse(refused)
        check_device(device)
        self.embedder = embedder_of(model_name_or_path, revision=revision, offline=local_files_only)
        config = self.embedder.config  # its prompts, without those of engine's list of models
        self.prompts = {"query": "", "document": "", **config.prompts, **(prompts or {})}
        self.truncate_dim = truncate_dim
        self.default_prompt_name = default_prompt_name or config.default_prompt
        self._prompt(None, default_prompt_name)
        self.similarity_fn_name = similarity_fn_name or config.similarity

    def encode(
        self,
        inputs: str | Iterable[str] | None = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        output_value: OutputValue = "sentence_embedding",
        precision: Precision = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: object = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        **refused: object,
    ) -> Any:
        """Vectors (D,) of one text, (n, D) of an iterable; or a list of (L, D), one for each token.

        convert_to_tensor: a torch tensor. convert_to_numpy=False: a list of tensors.
        `inputs` may be called `sentences`, its older name.
        """
        texts: Any = refused.pop("sentences", None) if inputs is None else inputs
        refuse(refused)
        check_count("batch_size", batch_size)
        check_device(device)
        check_choice("precision", precision or "float32", ("float32", *VECTOR_TYPES))
        check_choice("output_value", output_value, OUTPUT_VALUES)
        before = self._prompt(prompt, prompt_name)
        if output_value == "token_embeddings":
            found: Any = self._token_embeddings(texts, before)
        else:
            width, normalize = self._width(truncate_dim), normalize_embeddings or None
            bar = bool(show_progress_bar)
            vectors = self.embedder.encode(
                texts, prompt=before, normalize=normalize, truncate_dim=width, show_progress_bar=bar
            )
            found = _quantized(vectors, precision)
        if convert_to_tensor or not convert_to_numpy:
            return tensors(found, stacked=convert_to_tensor or isinstance(texts, str))
        return found

    def encode_query(
        self,
        inputs: Any = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        **rest: Any,
    ) -> Any:
        """`encode` with the prompt called "query", unless another prompt is given."""
        names = ["query"] if prompt is None else []
        return self.encode(inputs, self._name(prompt_name, names), prompt, **rest)

    def encode_document(
        self,
        inputs: Any = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        **rest: Any,
    ) -> Any:
        """`encode` with the first prompt of "document", "passage" and "corpus" that there is."""
        names = ["document", "passage", "corpus"] if prompt is None else []
        return self.encode(inputs, self._name(prompt_name, names), prompt, **rest)

    def _name(self, given: str | None, names: list[str]) -> str | None:
        """The name given, else the first of `names` that is one of the prompts."""
        found = (name for name in names if name in self.prompts)
        return next(found, None) if given is None else given

    def _prompt(self, prompt: str | None, name: str | None) -> str:
        """The text of `prompt`, else of `name`, else of the default prompt."""
        if prompt is not None:
            return prompt
        if name is not None and name not in self.prompts:
            raise InputError(f"prompt_name is {name!r}; the prompts are {[*self.prompts]}.")
        name = self.default_prompt_name if name is None else name
        return "" if name is None else self.prompts.get(name, "")

    def _width(self, truncate_dim: int | None) -> int | None:
        """The truncate_dim of `Embedder.encode`, which does not take one longer than the vector."""
        dim = self.truncate_dim if truncate_dim is None else truncate_dim
        return None if isinstance(dim, int) and dim >= self.embedder.dim else dim

    def _token_embeddings(self, texts: str | Iterable[str], prompt: str) -> Array | list[Array]:
        given = [texts] if isinstance(texts, str) else texts
        tokens = self.embedder.tokenize(given, prompt=prompt)
        found = self.embedder.token_embeddings(tokens)
        return found[0] if isinstance(texts, str) else [*found]

    def similarity(self, embeddings1: ArrayLike, embeddings2: ArrayLike) -> Any:
        """(n, m): each row of the first, (n, D), with each row of the second, (m, D)."""
        scores = similarity(self.similarity_fn_name, embeddings1, embeddings2)
        return like(scores, embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: ArrayLike, embeddings2: ArrayLike) -> Any:
        """(n,): each row of the first, (n, D), with the same row of the second, (n, D)."""
        a, b = np.atleast_2d(embeddings1), np.atleast_2d(embeddings2)
        if len(a) != len(b):
            raise InputError(f"{len(a)} vectors and {len(b)} vectors make no pairs.")
        pairs = [self.similarity(*pair)[0, 0] for pair in zip(a, b, strict=True)]
        return like(np.array(pairs, np.float32), embeddings1, embeddings2)

    @property
    def similarity_fn_name(self) -> Similarity:
        """ "cosine", "dot", "euclidean" or "manhattan"; the checkpoint's unless it is set."""
        return self._similarity

    @similarity_fn_name.setter
    def similarity_fn_name(self, given: Any) -> None:
        name = getattr(given, "value", given)  # of sentence-transformers' SimilarityFunction
        check_choice("similarity_fn_name", name, SIMILARITIES)
        self._similarity: Similarity = name

    @property
    def device(self) -> Any:
        """torch.device("cpu"), or "cpu" without torch."""
        return cpu()

    @property
    def max_seq_length(self) -> int:
        """The token limit of a text, [CLS] and [SEP] included. It belongs to the checkpoint."""
        return self.embedder.max_tokens

    def get_max_seq_length(self) -> int:
        """`max_seq_length`."""
        return self.max_seq_length

    def get_embedding_dimension(self) -> int:
        """Length of a vector, D."""
        return min(self.embedder.dim, self.truncate_dim or self.embedder.dim)

    get_sentence_embedding_dimension = get_embedding_dimension

    @contextmanager
    def truncate_embeddings(self, truncate_dim: int | None) -> Iterator[None]:
        """Inside this context `encode` keeps only the first components of each vector."""
        outside, self.truncate_dim = self.truncate_dim, truncate_dim
        try:
            yield
        finally:
            self.truncate_dim = outside

    truncate_sentence_embeddings = truncate_embeddings

    def tokenize(self, texts: Iterable[str]) -> dict[str, Array]:
        """input_ids and attention_mask, int64 (n, L), L the length of the longest text.

        The mask is 1 for tokens and 0 for what follows them, where the id is 0.
        """
        tokens = self.embedder.tokenize(texts)
        ids = np.zeros((len(tokens), max(map(len, tokens), default=0)), np.int64)
        mask = np.zeros_like(ids)
        for row, one in enumerate(tokens):
            ids[row, : len(one)], mask[row, : len(one)] = one.ids, 1
        return {"input_ids": ids, "attention_mask": mask}

    def start_multi_process_pool(self, *_: object, **__: object) -> None:
        """There is none: raises EngineError."""
        raise EngineError(
            "No pool is needed: encode uses all cores, in threads. For a corpus of files, or "
            "several machines, see `bge job`."
        )

    encode_multi_process = start_multi_process_pool

    def __repr__(self) -> str:
        return f"SentenceTransformer({self.embedder!r})"


def _quantized(vectors: Array, precision: Precision) -> Array:
    if precision is None or precision == "float32":
        return vectors
    return quantize(vectors, precision).values
