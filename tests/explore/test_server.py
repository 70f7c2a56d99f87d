"""How the server starts and ends."""

import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from tests.explore.serving import Explorer
from tests.support.paths import ROOT


def test_ctrl_c_ends_it_quietly() -> None:
    explorer = Explorer()
    assert explorer.greeting == f"bge: tiny is at {explorer.url} (Ctrl-C ends it)\n"
    assert explorer.url.startswith("http://127.0.0.1:")
    assert explorer.ask("/api/about", {}).status == 200
    assert explorer.stop(signal.SIGINT) == (0, "")


def test_sigterm_ends_it_quietly_too() -> None:
    explorer = Explorer()
    assert explorer.ask("/").status == 200
    assert explorer.stop(signal.SIGTERM) == (-signal.SIGTERM, "")


def test_ctrl_c_while_connections_are_open() -> None:
    explorer = Explorer()
    address = ("127.0.0.1", int(explorer.url.rpartition(":")[2]))
    with socket.create_connection(address) as idle, socket.create_connection(address) as half:
        half.sendall(b"POST /api/explain HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{")
        assert explorer.ask("/").status == 200
        status, _ = explorer.stop(signal.SIGINT)
        assert status == 0 and idle.recv(1) == b""


def test_a_port_that_is_taken_is_an_error_before_the_model_is_loaded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        explorer = Explorer("--port", str(port), "--model", "nowhere/at-all")
        told = f"bge: error: cannot listen on 127.0.0.1 port {port}: "
        assert explorer.greeting.startswith(told)
        assert explorer.greeting.endswith("choose another with --port.\n")
        assert explorer.process.wait(30) == 1


@pytest.mark.parametrize("opened", [True, False])
def test_the_page_is_opened_if_asked(opened: bool) -> None:
    code = (
        "import sys, webbrowser, engine.cli.main as cli\n"
        "webbrowser.open = lambda url: print('opens', url, file=sys.stderr)\n"
        "sys.exit(cli.main())"
    )
    words = ["explore", "--model", "weights/tiny", "--port", "0", *["--open"] * opened]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    url = process.stderr.readline().split()[4]
    if opened:
        assert process.stderr.readline() == f"opens {url}\n"
    urllib.request.urlopen(url).close()
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=30)[1] == ""
