"""Pages in a real browser, and what must hold on each of them.

Chromium is the system's if it has one, else that of `playwright install chromium`.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright


@contextmanager
def chromium() -> Iterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found)
        yield browser
        browser.close()


@contextmanager
def opened(
    browser: Browser, url: str, *, width: int = 1920, scheme: str = "light", secret: str = ""
) -> Iterator[Page]:
    """A page; at the end: no error in its console, no request to elsewhere, not wider than the
    window, the secret in no URL."""
    seen: list[str] = []
    problems: list[str] = []
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme=scheme,
    )
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.on("request", lambda request: seen.append(request.url))
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(url)
    yield page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.title() != "run" and not problems
    assert {urlsplit(each).netloc for each in seen} == {urlsplit(url).netloc}
    assert not (secret and any(secret in each for each in seen))
    context.close()


def accessible(page: Page) -> bool:
    found = Axe().run(page)
    assert not found.violations_count, found.generate_report()
    return True
