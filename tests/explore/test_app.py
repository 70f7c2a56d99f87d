"""Which request gets what: files, results, and who is refused."""

import asyncio
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from engine.explain import explain
from engine.explore.app import app_of
from engine.explore.results import Results
from tests.conftest import Load
from tests.explore.serving import shared
from tests.serve.test_app import Client


def error_of(status: int, path: str, body: Any = None, **options: Any) -> str:
    reply = shared().ask(path, body, **options)
    assert reply.status == status, reply.body
    return str(reply.json["error"])


def test_the_page_uses_only_files_of_this_server() -> None:
    reply = shared().ask("/")
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    policy = reply.headers["content-security-policy"].split("; ")
    assert "default-src 'self'" in policy and "unsafe" not in str(policy)
    page = reply.body.decode()
    assert not re.search(r"\son\w+=|\sstyle=|<style|javascript:", page)  # the policy forbids these
    assert re.findall(r"<script[^>]*>(.*?)</script>", page) == [""]
    used = [each for each in re.findall(r'(?:src|href)="([^"]*)"', page) if each[0] != "#"]
    script = shared().ask("/main.js").body.decode()
    used += re.findall(r'from "\.(/[^"]+)"', script)
    assert len(used) > 9
    for each in used:
        found = shared().ask(each)
        assert found.status == 200 and found.headers["cache-control"] == "no-cache"
        if each.endswith(".js"):
            assert found.headers["content-type"].startswith("text/javascript")
            assert found.body.count(b"\n") <= 250
    etag = shared().ask("/main.js").headers["etag"]
    assert shared().ask("/main.js", **{"if-none-match": etag}).status == 304


@pytest.mark.parametrize(
    "path", ["/nothing", "/../app.py", "/%2e%2e/app.py", "/..%2fapp.py", "//etc/passwd", "/api"]
)
def test_other_files_are_not_served(path: str) -> None:
    assert error_of(404, path) == "Not Found"


def test_a_result_is_that_of_the_library(load: Load) -> None:
    found = explain(load("tiny", "reference"), "the red fox")
    reply = shared().ask("/api/explain", {"text": "the red fox"})
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    assert reply.json["tokens"] == [*found.tokens]
    np.testing.assert_allclose(reply.json["norms"], found.norms_EL(), atol=0.51e-4)
    about = shared().ask("/api/about", {}).json
    assert (about["model"], about["layers"], about["heads"]) == ("tiny", 2, 5)


@pytest.mark.parametrize("text", ["", "half \ud83d of it", "nul\x00", "<b>&amp;</b>", "東京 👍"])
def test_any_text(text: str) -> None:
    for path, body in {
        "explain": {"text": text},
        "head": {"text": text, "layer": 1, "head": 1},
        "words": {"text": text, "token": 0},
        "compare": {"a": text, "b": text},
        "matrix": {"texts": [text]},
        "saved": {"text": text},
    }.items():
        assert shared().ask(f"/api/{path}", body).status == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_a_foreign_name_for_this_machine_is_refused(host: str) -> None:
    for path, body in (("/", None), ("/api/about", {})):
        reply = shared().ask(path, body, host=host)
        assert reply.status == 400 and b"models" not in reply.body
    port = shared().url.rpartition(":")[2]
    assert shared().ask("/", host=f"localhost:{port}").status == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_what_another_site_could_send_is_refused(kind: str) -> None:
    told = error_of(415, "/api/explain", {"text": "a"}, **{"content-type": kind})
    assert told == "the content-type of a request must be application/json."
    preflight = shared().ask("/api/explain", method="OPTIONS", origin="http://evil.example")
    assert preflight.status == 405
    assert not [name for name in preflight.headers if name.startswith("access-control")]
    assert error_of(404, "/api/explain") == "Not Found"  # GET


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "the request is not JSON: "),
        (b"\xff", "the request is not JSON: "),
        (b"[" * 100_000, "the request is not JSON: "),
        ([], "the request must be a JSON object with text."),
        ({}, "the request must be a JSON object with text."),
        ({"text": "a", "other": 1}, "the request must be a JSON object with text."),
        ({"text": 5}, "text is 5; it must be a string."),
        ({"text": None}, "text is None; it must be a string."),
        ({"text": "a" * 20_001}, "the text has 20,001 characters; this page takes at most 20,000."),
    ],
)
def test_a_wrong_request_is_explained(body: Any, told: str) -> None:
    assert error_of(400, "/api/explain", body).startswith(told)


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("head", {"text": "a", "layer": True, "head": 1}, "layer is True; it must be an integer."),
        ("head", {"text": "a", "layer": 9, "head": 1}, "layer is 9; this model has the layers 1"),
        ("head", {"text": "a", "layer": 1, "head": 1e9}, "head is 1000000000.0; it must be an"),
        ("matrix", {"texts": "abc"}, "texts is 'abc'; it must be a list of strings."),
        ("matrix", {"texts": ["a", 1]}, "texts is ['a', 1]; it must be a list of strings."),
        ("matrix", {"texts": ["a"] * 21}, "21 texts; this page compares 1 to 20."),
        ("about", {"text": "a"}, "the request must be a JSON object with no members."),
    ],
)
def test_a_wrong_member_is_explained(path: str, body: Any, told: str) -> None:
    assert error_of(400, f"/api/{path}", body).startswith(told)


def test_a_long_request_is_refused_while_it_is_read() -> None:
    body = json.dumps({"text": "a" * (1 << 20)}).encode()
    assert error_of(413, "/api/explain", body) == "the request is longer than 1,048,576 bytes."


def test_a_precision_that_takes_long_delays_no_other_result(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = threading.Event()

    def precision(results: Results, text: str, name: str) -> dict[str, bool]:
        return {"in time": ready.wait(30)}

    monkeypatch.setattr(Results, "precision", precision)

    async def check() -> None:
        client = Client(app_of(load("tiny", "reference")))
        headers = {"content-type": "application/json", "host": "localhost"}
        body = b'{"text": "a", "name": "int8"}'
        slow = asyncio.create_task(client("POST", "/api/precision", body, **headers))
        await asyncio.sleep(0)
        assert (await client("POST", "/api/explain", b'{"text": "a"}', **headers)).status == 200
        ready.set()
        assert json.loads((await slow).body) == {"in time": True}

    asyncio.run(check())


def test_requests_at_the_same_time_get_their_own_results() -> None:
    texts = [f"the fox and {number} others" for number in range(12)]
    with ThreadPoolExecutor(6) as pool:
        found = [*pool.map(lambda text: shared().ask("/api/explain", {"text": text}).json, texts)]
    for text, result in zip(texts, found, strict=True):
        assert result == shared().ask("/api/explain", {"text": text}).json
