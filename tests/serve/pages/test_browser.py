"""The pages in a browser: what they do, that they stay on this server, and who can use them."""

from collections.abc import Iterator
from functools import partial

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.serve.serving import Server, fake_server
from tests.support import browsing
from tests.support.browsing import accessible

TOKEN = "a-token-of-the-tests"
EVIL = "<img/src=x/onerror=document.title='run'>"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with fake_server(BGE_MODEL=f"fake={EVIL}") as server:
        yield server


@pytest.fixture(scope="module")
def locked() -> Iterator[Server]:
    with fake_server(BGE_API_TOKENS=TOKEN) as server:
        yield server


opened = partial(browsing.opened, secret=TOKEN)


def send_example(page: Page, operation: str) -> str:
    """Opens the operation, sends its example, and returns the text of what is shown then."""
    place = page.locator(f"#{operation}")
    place.locator("summary").click()
    place.get_by_role("button", name="Send").click()
    answer = place.locator("[aria-live]")
    expect(answer).to_contain_text(" ms")
    return answer.inner_text()


def test_the_front_page_shows_the_models_and_compares_texts(
    browser: Browser, server: Server
) -> None:
    with opened(browser, server.url) as page:
        expect(page.locator("#models tr")).to_have_text([f"fake or {EVIL}16fake64 tokens"])
        page.get_by_label("Texts").fill(f"a cat\n\n{EVIL}\na cat")
        page.get_by_role("button", name="Compare").click()
        expect(page.get_by_role("status")).to_contain_text("3 texts, 11 tokens")
        numbers = page.locator("#matrix td").all_inner_texts()
        assert [numbers[i] for i in (0, 2, 4, 6, 8)] == ["1.000"] * 5 and numbers[1] == numbers[3]
        vectors = server.ask("/embed", {"inputs": ["a cat", EVIL]}).json
        assert numbers[1] == f"{sum(a * b for a, b in zip(*vectors, strict=True)):.3f}"
        shown = page.locator("#vectors td").first.inner_text().split()
        assert shown == [f"{number:.4f}" for number in vectors[0][:8]] + ["…"]
        assert server.url in page.locator("#curl").inner_text()
        page.get_by_label("Texts").fill("\n")
        page.get_by_role("button", name="Compare").click()
        expect(page.get_by_role("status")).to_have_text("Type at least one text.")


def test_the_documentation_shows_and_sends_every_kind_of_operation(
    browser: Browser, server: Server
) -> None:
    with opened(browser, f"{server.url}/docs#embed") as page:
        expect(page.locator("#embed pre").first).to_be_visible()  # opened by the link
        details = page.locator("#createEmbeddings pre")
        expect(details.first).to_contain_text("input: string | string[] (at most 2048)")
        assert '"object": "list"' in send_example(page, "createEmbeddings")
        assert "te_request_count" in send_example(page, "metrics")
        run = send_example(page, "run")
        assert "/client/v4/accounts/any/ai/run/fake" in run and '"success": true' in run


def test_every_example_is_a_valid_request(browser: Browser, server: Server) -> None:
    with opened(browser, f"{server.url}/docs") as page:
        expect(page.locator("#embed pre").first).to_be_attached()
        places = page.locator("details[data-path]")
        places.evaluate_all("all => all.forEach((one) => { one.open = true; })")
        for button in page.get_by_role("button", name="Send").all():
            button.click()
        answers = page.locator("form p")
        expect(answers).to_have_count(places.count() + 1)  # and the one beside the token
        assert {text[:3] for text in answers.all_inner_texts() if " ms" in text} == {"200"}


@pytest.mark.parametrize(("path", "place"), [("/", "#models"), ("/docs", "#createEmbeddings div")])
def test_a_token_is_asked_for_and_kept_nowhere(
    browser: Browser, locked: Server, path: str, place: str
) -> None:
    with opened(browser, f"{locked.url}{path}") as page:
        page.wait_for_load_state("networkidle")
        assert "fake" not in page.content()
        page.get_by_label("API token").fill(TOKEN)
        page.keyboard.press("Enter")
        expect(page.locator(place).first).to_contain_text("fake")
        assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [
            0, 0, "",
        ]  # fmt: skip
        assert TOKEN not in page.url and TOKEN not in page.content() and accessible(page)


def test_a_wrong_token_is_an_error_on_the_page(browser: Browser, locked: Server) -> None:
    page = browser.new_page()
    page.goto(locked.url)
    page.get_by_label("API token").fill("wrong")
    page.get_by_role("button", name="Use token").click()
    expect(page.get_by_role("alert")).to_have_text("401: Authentication error")
    page.close()


@pytest.mark.parametrize(("width", "scheme"), [(400, "light"), (1024, "dark")])
def test_the_pages_are_accessible(
    browser: Browser, server: Server, width: int, scheme: str
) -> None:
    with opened(browser, server.url, width=width, scheme=scheme) as page:
        page.get_by_role("button", name="Compare").click()
        expect(page.locator("#result")).to_be_visible()
        assert accessible(page)
        page.get_by_role("link", name="API documentation").click()
        send_example(page, "createEmbeddings")
        assert accessible(page)


def test_the_keyboard_reaches_everything(browser: Browser, server: Server) -> None:
    with opened(browser, server.url) as page:
        expect(page.locator("#models tr")).to_have_count(1)
        page.get_by_label("Texts").focus()
        for _ in range(2):
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.locator("#result")).to_be_visible()
    with opened(browser, f"{server.url}/docs") as page:
        expect(page.locator("#embed pre").first).to_be_attached()
        page.locator("#embed summary").focus()
        page.keyboard.press("Enter")
        for name in ("Request body", "Response"):
            page.keyboard.press("Tab")
            assert page.evaluate("document.activeElement.ariaLabel") == name
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "embed-body"
