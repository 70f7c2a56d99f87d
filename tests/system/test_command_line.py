"""Unknown options, and the nearest known one."""

from argparse import ArgumentParser, BooleanOptionalAction

import pytest

from engine.system.command_line import did_you_mean, parse


@pytest.fixture
def parser() -> ArgumentParser:
    made = ArgumentParser(prog="x", allow_abbrev=False)
    made.add_argument("--threads", type=int)
    made.add_argument_group("more").add_argument("--normalize", action=BooleanOptionalAction)
    made.add_mutually_exclusive_group().add_argument("--max-batch-tokens", metavar="N")
    return made


def test_known_options_are_parsed(parser: ArgumentParser) -> None:
    assert parse(parser, ["--threads", "3"]).threads == 3


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--thread", "3"], "unrecognized arguments: --thread 3; did you mean --threads?\n"),
        (["--no-normalise"], "--no-normalise; did you mean --no-normalize?\n"),
        (["--max-batch-token=3"], "--max-batch-token=3; did you mean --max-batch-tokens?\n"),
        (["--quiet"], "unrecognized arguments: --quiet\n"),
        (["threads"], "unrecognized arguments: threads\n"),
    ],
)
def test_an_unknown_one_is_wrong_usage_with_a_hint(
    parser: ArgumentParser,
    words: list[str],
    complaint: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stop:
        parse(parser, words)
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert error.startswith("usage: x ") and error.endswith(complaint)


def test_no_hint_where_nothing_is_like_it() -> None:
    assert did_you_mean("embd", ["serve", "embed"]) == "; did you mean embed?"
    assert did_you_mean("zzz", ["serve", "embed"]) == ""
