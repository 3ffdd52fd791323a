#!/usr/bin/env python3
"""Measures a real attnd with a real model over loopback: start-up, memory, throughput and latency.

    bench/server_bench.py --build build/release --model DIR [--seconds 8] [--only-start]

Prints Markdown. The load generator shares the cores with the server, so part of the machine is its own; `attnctl load`
reports latency from the intended time of sending.
"""
import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import time
import urllib.request

LATER_REQUESTS = 20


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    def __init__(self, build, model, extra=()):
        self.target = f"127.0.0.1:{free_port()}"
        self.attnctl = f"{build}/client/attnctl"
        metrics = f"127.0.0.1:{free_port()}"
        self.metrics_url = f"http://{metrics}/metrics"
        command = [f"{build}/server/attnd", "--model", model, "--listen", self.target, "--metrics-listen", metrics]
        # The load repeats its texts: sharing equal ones would measure something else.
        command += ["--no-share-identical", *extra]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def encode(self):
        """Whether a text was answered."""
        done = subprocess.run([self.attnctl, "encode", "--target", self.target, "Hello, world!"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return done.returncode == 0

    def first_answer(self):
        """Waits until a text has been answered."""
        while not self.encode():
            if self.process.poll() is not None:
                raise SystemExit("attnd ended early")
            time.sleep(0.01)

    def request_seconds(self):
        """Of all requests so far together, as the server measures them."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(self.metrics_url, timeout=10) as reply:
            series = [line for line in reply.read().decode().splitlines()
                      if line.startswith('attnd_request_duration_seconds_sum{method="EncodeStream"')]
        if not series:
            raise SystemExit("attnd has no attnd_request_duration_seconds_sum for EncodeStream")
        return sum(float(line.rsplit(" ", 1)[1]) for line in series)

    def first_and_later_seconds(self):
        """Of the one request that was answered so far, and of some like it after it."""
        sums = [0.0, self.request_seconds()]
        for _ in range(LATER_REQUESTS):
            if not self.encode():
                raise SystemExit("a text was not answered")
            sums.append(self.request_seconds())
        seconds = [after - before for before, after in zip(sums, sums[1:])]
        return seconds[0], seconds[1:]

    def status_kib(self, field):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith(field))

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def load(self, *arguments):
        done = subprocess.run([self.attnctl, "load", "--target", self.target, "--json", *arguments],
                              check=False, stdout=subprocess.PIPE)
        return json.loads(done.stdout)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=60)


def start_up(build, model, runs):
    begun, resident, firsts, laters = [], [], [], []
    for _ in range(runs):
        begin = time.monotonic()
        server = Server(build, model, ["--shutdown-delay", "0"])
        server.first_answer()
        begun.append(time.monotonic() - begin)
        resident.append(server.status_kib("VmRSS") / 1024)
        first, later = server.first_and_later_seconds()
        firsts.append(first)
        laters += later
        server.stop()
    weights = os.path.getsize(f"{model}/model.safetensors") / 2**20
    start, memory, later = (statistics.median(values) for values in (begun, resident, laters))
    first = ", ".join(f"{1e3 * seconds:.1f}" for seconds in sorted(firsts))
    print(f"Start to first answer: {start:.2f} s (median of {runs}, the caller's own start included). Resident then: "
          f"{memory:.0f} MiB; the weight file is {weights:.0f} MiB. The first requests took {first} ms, the same text "
          f"later {later * 1e3:.1f} ms (median, by the server's clock).\n", flush=True)


def row(name, report, cpu):
    latency = report["latency_ms"]
    print(f"| {name} | {report['requests_per_second']:.0f} | {report['tokens_per_second']:.0f} | "
          f"{latency['p50']:.1f} | {latency['p95']:.1f} | {latency['p99']:.1f} | "
          f"{cpu / max(1, report['answered']) * 1e3:.2f} | {report['failed']} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--model", required=True)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--start-ups", type=int, default=5)
    parser.add_argument("--only-start", action="store_true")
    arguments = parser.parse_args()

    start_up(arguments.build, arguments.model, arguments.start_ups)
    if arguments.only_start:
        return

    # Bounds that refuse nothing: what is measured is the time that everybody waits.
    bounds = ["--queue-requests", "4096", "--queue-tokens", "262144", "--queue-wait", "1h"]
    server = Server(arguments.build, arguments.model, bounds)
    server.first_answer()
    print("| load | requests/s | tokens/s | p50 ms | p95 ms | p99 ms | server CPU ms a request | failed |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    timing = ["--duration", str(arguments.seconds), "--warmup", "2"]
    peak = 0
    for in_flight in (1, 8, 64, 256):
        before = server.cpu_seconds()
        report = server.load("--concurrency", str(in_flight), "--connections", "4", *timing)
        # The warm-up's requests cost CPU too and are not in the report: scale to the measured part.
        share = arguments.seconds / (arguments.seconds + 2)
        row(f"{in_flight} in flight", report, (server.cpu_seconds() - before) * share)
        peak = max(peak, report["requests_per_second"])
    for part in (0.5, 0.8):
        before = server.cpu_seconds()
        report = server.load("--rate", f"{peak * part:.1f}", "--connections", "4", *timing)
        share = arguments.seconds / (arguments.seconds + 2)
        row(f"open loop, {part:.1f} of the most", report, (server.cpu_seconds() - before) * share)
    print(f"\nMost memory that the server ever had resident: {server.status_kib('VmHWM') / 1024:.0f} MiB.")
    server.stop()


if __name__ == "__main__":
    main()
