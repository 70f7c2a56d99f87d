"""The Host header: HTTP/1.1 requires exactly one (RFC 9112, section 3.2)."""

import re

from engine.serve.http.errors import ErrorKind, HTTPError
from engine.serve.http.messages import Request

# A name or an IPv4 address, which may be empty, or an IPv6 address in brackets; then a port.
HOST = re.compile(r"(?:\[[\w:.%-]+\]|(?:[\w.~!$&'()*+,;=-]|%[0-9a-fA-F]{2})*)(?::\d*)?", re.ASCII)


def check_host(request: Request) -> None:
    """Raises HTTPError unless the request has one valid Host header; HTTP/1.0 may have none."""
    hosts = request.headers.getlist("host")
    if len(hosts) > 1:
        raise _wrong(f"The request has {len(hosts)} Host headers; it must have one.")
    if not hosts and request.scope["http_version"] == "1.1":
        raise _wrong("The request has no Host header; HTTP/1.1 requires one.")
    if hosts and not HOST.fullmatch(hosts[0]):
        raise _wrong(f"The Host header is {hosts[0][:60]!r}; it must be NAME or NAME:PORT.")


def _wrong(message: str) -> HTTPError:
    return HTTPError(ErrorKind.WRONG_HOST, message)
