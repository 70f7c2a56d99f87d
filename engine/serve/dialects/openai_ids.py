"""Token ids on OpenAI's route: whose they are is the server's setting, for no request says it."""

from typing import Any

from engine.errors import EngineError
from engine.serve.batching.models import ServedModel
from engine.serve.batching.request import Text
from engine.serve.http.errors import ErrorKind, HTTPError
from engine.serve.settings import CL100K, REFUSE

REFUSAL = (
    "'$.input' is invalid: it holds token ids, and ids of another tokenizer would give vectors "
    "without meaning; send text. "
    "With LangChain: OpenAIEmbeddings(check_embedding_ctx_length=False). Or start the server with "
    "--openai-ids: own for ids of this model's tokenizer, cl100k for those that LangChain sends."
)
ENCODING = "cl100k_base"  # of OpenAI's embedding models, and LangChain's choice for unknown names


class TokenIds:
    """Reads ids as `whose` says. EngineError if OpenAI's tokenizer is wanted and not at hand."""

    def __init__(self, whose: str) -> None:
        self._whose = whose
        self._encoding: Any = _encoding() if whose == CL100K else None

    def read(self, ids: list[list[int]], served: ServedModel) -> list[Text]:
        """Tokens of the model, or texts that the ids stand for. Raises HTTPError, InputError."""
        if self._whose == REFUSE:
            raise HTTPError(ErrorKind.INVALID, REFUSAL, param="input")
        if self._encoding is None:
            return served.read(ids)
        return [self._text(one, i) for i, one in enumerate(ids)]

    def _text(self, ids: list[int], i: int) -> str:
        try:
            # A text that was split for its length may begin or end within a character.
            return str(self._encoding.decode(ids, errors="replace"))
        except (KeyError, ValueError, OverflowError) as error:
            message = f"`input[{i}]` has an id that {ENCODING} has not: {error}."
            raise HTTPError(ErrorKind.INVALID, message, param="input") from error


def _encoding() -> Any:
    try:
        import tiktoken
    except ModuleNotFoundError as error:
        raise EngineError(
            "--openai-ids cl100k needs tiktoken: pip install 'bge-engine[openai-ids]'."
        ) from error
    try:
        return tiktoken.get_encoding(ENCODING)
    except Exception as error:  # no network, and of requests, which is its own dependency
        raise EngineError(
            f"tiktoken's file of {ENCODING} is not at hand and cannot be downloaded: {error}. Put "
            "it into a folder and name that in TIKTOKEN_CACHE_DIR, as tiktoken's README says."
        ) from error
