"""Parts are whole or absent. Nothing is downloaded here."""

from pathlib import Path

import pytest

from tests.emulation import parts


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.emulation.parts.folder", lambda: tmp_path / "emulation")


def test_a_part_is_made_once() -> None:
    calls: list[Path] = []
    places = {parts.made("a-1.0", calls.append) for _ in range(2)}
    assert len(calls) == len(places) == 1
    assert places.pop().is_dir()


def test_an_interrupted_part_is_made_again() -> None:
    def interrupted(part: Path) -> None:
        (part / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        parts.made("a", interrupted)
    assert not (parts.folder() / "a").exists()
    place = parts.made("a", lambda part: (part / "all").touch())
    assert [file.name for file in place.iterdir()] == ["all"]


def test_without_the_tools_one_error_says_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(parts.Unavailable, match=r"cannot be made here: (.|\n)*It needs Debian"):
        parts.root()


def test_a_tool_that_fails_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "version", lambda _: "no version")
    with pytest.raises(parts.Unavailable, match=r"ended with 1:\n(.|\n)*no version"):
        parts.site(numba=False)
