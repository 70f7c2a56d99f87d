"""What can go wrong with a request. Each dialect says it in its own words and status."""

from enum import Enum, auto

from engine.errors import InputError, ModelNotFound, NotFinite, Overloaded, TooLong

RETRY_AFTER = 5  # seconds, where nothing better is known


class Kind(Enum):
    """The cases that at least one dialect tells apart."""

    NO_TOKEN = auto()
    MALFORMED_TOKEN = auto()
    WRONG_TOKEN = auto()
    NO_ROUTE = auto()
    NO_METHOD = auto()
    NO_MODEL = auto()
    NO_BODY = auto()
    NOT_JSON = auto()
    INVALID = auto()
    EMPTY = auto()
    TOO_LONG = auto()
    BODY_TOO_LARGE = auto()
    NO_QUEUE = auto()
    UNKNOWN_BATCH = auto()
    TIMEOUT = auto()
    OVERLOADED = auto()
    BACKEND = auto()
    INTERNAL = auto()


class Problem(Exception):
    """A request that gets an error for an answer. `param` names the field at fault."""

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        param: str | None = None,
        retry_after: int | None = None,
        allow: str | None = None,
    ) -> None:
        super().__init__(message)
        self.kind, self.message, self.param = kind, message, param
        self.allow = allow
        if kind is Kind.OVERLOADED and retry_after is None:
            retry_after = RETRY_AFTER
        self.retry_after = retry_after


_KINDS = (
    (TooLong, Kind.TOO_LONG),
    (InputError, Kind.INVALID),
    (Overloaded, Kind.OVERLOADED),
    (ModelNotFound, Kind.NO_MODEL),
    (NotFinite, Kind.BACKEND),
)


def problem_of(error: BaseException) -> Problem:
    """What the library raised, as a problem; what it did not mean to raise is INTERNAL."""
    if isinstance(error, Problem):
        return error
    for kind_of_error, kind in _KINDS:
        if isinstance(error, kind_of_error):
            return Problem(kind, str(error))
    return Problem(Kind.INTERNAL, "The server failed; its log says why.")
