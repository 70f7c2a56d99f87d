"""A batch queue in a process of its own, to be killed; and the fake computation behind it.

    with QueueProcess(url) as queue:
        request_id = queue.submit(items)
        queue.kill()

The process speaks JSON, a line a command and a line an answer, on its standard streams.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from engine.errors import EngineError
from engine.serve.queue.batch_queue import BatchQueue, Status
from tests.support.paths import ROOT

ACCOUNT = "0123456789abcdef"
WIDTH = 4


def word_lengths(texts: list[str]) -> np.ndarray[Any, Any]:
    """The fake embedding, (n, 4): the lengths of a text's first words, over 3 to have bits."""
    rows = [[len(word) for word in text.split()][:WIDTH] for text in texts]
    return np.array([row + [0] * (WIDTH - len(row)) for row in rows], np.float32) / np.float32(3)


async def embed(model: str, item: dict[str, Any]) -> dict[str, Any]:
    """run_item: raises for the text "bad"."""
    texts = [item["text"]] if isinstance(item["text"], str) else item["text"]
    if "bad" in texts:
        raise ValueError("a bad item")
    result = {"shape": [len(texts), WIDTH], "data": word_lengths(texts), "pooling": "mean"}
    tokens = sum(len(text.split()) for text in texts)
    return {"success": True, "result": result, "error": None, "prompt_tokens": tokens}


def batch(seed: int, size: int = 8) -> list[dict[str, Any]]:
    """Items with a reference; every seventh text of theirs is a list."""
    texts = [" ".join("x" * (1 + (seed + i * w) % 9) for w in range(1, 6)) for i in range(size)]
    return [
        {"text": [text] * 3 if i % 7 == 6 else text, "external_reference": f"{seed}/{i}"}
        for i, text in enumerate(texts)
    ]


def assert_right(items: list[dict[str, Any]], status: dict[str, Any]) -> None:
    """Every item answered once, in order, with its own vectors and reference."""
    assert status["state"] == "done", status
    responses = status["responses"]
    assert [response["id"] for response in responses] == list(range(len(items)))
    for item, response in zip(items, responses, strict=True):
        texts = [item["text"]] if isinstance(item["text"], str) else item["text"]
        assert response["success"] is True
        assert response["external_reference"] == item["external_reference"]
        assert response["result"]["data"] == word_lengths(texts).tolist()


class QueueProcess:
    """The process, seen from outside; `pause` is how long an item takes to compute."""

    def __init__(self, url: str, *, pause: float = 0.002, journal: Path | None = None) -> None:
        command = [sys.executable, "-m", "tests.serve.queue.process", url, str(pause)]
        self._process = subprocess.Popen(
            [*command, *([str(journal)] if journal else [])],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self.pid = self._process.pid
        self.ready = self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def submit(self, items: list[dict[str, Any]]) -> str:
        """The id of an accepted request; EOFError when the process died before it answered."""
        return str(self._ask({"do": "submit", "items": items}))

    def status(self, request_id: str) -> dict[str, Any] | None:
        """The fields of a Status, arrays as lists."""
        return self._ask({"do": "status", "id": request_id})

    def finished(self, request_id: str, patience: float = 60.0) -> dict[str, Any]:
        """The status, once done."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            status = self.status(request_id)
            assert status is not None, f"request {request_id} was lost"
            if status["state"] == "done":
                return status
            time.sleep(0.05)
        raise AssertionError(f"request {request_id} was not finished after {patience} s")

    def stop(self) -> int:
        """Ask it to stop, as a server does on SIGTERM; its exit status."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(30)

    def kill(self) -> None:
        """kill -9, and nothing else."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                with contextlib.suppress(OSError):  # a command the process did not live to read
                    stream.close()

    def _ask(self, command: dict[str, Any]) -> Any:
        assert self._process.stdin
        try:
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise EOFError from error
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line.endswith("\n"):
            raise EOFError("the queue's process has ended")
        return json.loads(line)


async def serve(url: str, pause: float, journal: str | None) -> None:
    """The inside of the process, until its input ends or SIGTERM comes."""

    async def run_item(model: str, item: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(pause)
        if journal:
            with Path(journal).open("a") as file:
                file.write(f"{os.getpid()} {item['external_reference']}\n")
        return await embed(model, item)

    queue = BatchQueue(url, run_item)
    try:
        await queue.start()
    except EngineError as error:
        print(json.dumps({"refused": str(error)}), flush=True)
        return
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    print(json.dumps({"started": os.getpid()}), flush=True)
    talk = asyncio.create_task(_talk(queue))
    await asyncio.wait({talk, asyncio.create_task(stopped.wait())}, return_when="FIRST_COMPLETED")
    await queue.stop()
    os._exit(0)  # the thread that reads standard input would not end


async def _talk(queue: BatchQueue) -> None:
    while line := await asyncio.to_thread(sys.stdin.readline):
        try:
            answer = await _do(queue, json.loads(line))
        except EngineError as error:
            answer = {"state": "error", "error": str(error)}
        print(json.dumps(answer), flush=True)


async def _do(queue: BatchQueue, command: dict[str, Any]) -> Any:
    if command["do"] == "submit":
        return await queue.submit("model", ACCOUNT, command["items"])
    return _plain(await queue.status(ACCOUNT, command["id"]))


def _plain(status: Status | None) -> dict[str, Any] | None:
    if status is None:
        return None
    for response in status.responses or []:
        if response["result"]:
            response["result"]["data"] = response["result"]["data"].tolist()
    return vars(status)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], float(sys.argv[2]), (sys.argv[3:] or [None])[0]))
