"""What each HTTP API defines for itself. Everything else in the service is common to all."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from starlette.responses import Response

from engine.literals import Pooling
from engine.serve.http.errors import HTTPError
from engine.serve.http.messages import Handler, Request
from engine.serve.service import Service


class Dialect(ABC):
    """One HTTP API: routes, error bodies, default pooling, OpenAPI description."""

    name: ClassVar[str]
    title: ClassVar[str] = ""  # the API as people call it; empty: the name
    default_pooling: ClassVar[Pooling | None] = None  # None: the checkpoint's pooling

    def __init__(self, service: Service) -> None:
        self.service = service

    @abstractmethod
    def owns(self, path: str) -> bool:
        """Whether errors on that path, known route or not, are written by this dialect."""

    @abstractmethod
    def routes(self) -> list[tuple[str, str, Handler]]:
        """Method, path in Starlette's syntax, and handler."""

    @abstractmethod
    def error_response(self, error: HTTPError, request: Request) -> Response:
        """Status and body; common headers such as retry-after are added later."""

    @abstractmethod
    def openapi_paths(self) -> dict[str, Any]:
        """The `paths` of the OpenAPI document that describe the routes."""
