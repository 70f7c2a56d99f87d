"""The errors of requests. Each dialect has its own statuses and messages for them."""

from enum import Enum, auto

from engine.errors import InputError, ModelNotFound, NotFinite, Overloaded, TooLong

RETRY_AFTER = 5  # seconds, if there is no better estimate


class ErrorKind(Enum):
    """The kinds of error that at least one dialect distinguishes."""

    WRONG_HOST = auto()
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
    QUEUE_DOWN = auto()
    QUEUE_DISK_FULL = auto()
    UNKNOWN_BATCH = auto()
    TIMEOUT = auto()
    OVERLOADED = auto()
    BACKEND = auto()
    INTERNAL = auto()


class HTTPError(Exception):
    """An error that becomes the response to a request. `param` names the invalid field."""

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        *,
        param: str | None = None,
        retry_after: int | None = None,
        allow: str | None = None,
    ) -> None:
        super().__init__(message)
        self.kind, self.message, self.param = kind, message, param
        self.allow = allow
        if kind in (ErrorKind.OVERLOADED, ErrorKind.QUEUE_DOWN) and retry_after is None:
            retry_after = RETRY_AFTER
        self.retry_after = retry_after


_KINDS = (
    (TooLong, ErrorKind.TOO_LONG),
    (InputError, ErrorKind.INVALID),
    (Overloaded, ErrorKind.OVERLOADED),
    (ModelNotFound, ErrorKind.NO_MODEL),
    (NotFinite, ErrorKind.BACKEND),
)


def http_error_of(error: BaseException) -> HTTPError:
    """The HTTPError for an error of the library; INTERNAL for any unexpected exception."""
    if isinstance(error, HTTPError):
        return error
    for kind_of_error, kind in _KINDS:
        if isinstance(error, kind_of_error):
            return HTTPError(kind, str(error))
    return HTTPError(ErrorKind.INTERNAL, "Internal server error; see the server's log.")
