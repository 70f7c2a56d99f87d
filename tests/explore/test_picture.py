"""The picture in README can be made anew."""

from pathlib import Path

from playwright.sync_api import Browser

from tests.explore import picture
from tests.explore.serving import Explorer


def test_the_page_is_as_it_was(browser: Browser, minilm: Path, tmp_path: Path) -> None:
    explorer = Explorer("--model", str(minilm))
    picture.take(browser, tmp_path / "new.png", explorer)
    assert explorer.stop()[0] == 0
    new, shown = (file.read_bytes() for file in (tmp_path / "new.png", picture.PICTURE))
    assert new[:8] == shown[:8] == b"\x89PNG\r\n\x1a\n"
    assert new[16:24] == shown[16:24]  # width and height; fonts differ between machines
