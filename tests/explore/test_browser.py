"""The page in a browser: what it shows of a text, and who can use it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from engine.explain import Explanation, compare, explain
from tests.conftest import Load
from tests.explore.serving import shared
from tests.support.browsing import accessible, opened

TEXT = "the red fox"
EVIL = "<img/src=x/onerror=document.title='run'>"


@contextmanager
def page_of(browser: Browser, width: int = 1920, scheme: str = "light") -> Iterator[Page]:
    """The page, when all that it asks by itself is responded to."""
    with opened(browser, shared().url, width=width, scheme=scheme) as page:
        expect(page.locator("#status")).to_contain_text(" ms")
        for panel in ("tokens", "attention", "layers", "pooling", "pair", "many"):
            expect(page.locator(f"#{panel} .steps li").first).to_be_visible()
        yield page


def type_text(page: Page, text: str = TEXT) -> None:
    """Types, and waits until the page shows the tokens of the text."""
    page.get_by_label("Your text", exact=True).fill(text)
    count = len(shared().ask("/api/explain", {"text": text}).json["tokens"])
    expect(page.locator("#token-list label")).to_have_count(count)
    expect(page.locator("#status")).to_contain_text(" ms")


def number(text: str) -> float:
    return float(text.replace("−", "-"))


def numbers(text: str) -> list[float]:
    return [number(one) for one in re.findall(r"−?\d+(?:\.\d+)?", text)]


def test_typing_shows_tokens_and_their_embedding(browser: Browser, load: Load) -> None:
    found = explain(load("tiny", "reference"), TEXT)
    with page_of(browser) as page:
        type_text(page)
        tokens = page.locator("#token-list label").all_inner_texts()
        assert [each.split() for each in tokens] == [
            [token, str(id)] for token, id in zip(found.tokens, found.ids_L.tolist(), strict=True)
        ]
        page.locator("#token-list label").nth(1).click()
        steps = page.locator("#tokens .steps li")
        last = numbers(steps.last.inner_text().partition("(")[2])
        np.testing.assert_allclose(last, found.hidden_ELD[0, 1, :4], atol=0.0051)
        expect(steps.nth(0)).to_contain_text(f"row {found.ids_L[1]} of the word table")


def test_layers_heads_and_hover(browser: Browser, load: Load) -> None:
    found = explain(load("tiny", "reference"), TEXT)
    with page_of(browser) as page:
        type_text(page)
        assert page.locator("#heads canvas").count() == 10
        page.locator("#heads label").nth(7).click()  # layer 2, head 3
        expect(page.locator("#map-title")).to_have_text("Layer 2, head 3")
        page.locator('#map rect[data-i="1"][data-j="2"]').hover()
        weight = found.attention_NHLL[1, 2, 1, 2]
        told = f"“{found.tokens[1]}” gathers {100 * weight:.1f} % from “{found.tokens[2]}”"
        expect(page.locator("#cell")).to_have_text(told)
        steps = page.locator('#attention .steps[aria-busy="false"] li')
        expect(steps.nth(6)).to_contain_text("the weight of this cell")
        shown = numbers(steps.nth(6).inner_text().partition("=")[2])[0]
        assert shown == pytest.approx(float(weight), abs=3e-4)
        rows = page.locator("#gathers tbody tr td").all_inner_texts()
        expected = np.sort(found.attention_NHLL[1, 2, 1])[::-1][: len(rows)]
        np.testing.assert_allclose([number(row) for row in rows], expected, atol=0.6e-3)
        drawn = page.evaluate(
            "[...document.querySelectorAll('#map rect.cell')]"
            ".map((one) => Number(one.getAttribute('fill-opacity')))"
        )
        weights = found.attention_NHLL[1, 2]
        np.testing.assert_allclose(drawn, weights.ravel() / weights.max(), atol=1e-3)


def test_the_way_through_the_layers(browser: Browser, load: Load) -> None:
    found = explain(load("tiny", "reference"), TEXT)
    words = shared().ask("/api/words", {"text": TEXT, "token": 1}).json["words"]
    with page_of(browser) as page:
        type_text(page)
        page.locator("#token-list label").nth(1).click()
        cells = page.locator("#depths tbody tr td")
        expect(cells.last).to_have_text(" · ".join(word for word, _ in words[-1]))
        lengths = [number(text) for text in cells.all_inner_texts()[::2]]
        np.testing.assert_allclose(lengths, found.norms_EL()[:, 1], atol=0.0051)
        assert page.locator("#path polyline").count() == len(found.tokens) + 1
        page.locator("#layer").select_option("1")
        last = page.locator("#layers .steps[aria-busy='false'] li").last
        expect(last).to_contain_text("the state after layer 1")
        shown = numbers(last.inner_text().partition("(")[2])
        np.testing.assert_allclose(shown[:4], found.hidden_ELD[1, 1, :4], atol=0.0051)


def test_pooling_and_two_texts(browser: Browser, load: Load) -> None:
    embedder = load("tiny", "reference")
    found, pair = explain(embedder, TEXT), compare(embedder, TEXT, "a blue fox")
    with page_of(browser) as page:
        type_text(page)
        cells = page.locator("#shares tbody td").all_inner_texts()
        shares = [numbers(text)[0] for text in cells[::2]]
        np.testing.assert_allclose(shares, 100 * found.shares_EL()[-1], atol=0.0501)
        assert [text.strip() for text in cells[1::2]] == ["100 %"] + ["0 %"] * (len(shares) - 1)
        page.get_by_label("The other text").fill("a blue fox")
        page.get_by_role("button", name="Compare", exact=True).click()
        expect(page.locator("#pair-status")).to_contain_text(f"Cosine {pair.cosine:.4f}")
        page.locator('#pair-map rect[data-i="1"][data-j="2"]').hover()
        value = pair.contributions_AB[1, 2]
        told = f"“{pair.a.tokens[1]}” and “{pair.b.tokens[2]}” give {value:.4f} of"
        expect(page.locator("#pair-cell")).to_contain_text(told.replace("-", "−"))


def test_many_texts_by_mean_and_by_cls(browser: Browser, load: Load) -> None:
    texts = [TEXT, "a blue fox", "the end"]
    with page_of(browser) as page:
        page.get_by_label("Texts, one per line").fill("\n\n".join(texts))
        page.get_by_role("button", name="Compare all").click()
        expect(page.locator("#many-status")).to_have_text("3 texts")
        for pooling in ("cls", "mean"):
            page.get_by_label(pooling, exact=True).check()
            vectors = load("tiny", "reference").encode(texts, pooling=pooling)
            cells = [number(one) for one in page.locator("#matrix td").all_inner_texts()]
            np.testing.assert_allclose(cells, (vectors @ vectors.T).ravel(), atol=0.0051)
        assert page.locator("#scatter circle").count() == 3


def test_three_precisions(browser: Browser) -> None:
    with page_of(browser) as page:
        type_text(page)
        page.get_by_role("button", name="Measure").click()
        expect(page.locator("#precisions-status")).to_have_text(
            f"Measured for “{TEXT}”", timeout=180_000
        )
        rows = page.locator("#errors tbody tr").all_inner_texts()
        names = ["float32", "int16", "int8"]
        assert [row.split()[0] for row in rows] == ["model.py", *names]
        for row, name in zip(rows[1:], names, strict=True):
            got = shared().ask("/api/precision", {"text": TEXT, "name": name}).json
            *first, _, largest = map(number, row.split()[1:])
            np.testing.assert_allclose(first, got["first"], atol=0.51e-5)
            assert largest == pytest.approx(got["largest"], rel=0.051)


def test_the_numbers_can_be_saved(browser: Browser, load: Load, tmp_path: Path) -> None:
    with page_of(browser) as page:
        type_text(page)
        with page.expect_download() as download:
            page.get_by_role("button", name="Save all numbers").click()
        assert download.value.suggested_filename == "explanation.npz"
        download.value.save_as(tmp_path / "saved.npz")
    saved, found = (
        Explanation.load(tmp_path / "saved.npz"),
        explain(load("tiny", "reference"), TEXT),
    )
    assert saved.text == TEXT and np.array_equal(saved.attention_NHLL, found.attention_NHLL)


def test_formulas_and_lines_of_the_model_lead_to_each_other(browser: Browser) -> None:
    with page_of(browser) as page:
        for panel in ("tokens", "attention", "layers", "pooling", "pair", "many"):
            for step in page.locator(f"#{panel} .steps li").all():
                line = page.locator(step.locator("a").get_attribute("href"))
                assert line.locator("a").get_attribute("href") == f"#{step.get_attribute('id')}"
        page.get_by_text("What the letters in model.py mean").click()
        expect(page.locator("#legend")).to_contain_text("attention heads")
        step = page.locator("#attention .steps[aria-busy='false'] li").filter(has_text="exp(")
        line = page.locator("#attention .line", has_text="np.exp(")
        step.hover()
        expect(line).to_have_class(re.compile("lit"))
        page.locator("#tokens .line", has_text="weights.word_VD").hover()
        expect(page.locator("#tokens .steps li").first).to_have_class(re.compile("lit"))
        line.locator("a").click()
        expect(step).to_be_in_viewport()
        assert page.url.endswith(f"#{step.get_attribute('id')}")


def test_what_is_typed_is_text(browser: Browser) -> None:
    with page_of(browser) as page:
        type_text(page, EVIL)
        page.get_by_label("The other text").fill(EVIL)
        page.get_by_role("button", name="Compare", exact=True).click()
        page.get_by_label("Texts, one per line").fill(f"{EVIL}\na")
        page.get_by_role("button", name="Compare all").click()
        expect(page.locator("#matrix tbody th").first).to_have_text(f"1 {EVIL}")
        expect(page.locator("#scatter title").first).to_have_text(EVIL)
        expect(page.locator("#pair-status")).to_contain_text("Cosine")
        assert page.locator("main img").count() == 0


def test_errors_are_shown_and_the_page_goes_on(browser: Browser) -> None:
    page = browser.new_page()  # without a look at its console, where Chromium reports them too
    page.goto(shared().url)
    expect(page.locator("#many-status")).to_have_text("7 texts")
    page.get_by_label("Texts, one per line").fill("a\n" * 21)
    page.get_by_role("button", name="Compare all").click()
    told = "400: 21 texts; this page compares 1 to 20."
    expect(page.locator("#many-status .problem")).to_have_text(told)
    assert page.locator("#matrix td").count() == 49  # as before
    page.route("**/api/explain", lambda route: route.abort())
    page.get_by_label("Your text", exact=True).fill(TEXT)
    expect(page.locator("#status .problem")).to_be_visible()
    page.unroute("**/api/explain")
    type_text(page, f"{TEXT} again")
    page.close()


@pytest.mark.parametrize(("width", "scheme"), [(400, "light"), (1024, "dark"), (1920, "light")])
def test_it_is_accessible_at_every_width(browser: Browser, width: int, scheme: str) -> None:
    with page_of(browser, width, scheme) as page:
        assert accessible(page)
        type_text(page, "the red fox and the blue one " * 9)  # as many tokens as tiny takes
        expect(page.locator("#tokens-about")).to_contain_text("The model's limit left out ")


def test_the_keyboard_reaches_everything(browser: Browser) -> None:
    token = shared().ask("/api/explain", {"text": TEXT}).json["tokens"][3]
    with page_of(browser) as page:
        type_text(page)
        page.get_by_label("Your text", exact=True).focus()
        for _ in range(2 + 7 + 2):  # the buttons, the links to the panels, the letters, the tokens
            page.keyboard.press("Tab")
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.value") == "3"
        expect(page.locator("#tokens .steps li").first).to_contain_text(f"“{token}”")
        while page.evaluate("document.activeElement.name") != "head":
            page.keyboard.press("Tab")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowRight")
        expect(page.locator("#map-title")).to_have_text("Layer 2, head 2")
        page.keyboard.press("Tab")
        before = page.locator("#cell").inner_text()
        page.keyboard.press("ArrowRight")
        expect(page.locator("#cell")).not_to_have_text(before)
        assert page.evaluate("document.activeElement.id") == "map"
