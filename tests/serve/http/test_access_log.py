"""JSON lines, which contain nothing that clients sent except the path."""

import json
import logging

import pytest

from engine.serve.http import access_log
from engine.serve.http.messages import Request

SCOPE = {
    "type": "http",
    "path": "/embed" + "x" * 400,
    "method": "POST",
    "client": ("10.0.0.7", 4711),
    "headers": [(b"authorization", b"Bearer secret")],
    "query_string": b"key=secret",
}


def lines(captured: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    out, err = captured.readouterr()
    assert out == ""
    return [json.loads(line) for line in err.splitlines()]


def test_one_line_per_request(capsys: pytest.CaptureFixture[str]) -> None:
    requests = [Request({**SCOPE, "client": client}, None) for client in (SCOPE["client"], None)]
    requests[0].model, requests[0].texts, requests[0].tokens = "tiny", 2, 9
    for request, status in zip(requests, (200, 499), strict=True):
        access_log.log_request(request, status)
    first, second = lines(capsys)
    assert first["id"] == requests[0].id and first["event"] == "request"
    assert (first["client"], first["method"], first["status"]) == ("10.0.0.7", "POST", 200)
    assert first["path"] == SCOPE["path"][:300]
    assert (first["model"], first["texts"], first["tokens"]) == ("tiny", 2, 9)
    assert (second["client"], second["status"]) == ("", 499) and "model" not in second
    assert "secret" not in json.dumps([first, second])
    assert 0 <= first["ms"] < 60_000 and str(first["time"]).endswith("+00:00")


def test_log_records_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    record = logging.LogRecord("lib", logging.WARNING, "f.py", 1, "%s of\n%d", ("a", 3), None)
    access_log.JSONHandler().emit(record)
    (line,) = lines(capsys)
    assert (line["event"], line["level"], line["logger"]) == ("log", "WARNING", "lib")
    assert line["message"] == "a of\n3" and "trace" not in line


def test_an_exception_has_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ValueError("broken")
    except ValueError as error:
        about = (ValueError, error, error.__traceback__)
    access_log.JSONHandler().emit(logging.LogRecord("l", 40, "f.py", 1, "m", (), about))
    (line,) = lines(capsys)
    assert "ValueError: broken" in str(line["trace"])


def test_a_closed_standard_error_is_not_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        @property
        def buffer(self) -> "Gone":
            return self

        def write(self, data: bytes) -> None:
            raise BrokenPipeError

    monkeypatch.setattr("sys.stderr", Gone())
    access_log.log_event("ready")
