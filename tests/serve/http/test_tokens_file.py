"""Tokens from a file, and from the file as it is after SIGHUP."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from engine.errors import InputError
from engine.serve.http.tokens_file import read_tokens_file
from engine.serve.settings import parse_settings
from tests.serve.serving import FAKE, ROOT, Server, fake_server


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "tokens", "first-secret\n")


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("one", ("one",)),
        ("# ours\none\n\n  two  \r\n#three\n", ("one", "two")),
        ("\ufeffone\n", ("one",)),
        ("a#b\n# many words\n", ("a#b",)),
        ("żółć\n", ("żółć",)),
    ],
)
def test_one_token_a_line(file: Path, text: str, tokens: tuple[str, ...]) -> None:
    found = read_tokens_file(write(file, text))
    assert found.tokens == tokens and not found.exposed
    assert not any(f"'{token}'" in repr(found) for token in tokens)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "holds no token"),
        ("# a comment\n\n", "holds no token"),
        ("one\nsecret # of Anna\n", "line 2 has a space in it"),
        (b"secret\xff", "is not UTF-8 text"),
    ],
)
def test_unusable_files(file: Path, text: str | bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why) as raised:
        read_tokens_file(write(file, text))
    assert "secret" not in str(raised.value)


def test_what_is_no_file(file: Path) -> None:
    os.mkfifo(file.with_name("pipe"))
    for path in (file.with_name("missing"), file.parent, file.with_name("pipe")):
        with pytest.raises(ValueError, match="there is no such file"):
            read_tokens_file(path)


@pytest.mark.parametrize(("mode", "exposed"), [(0o600, False), (0o640, False), (0o644, True)])
def test_whether_others_can_read_it(file: Path, mode: int, exposed: bool) -> None:
    file.chmod(mode)
    assert read_tokens_file(file).exposed == exposed


def test_the_tokens_of_the_file_and_of_the_variable_count(file: Path) -> None:
    settings = parse_settings(["--host", "0.0.0.0", "--tokens-file", str(file)], {})
    assert settings.all_tokens == ("first-secret",) and "secret" not in repr(settings)
    both = {"BGE_API_TOKENS": "one,two", "BGE_TOKENS_FILE": str(file)}
    assert parse_settings([], both).all_tokens == ("one", "two", "first-secret")
    with pytest.raises(InputError, match="Set it or --tokens-file"):
        parse_settings(["--host", "0.0.0.0"], {})


def test_an_empty_file_stops_the_start(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        parse_settings(["--tokens-file", str(write(file, ""))], {})
    assert raised.value.code == 2
    assert f"--tokens-file: '{file}': holds no token" in capsys.readouterr().err


def status(server: Server, token: str) -> int:
    headers = {"authorization": f"Bearer {token}"}
    return server.ask("/embed", {"inputs": "a"}, headers=headers).status


def hang_up(server: Server, event: str) -> None:
    """SIGHUP, and the line about it in the log."""
    lines = len([line for line in server.log if line["event"] == event])
    server.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 5
    while len([line for line in [*server.log] if line["event"] == event]) == lines:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
def test_sighup_reads_the_file_again(file: Path) -> None:
    options = ("--tokens-file", str(file))
    with fake_server(*options, BGE_API_TOKENS="fixed-secret") as server:
        assert [status(server, f"{name}-secret") for name in ("first", "fixed")] == [200, 200]
        write(file, "second-secret\nthird-secret\n")
        assert status(server, "first-secret") == 200
        hang_up(server, "tokens")
        names = ("first", "second", "third", "fixed")
        assert [status(server, f"{name}-secret") for name in names] == [401, 200, 200, 200]
        assert [line["tokens"] for line in server.log if line["event"] == "tokens"] == [2, 3]
        write(file, "")
        hang_up(server, "log")
        file.unlink()
        hang_up(server, "log")
        assert status(server, "second-secret") == 200 and status(server, "") == 401
        messages = [line["message"] for line in server.log if line["event"] == "log"]
        assert messages == [
            f"the API tokens stay as they were: {file}: holds no token; write one a line",
            f"the API tokens stay as they were: {file}: there is no such file",
        ]
        write(file, "fourth-secret").chmod(0o644)
        hang_up(server, "log")
        assert "every user of this machine can read the API tokens" in server.log[-1]["message"]
        assert server.stop() == 0
        assert b"secret" not in b"".join(server.raw_log)


@pytest.mark.slow
def test_sighup_drops_no_request(file: Path) -> None:
    options = ("--tokens-file", str(file), "--max-batch-tokens", "40")
    with fake_server(*options, FAKE_SECONDS_A_BATCH="0.02") as server:
        statuses: list[int] = []
        clients = [
            threading.Thread(
                target=lambda: statuses.extend(status(server, "first-secret") for _ in range(20))
            )
            for _ in range(8)
        ]
        for client in clients:
            client.start()
        for _ in range(20):
            server.process.send_signal(signal.SIGHUP)
            time.sleep(0.02)
        for client in clients:
            client.join()
        assert statuses == [200] * 160 and server.stop() == 0


@pytest.mark.slow
def test_a_sighup_during_the_start_is_not_lost(file: Path) -> None:
    command = [sys.executable, *FAKE, "--port", "0", "--tokens-file", str(file)]
    environ = {**os.environ, "FAKE_SECONDS_TO_LOAD": "1"}
    with subprocess.Popen(command, cwd=ROOT, env=environ, stderr=subprocess.PIPE) as process:
        mask = 1 << (signal.SIGHUP - 1)
        about = Path(f"/proc/{process.pid}/status")
        while not int(about.read_text().split("SigIgn:")[1].split()[0], 16) & mask:
            assert process.poll() is None
            time.sleep(0.01)
        write(file, "second-secret\nthird-secret\n")
        process.send_signal(signal.SIGHUP)
        assert process.stderr is not None
        tokens, ready = (json.loads(process.stderr.readline()) for _ in range(2))
        process.terminate()
    assert (tokens["event"], tokens["tokens"], ready["event"]) == ("tokens", 2, "ready")


def test_without_a_file_sighup_ends_the_server() -> None:
    with fake_server() as server:
        assert server.stop(signal.SIGHUP) == -signal.SIGHUP
