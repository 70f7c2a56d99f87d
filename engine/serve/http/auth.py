"""Who may ask. Tokens are kept as digests, compared all and in constant time, and never logged."""

import hashlib
import hmac
from collections.abc import Iterable

from engine.serve.http.errors import Kind, Problem

OPEN = frozenset({"/", "/health", "/ping", "/metrics"})  # probes and scrapers have no tokens
KEY_HEADERS = (b"x-auth-key", b"x-auth-user-service-key")  # Cloudflare's older ways


class Gatekeeper:
    """Lets everyone in when there are no tokens."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._digests = [_digest(token.encode()) for token in tokens]

    def check(self, method: str, path: str, headers: dict[bytes, bytes]) -> None:
        """Raises Problem unless the request bears one of the tokens, or needs none."""
        if not self._digests or (method in ("GET", "HEAD") and path in OPEN):
            return
        digest = _digest(_presented(headers))
        # No short cut at the first match: the time would tell which token it was.
        if not sum([hmac.compare_digest(digest, known) for known in self._digests]):
            raise Problem(Kind.WRONG_TOKEN, "The API token is not one of those allowed here.")


def _presented(headers: dict[bytes, bytes]) -> bytes:
    header = headers.get(b"authorization")
    if header is None:
        for name in KEY_HEADERS:
            if name in headers:
                return headers[name]
        raise Problem(Kind.NO_TOKEN, "An API token is needed: Authorization: Bearer TOKEN.")
    scheme, _, token = header.partition(b" ")
    if scheme.lower() != b"bearer" or not token.strip():
        raise Problem(
            Kind.MALFORMED_TOKEN, "The Authorization header is not of the form: Bearer TOKEN."
        )
    return token.strip()


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
