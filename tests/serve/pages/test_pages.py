"""Which request gets a page, what its headers say, and what it reveals: without a browser."""

import re
from html import unescape

import pytest

from engine.serve.pages.pages import Pages, prefers_html
from tests.serve.fake_embedder import FakeEmbedder
from tests.serve.serving import shared_fake
from tests.serve.test_app import Client, asking

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
PROBES = ("", "*/*", "application/json", "application/json, text/plain, */*", "text/plain")


@pytest.mark.parametrize(
    ("accept", "page"),
    [
        *[(accept, False) for accept in PROBES],
        (BROWSER, True), ("text/html", True), ("Text/HTML; q=0.5", True),
        ("text/html, application/json", True), ("application/json, text/html", False),
        ("text/html;q=0.5, application/json;q=0.4", True), ("*/*, text/html;q=0.9", False),
        ("text/html;q=0", False), ("text/html;q=high", False), (";,;;", False), ("text/*", False),
    ],
)  # fmt: skip
def test_only_those_who_want_html_most_get_the_page(accept: str, page: bool) -> None:
    assert prefers_html(accept) is page

    async def check(client: Client) -> None:
        reply = await client("GET", "/", accept=accept)
        assert reply.status == 200
        assert reply.body.startswith(b"<!doctype html>") if page else reply.body == b""

    asking(check)


def test_the_probe_of_the_root_is_the_same_as_health() -> None:
    async def check(client: Client) -> None:
        found = [await client("GET", "/"), await client("GET", "/health")]
        for reply in found:
            del reply.headers[b"x-request-id"]
        assert found[0].headers == found[1].headers
        assert found[0].headers.keys() == {b"content-type", b"content-length"}

    asking(check)


def test_pages_need_no_token_and_reveal_nothing() -> None:
    async def check(client: Client) -> None:
        for path in ("/", "/docs", "/docs/", "/assets/docs.js", "/assets/style.css"):
            reply = await client("GET", path, accept=BROWSER)
            assert reply.status == 200
            for secret in (b"our-model", b"abcdef", b"fake"):
                assert secret not in reply.body
        for method, path in (("POST", "/"), ("POST", "/docs"), ("GET", "/openapi.json")):
            assert (await client(method, path, accept=BROWSER)).status == 401

    asking(check, FakeEmbedder("our-model"), tokens=("abcdef",))


@pytest.mark.parametrize("path", ["/", "/docs", "/assets/front.js", "/assets/icon.svg"])
def test_files_are_kept_until_they_change(path: str) -> None:
    async def check(client: Client) -> None:
        first = await client("GET", path, accept=BROWSER)
        etag = first.headers[b"etag"].decode()
        assert first.headers[b"cache-control"] == b"no-cache" and first.body
        for known in (etag, f"W/{etag}", f'"other", {etag}'):
            again = await client("GET", path, **{"accept": BROWSER, "if-none-match": known})
            assert (again.status, again.body) == (304, b"")
            assert again.headers[b"etag"] == first.headers[b"etag"]
        other = await client("GET", path, **{"accept": BROWSER, "if-none-match": '"other"'})
        assert (other.status, other.body) == (200, first.body)

    asking(check)


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_use_only_files_of_this_server(path: str) -> None:
    reply = shared_fake().ask(path, headers={"accept": BROWSER})
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    policy = reply.headers["content-security-policy"].split("; ")
    assert "default-src 'self'" in policy and "unsafe" not in str(policy)
    page = reply.body.decode()
    assert not re.search(r"\son\w+=|\sstyle=|<style|javascript:", page)  # the policy forbids these
    assert re.findall(r"<script[^>]*>(.*?)</script>", page) == [""]
    used = re.findall(r'(?:src|href)="([^"]*)"', page)
    for each in used:
        assert each.startswith("/") and not each.startswith("//")
        assert shared_fake().ask(each).status == 200
    modules = [each for each in used if each.endswith(".js")]
    for name in re.findall(r'from "\.(/[^"]+)"', shared_fake().ask(modules[0]).body.decode()):
        assert shared_fake().ask(f"/assets{name}").headers["content-type"].startswith("text/java")


def test_the_documentation_lists_every_operation_without_a_script() -> None:
    page = unescape(shared_fake().ask("/docs").body.decode())
    document = shared_fake().ask("/openapi.json").json
    operations = [
        (operation, f'data-method="{method}" data-path="{path}"')
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method != "parameters"
    ]
    assert len(operations) == page.count("<details") > 30
    for operation, place in operations:
        assert f'id="{operation["operationId"]}" {place}' in page
        assert f"<span>{operation['summary']}</span>" in page
        assert f"<h2>{operation['tags'][0]}</h2>" in page


def test_what_the_document_says_is_text() -> None:
    evil = '"><script>alert(1)</script>'
    get = {"operationId": evil, "summary": evil, "tags": [evil]}
    document = {"info": {"description": evil}, "paths": {evil: {"get": get}}}
    pages = Pages(document, needs_token=False)

    async def check(client: Client) -> None:
        client.app._pages = pages
        body = (await client("GET", "/docs")).body
        assert b"<script>alert" not in body and body.count(b"&lt;script&gt;alert") == 6

    asking(check)


def test_other_methods_and_files_are_no_pages() -> None:
    async def check(client: Client) -> None:
        assert (await client("HEAD", "/docs")).status == 200
        cases = (("GET", "/assets/pages.py"), ("GET", "/assets/../pages.py"), ("POST", "/docs"))
        for method, path in cases:
            assert (await client(method, path, accept=BROWSER)).status == 404
        assert (await client("POST", "/", b"{}", accept=BROWSER)).status == 422

    asking(check)
