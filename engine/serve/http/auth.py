"""Bearer-token authentication. Tokens are stored as digests, compared in constant time, and never
logged."""

import hashlib
import hmac
from collections.abc import Iterable, Mapping

from engine.serve.http.errors import ErrorKind, HTTPError

OPEN = frozenset({"/", "/health", "/ping", "/metrics"})  # probes and scrapers have no tokens
KEY_HEADERS = ("x-auth-key", "x-auth-user-service-key", "api-key")  # Cloudflare's older, Azure's


class Authenticator:
    """Accepts every request if there are no tokens."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._digests = [_digest(token.encode()) for token in tokens]

    def check(self, method: str, path: str, headers: Mapping[str, str]) -> None:
        """Raises HTTPError unless the request has a valid token or needs none."""
        if not self._digests or (method in ("GET", "HEAD") and path in OPEN):
            return
        digest = _digest(_token(headers).encode("latin-1"))
        # Compare with every token: stopping at a match would reveal by time which one it was.
        if not sum([hmac.compare_digest(digest, known) for known in self._digests]):
            raise HTTPError(ErrorKind.WRONG_TOKEN, "The API token is not valid for this server.")


def _token(headers: Mapping[str, str]) -> str:
    header = headers.get("authorization")
    if header is None:
        for name in KEY_HEADERS:
            if name in headers:
                return headers[name]
        raise HTTPError(
            ErrorKind.NO_TOKEN, "An API token is required: Authorization: Bearer TOKEN."
        )
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip(" \t"):
        raise HTTPError(
            ErrorKind.MALFORMED_TOKEN,
            "The Authorization header is invalid; it must be: Bearer TOKEN.",
        )
    return token.strip(" \t")


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
