"""Servers side by side under the same load: attnd, and reference_server.py around each peer.

All are up at the same time; one is loaded at a time, in turn. `attnctl load` sends the texts, a
request each, over four connections, and measures. It shares the cores with the server.
"""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from . import machine, workloads
from .terms import ATTND

CONNECTIONS = 4
QUEUE_REQUESTS, QUEUE_TOKENS = 4096, 262_144
START_SECONDS_MAX = 120
TEXTS = "texts.txt"

Schedules = dict[str, tuple[str, ...]]  # By engine: what attnctl load is told about when to send.


@dataclass(frozen=True)
class ServerPlan:
    model: Path
    engines: tuple[str, ...]
    precision: str
    threads: int
    in_flight: tuple[int, ...]
    # Open loops, as shares of the best reference server's most, and of the server's own most.
    common_shares: tuple[float, ...]
    own_shares: tuple[float, ...]
    repeats: int
    warmup_seconds: float
    seconds: float
    environment: dict[str, str]
    build: Path
    cache: Path
    descriptors: Path
    out: Path


def write_texts(model: Path, path: Path) -> None:
    """A text a line, of whole words, so that each has exactly the tokens of its place in w3."""
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    words = sorted(
        w
        for w in tokenizer.get_vocab()
        if w.isascii() and w.isalpha() and w.islower() and len(w) >= 3
    )
    random = np.random.RandomState(workloads.SEED)
    lengths = workloads.lengths_of("w3")
    texts = [" ".join(words[i] for i in random.randint(0, len(words), n - 2)) for n in lengths]
    counts = [len(encoding.ids) for encoding in tokenizer.encode_batch(texts)]
    if counts != lengths:
        raise ValueError(f"{model}: its tokenizer cuts words of its own vocabulary")
    path.write_text("\n".join(texts) + "\n", encoding="ascii")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A server process, ready when made."""

    def __init__(self, plan: ServerPlan, engine: str) -> None:
        self.plan, self.engine = plan, engine
        self.port = free_port()
        environment = {"OMP_NUM_THREADS": str(plan.threads), **plan.environment}
        self.log = plan.out / f"server-{engine}.log"
        with self.log.open("a", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                self._command(), stdout=log, stderr=log, env={**os.environ, **environment}
            )
        self._await_answer()

    def _command(self) -> list[str]:
        plan = self.plan
        if self.engine == ATTND:
            return [
                str(plan.build / "server/attnd"),
                "--model",
                str(plan.model),
                "--listen",
                f"127.0.0.1:{self.port}",
                "--metrics-listen",
                "",
                "--workers",
                str(plan.threads),
                "--shutdown-delay",
                "0",
                # The load repeats its texts; the reference servers compute each.
                "--no-share-identical",
                "--queue-requests",
                str(QUEUE_REQUESTS),
                "--queue-tokens",
                str(QUEUE_TOKENS),
                "--queue-wait",
                "1h",
            ]
        return [
            sys.executable,
            "-m",
            "peers.reference_server",
            self.engine,
            "--model",
            str(plan.model),
            "--cache",
            str(plan.cache),
            "--descriptors",
            str(plan.descriptors),
            "--port",
            str(self.port),
            "--precision",
            plan.precision,
            "--threads",
            str(plan.threads),
        ]

    def _await_answer(self) -> None:
        attnctl = str(self.plan.build / "client/attnctl")
        command = [
            attnctl,
            "load",
            "--target",
            f"127.0.0.1:{self.port}",
            "--concurrency",
            "1",
            "--warmup",
            "0",
            "--duration",
            "0.1",
            "--texts",
            str(self.plan.out / TEXTS),
        ]
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline and self.process.poll() is None:
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                return
            time.sleep(0.2)
        self.stop()
        raise RuntimeError(f"the server around {self.engine} did not answer; see {self.log}")

    def load(self, texts: Path, *schedule: str) -> dict:
        """One run of attnctl load: its report, and how many cores either side used."""
        plan = self.plan
        command = [
            str(plan.build / "client/attnctl"),
            "load",
            "--target",
            f"127.0.0.1:{self.port}",
            "--texts",
            str(texts),
            "--json",
            "--connections",
            str(CONNECTIONS),
            "--deadline",
            "60",
            "--warmup",
            str(plan.warmup_seconds),
            "--duration",
            str(plan.seconds),
            *schedule,
        ]
        begin, server, client = time.monotonic(), self.cpu_seconds(), children_cpu_seconds()
        done = subprocess.run(command, stdout=subprocess.PIPE, check=False, text=True)
        seconds = time.monotonic() - begin
        report = json.loads(done.stdout)
        report["server_cores"] = (self.cpu_seconds() - server) / seconds
        report["client_cores"] = (children_cpu_seconds() - client) / seconds
        return report

    def cpu_seconds(self) -> float:
        return machine.process_cpu_seconds(self.process.pid)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def children_cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class ServersRun:
    def __init__(self, plan: ServerPlan) -> None:
        self.plan = plan
        self.texts = plan.out / TEXTS
        self.servers: list[Server] = []
        self.rows: list[dict] = []

    def run(self) -> dict:
        write_texts(self.plan.model, self.texts)
        with ExitStack() as stack:
            for engine in self.plan.engines:
                server = Server(self.plan, engine)
                stack.callback(server.stop)
                self.servers.append(server)
            for count in self.plan.in_flight:
                self._in_turn(f"{count} in flight", self._all("--concurrency", str(count)))
            self._open_loops()
            memory = {s.engine: machine.peak_mebibytes(s.process.pid) for s in self.servers}
        return {
            "precision": self.plan.precision,
            "threads": self.plan.threads,
            "rows": self.rows,
            "peak_mebibytes": memory,
            "connections": CONNECTIONS,
            "seconds": self.plan.seconds,
            "queue_requests": QUEUE_REQUESTS,
            "queue_tokens": QUEUE_TOKENS,
        }

    def _open_loops(self) -> None:
        most = {s.engine: self._most(s.engine) for s in self.servers}
        references = [rate for engine, rate in most.items() if engine != ATTND]
        for share in self.plan.common_shares if references else ():
            rate = f"{share * max(references):.1f}"
            self._in_turn(f"open loop, {rate}/s", self._all("--rate", rate))
        for share in self.plan.own_shares:
            own: Schedules = {
                engine: ("--rate", f"{share * rate:.1f}") for engine, rate in most.items()
            }
            self._in_turn(f"open loop, {share:g} of its own most", own)

    def _all(self, *schedule: str) -> Schedules:
        return {server.engine: schedule for server in self.servers}

    def _most(self, engine: str) -> float:
        return max(row["requests_per_second"] for row in self.rows if row["server"] == engine)

    def _in_turn(self, load: str, schedules: Schedules) -> None:
        """One row a server: the run with the median rate, and the rates of all."""
        reports: dict[str, list[dict]] = {server.engine: [] for server in self.servers}
        for _ in range(self.plan.repeats):
            for server in self.servers:
                report = server.load(self.texts, *schedules[server.engine])
                reports[server.engine].append(report)
        for engine, runs in reports.items():
            ordered = sorted(runs, key=lambda run: run["requests_per_second"])
            row = dict(ordered[(len(ordered) - 1) // 2])
            row["server"], row["load"] = engine, load
            row["rates"] = [run["requests_per_second"] for run in runs]
            answered = max(row["requests_per_second"], 1e-9)
            row["server_cpu_seconds_per_request"] = row["server_cores"] / answered
            self.rows.append(row)
            p50 = row["latency_ms"]["p50"]
            print(f"  {load}: {engine} {answered:.0f} requests/s, p50 {p50:.1f} ms", flush=True)
