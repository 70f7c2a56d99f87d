"""Measures the service: throughput, latency, JSON, overload, tiny requests, and shutdown.

    python bench/serve_load.py --model minilm
    python bench/serve_load.py --model bge-shape --measure json

A server is started on the loopback address, and the library is loaded in this process. The two are
measured in turn, so that other load on the machine affects both. Requests and time are limited.
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

import engine
from bench.checkpoints import find_checkpoint
from bench.http_load import Load, Outcome, cycle, post, ramp
from bench.machine import describe
from bench.texts import load_cases
from engine.serve.http.messages import to_json

ROOT = Path(__file__).parents[1]
CLIENTS = 32
MB = 1e6


class Bench:
    """The measurements of one model. Each measurement starts its own server."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.folder = find_checkpoint(options.model).folder
        self.texts, self.short = (list(load_cases([name])[0].texts) for name in ("mixed", "short"))

    @contextmanager
    def server(self, *more: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
        """Starts a server with the options `more`; yields its port and its process."""
        command = [sys.executable, "-m", "engine", "serve", "--model", f"{self.folder}=bench"]
        command += ["--port", "0", "--queue", "none", *more]
        if self.options.threads:
            command += ["--threads", str(self.options.threads)]
        with tempfile.NamedTemporaryFile() as log:
            process = subprocess.Popen(command, cwd=ROOT, stderr=log)
            try:
                yield port_in(Path(log.name), process), process
            finally:
                if process.poll() is None:
                    process.terminate()
                process.wait(60)

    def embedder(self) -> engine.Embedder:
        return engine.load(self.folder, threads=self.options.threads)

    def requests(self, texts: Sequence[str]) -> list[bytes]:
        return [post("/embed", json.dumps({"inputs": text}).encode()) for text in texts]

    def throughput(self) -> dict[str, Any]:
        """32 clients that send single texts, compared with one `encode` of the list of texts."""
        count = self.options.texts
        texts = [self.texts[i % len(self.texts)] for i in range(count)]
        make = cycle(self.requests(texts))
        ratios, rates = [], []
        with self.server() as (port, _), self.embedder() as embedder:
            expected = embedder.encode(texts, on_truncate="ignore")
            for _ in range(self.options.rounds):
                library = timed(lambda: embedder.encode(texts, on_truncate="ignore"))
                load = Load(port, CLIENTS, make, keep=True)
                outcome = run(load.closed(count, 600))
                ratios.append(library / outcome.elapsed)
                rates.append(count / outcome.elapsed)
                found = [json.loads(outcome.bodies[i])[0] for i in range(count)]
                assert np.array_equal(np.array(found, np.float32), expected), "vectors differ"
        return {
            "server_texts_per_s": round(statistics.median(rates), 1),
            "ratio_to_library": round(statistics.median(ratios), 3),
            "ratios": [round(ratio, 3) for ratio in ratios],
            "bits": "those of the library",
        }

    def latency(self) -> dict[str, Any]:
        """One client that sends one short text at a time, compared with `encode` of that text."""
        requests = self.requests(self.short)
        library: list[float] = []
        server: list[float] = []
        with self.server() as (port, _), self.embedder() as embedder:
            for _ in range(self.options.rounds):
                library += [timed(lambda t=text: embedder.encode(t)) for text in self.short]
                outcome = run(Load(port, 1, cycle(requests)).closed(len(requests), 60))
                server += outcome.seconds[200]
        p50 = statistics.median(server), statistics.median(library)
        return {
            "server_p50_ms": round(1000 * p50[0], 2),
            "library_p50_ms": round(1000 * p50[1], 2),
            "over_ms": round(1000 * (p50[0] - p50[1]), 2),
        }

    def json(self) -> dict[str, Any]:
        """A request of 100 texts, and the share of the time that writing its JSON takes."""
        texts = self.texts[:100]
        body = json.dumps({"model": "bench", "input": texts}).encode()
        with self.server() as (port, _):
            load = Load(port, 1, cycle([post("/v1/embeddings", body)]), keep=True)
            outcome = run(load.closed(5, 300))
        data = json.loads(outcome.bodies[0])["data"]
        vectors = np.array([item["embedding"] for item in data], np.float32)
        write = statistics.median(timed(lambda: to_json(vectors)) for _ in range(50))
        request = statistics.median(outcome.seconds[200])
        return {
            "numbers": vectors.size,
            "request_ms": round(1000 * request, 1),
            "json_ms": round(1000 * write, 2),
            "json_share": round(write / request, 4),
        }

    def overload(self) -> dict[str, Any]:
        """Requests at four times the capacity, which is measured before and after each round.

        Responses are counted from the time when the queue is full until the last request is sent.
        The load generator runs on the same machine; the CPU cores that it uses are reported.
        """
        seconds, make = self.options.overload_seconds, cycle(self.requests(self.texts))
        waiting = 64 if self.options.quick else 512

        def capacity(port: int) -> float:
            outcome = run(Load(port, CLIENTS, make).closed(self.options.texts, 600))
            return outcome.sent / outcome.elapsed

        whole = Outcome()
        ratios = []
        with self.server("--max-waiting-texts", str(waiting)) as (port, process):
            capacity(port)  # not counted: allocates memory and fills caches
            capacities = [capacity(port)]
            limit = waiting / capacities[0]
            memory = Memory(process.pid)
            for _ in range(self.options.rounds):
                load = Load(port, 2 * waiting, make)
                offered = load.open(4 * capacities[-1], seconds, patience=10 * limit)
                outcome = run(memory.beside(offered))
                capacities.append(capacity(port))
                rate = outcome.rate(200, min(limit, seconds / 2), seconds)
                ratios.append(rate / statistics.mean(capacities[-2:]))
                whole.add(outcome)
        accepted, refused = whole.count(200), whole.count(429)
        return {
            "capacities_per_s": [round(capacity, 1) for capacity in capacities],
            "offered_per_s": round(whole.sent / whole.elapsed, 1),
            "answered_to_capacity": round(statistics.median(ratios), 3),
            "ratios": [round(ratio, 3) for ratio in ratios],
            "cores_of_generator": round(whole.cpu / whole.elapsed, 3),
            "accepted": accepted,
            "refused": refused,
            "neither": whole.sent - accepted - refused,
            "unsent": whole.unsent,
            "p99_s": round(whole.quantile(200, 0.99), 2),
            "queue_limit_s": round(limit, 2),
            "p99_to_limit": round(whole.quantile(200, 0.99) / limit, 2),
            "refusal_p99_ms": round(1000 * whole.quantile(429, 0.99), 1),
            "rss_mb": memory.series(),
        }

    def tiny(self) -> dict[str, Any]:
        """Many tiny requests of all kinds. The server must not crash, and its memory not grow."""
        kinds = [
            post("/embed", b'{"inputs":"a"}'),
            post("/v1/embeddings", b'{"model":"bench","input":"a"}'),
            post("/client/v4/accounts/a/ai/run/bench", b'{"text":"a"}'),
            post("/client/v4/accounts/a/ai/run/bench", b'{"text":5}'),
            post("/embed", b"{"),
            b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n",
        ]
        with self.server() as (port, process):
            run(Load(port, CLIENTS, cycle(kinds)).closed(2000, 300))
            memory = Memory(process.pid)
            outcome = run(
                memory.beside(Load(port, CLIENTS, cycle(kinds)).closed(self.options.tiny, 900))
            )
        return {
            "requests": outcome.sent,
            "per_s": round(outcome.sent / outcome.elapsed),
            "statuses": {status: len(times) for status, times in outcome.seconds.items()},
            "lost": outcome.lost,
            "rss_mb": memory.series(),
        }

    def stop(self) -> dict[str, Any]:
        """SIGTERM under load: every request gets its response, and the exit status is 0."""
        make = cycle(self.requests(self.texts))
        sent, lost, statuses = 0, 0, []
        for _ in range(self.options.stops):
            with self.server() as (port, process):
                load = Load(port, CLIENTS, make)
                outcome = run(stopping(load, process))
                statuses.append(process.wait(60))
            sent, lost = sent + outcome.sent, lost + outcome.lost
            assert set(outcome.seconds) == {200}, outcome.seconds.keys()
        return {"stops": len(statuses), "requests": sent, "lost": lost, "statuses": statuses}


async def stopping(load: Load, process: subprocess.Popen[bytes]) -> Outcome:
    asyncio.get_running_loop().call_later(1.5, process.send_signal, signal.SIGTERM)
    return await load.closed(10**9, 60)


class Memory:
    """Records the resident memory of a process in MB, once per second."""

    def __init__(self, pid: int) -> None:
        self._statm = Path(f"/proc/{pid}/statm")
        self._seen: list[float] = []

    async def beside(self, work: Any) -> Outcome:
        """The result of `work`, during which memory is recorded."""
        watching = asyncio.create_task(self._watch())
        try:
            return await work  # type: ignore[no-any-return]
        finally:
            watching.cancel()

    async def _watch(self) -> None:
        while True:
            pages = int(self._statm.read_text().split()[1])
            self._seen.append(pages * os.sysconf("SC_PAGE_SIZE") / MB)
            await asyncio.sleep(1)

    def series(self) -> list[float]:
        """The first value, the mean of each sixth of the series, and the last value."""
        means = [round(mean, 1) for mean in ramp(self._seen)]
        return [round(self._seen[0], 1), *means, round(self._seen[-1], 1)]


def port_in(log: Path, process: subprocess.Popen[bytes]) -> int:
    """The port in the log line "ready" of a server. Waits for that line."""
    while process.poll() is None:
        for line in log.read_bytes().splitlines():
            if b'"ready"' in line:
                return urlsplit(json.loads(line)["url"]).port or 0
        time.sleep(0.05)
    raise SystemExit(f"the server did not start; its log is: {log.read_text()}")


def timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def run(work: Any) -> Outcome:
    try:
        import uvloop
    except ModuleNotFoundError:
        return asyncio.run(work)  # type: ignore[no-any-return]
    return uvloop.run(work)  # type: ignore[no-any-return]


MEASURES = ("throughput", "latency", "json", "overload", "tiny", "stop")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--model", default="minilm", help="minilm, bge-shape, a name or a folder")
    parser.add_argument("--measure", action="append", choices=MEASURES, help="default: all")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--texts", type=int, default=1024, help="in a round of throughput")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--overload-seconds", type=float, default=60)
    parser.add_argument("--tiny", type=int, default=100_000)
    parser.add_argument("--stops", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a smaller queue in overload")
    options = parser.parse_args()
    bench = Bench(options)
    found = {}
    for measure in options.measure or MEASURES:
        found[measure] = getattr(bench, measure)()
        about = getattr(bench, measure).__doc__.splitlines()[0]
        print(f"\n{measure}: {about}")
        for name, value in found[measure].items():
            print(f"  {name:<22}{value}", flush=True)
    record = {"model": options.model, **found, "load_average": os.getloadavg(), **describe()}
    print(json.dumps(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
