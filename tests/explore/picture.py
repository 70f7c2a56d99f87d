"""The picture of `bge explore` in README: python -m tests.explore.picture [FILE]

The attention panel as Chromium shows it for TEXT, by all-MiniLM-L6-v2.
"""

import sys
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.explore.serving import Explorer
from tests.support import checkpoints
from tests.support.browsing import chromium, opened
from tests.support.paths import ROOT

TEXT = "We sat on the river bank and watched the boats."
HEIGHT = 970  # pixels: the maps, one head, and the lines of model.py beside them
PICTURE = ROOT / ".pictures" / "explore.png"


def take(browser: Browser, file: Path, explorer: Explorer) -> None:
    """Writes the picture, a PNG."""
    with opened(browser, explorer.url, width=1400) as page:
        page.get_by_label("Your text", exact=True).fill(TEXT)
        expect(page.locator("#token-list label").nth(6)).to_contain_text("bank")
        expect(page.locator("#status")).to_contain_text(" ms")
        expect(page.locator("#attention .steps li").first).to_be_visible()
        page.locator("#map rect.cell").nth(6 * 13 + 5).hover()
        expect(page.locator("#cell")).to_contain_text("“bank” gathers")
        page.evaluate("scrollTo(0, 0)")
        box = page.locator("#attention").bounding_box()
        page.screenshot(path=file, full_page=True, clip={**box, "height": HEIGHT})


if __name__ == "__main__":
    explorer = Explorer("--model", str(checkpoints.minilm()))
    with chromium() as browser:
        take(browser, Path(sys.argv[1]) if sys.argv[1:] else PICTURE, explorer)
    explorer.stop()
