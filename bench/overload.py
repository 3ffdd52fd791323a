#!/usr/bin/env python3
"""Measures what overload does to a real attnd with a real model over loopback: goodput, the latency of what is
admitted, how soon the rest is refused, and whether all is normal again two seconds later.

    bench/overload.py --build build/release --model DIR [--seconds 15] [-- FLAGS OF ATTND]

Prints Markdown. The load generator shares the cores with the server: what sending at many times the peak costs is taken
from the goodput, as it would not be from another machine.
"""
import argparse

from server_bench import Server

TIMES = (2, 4, 10)
# A connection has 100 calls open at most; more wait in the client and would be counted as the server's time.
CONNECTIONS = ("--connections", "16")
PEAK_IN_FLIGHT = 64
USUAL = 0.8
RECOVERY_SECONDS = 2


def row(name, report, peak):
    codes = ", ".join(f"{count} {code}" for code, count in sorted(report["codes"].items()) if code != "OK")
    latency, failure = report["latency_ms"], report["failure_ms"]
    rate = report["requests_per_second"]
    refused = f"{failure['p50']:.1f} | {failure['p99']:.1f}" if codes else "- | -"
    print(f"| {name} | {rate:.0f} | {100 * rate / peak:.0f} % | {latency['p50']:.0f} | {latency['p99']:.0f} | "
          f"{refused} | {codes or 'none'} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--model", required=True)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("flags", nargs="*")
    arguments = parser.parse_args()
    server = Server(arguments.build, arguments.model, arguments.flags)
    server.first_answer()

    def load(warmup, *how):
        return server.load(*CONNECTIONS, "--duration", str(arguments.seconds), "--warmup", str(warmup), *how)

    print("| load | answered/s | of the peak | p50 ms | p99 ms | refused p50 ms | refused p99 ms | not answered |")
    print("|---|---:|---:|---:|---:|---:|---:|---|")
    report = load(2, "--concurrency", str(PEAK_IN_FLIGHT))
    peak = report["requests_per_second"]
    row(f"{PEAK_IN_FLIGHT} in flight: the peak", report, peak)
    row(f"{USUAL} of the peak", load(2, "--rate", f"{USUAL * peak:.1f}"), peak)
    for times in TIMES:
        row(f"{times} times the peak", load(2, "--rate", f"{times * peak:.1f}"), peak)
        row(f"{USUAL} of the peak, from {RECOVERY_SECONDS} s after that",
            load(RECOVERY_SECONDS, "--rate", f"{USUAL * peak:.1f}"), peak)
    print(f"\nMost memory that the server ever had resident: {server.status_kib('VmHWM') / 1024:.0f} MiB.")
    server.stop()


if __name__ == "__main__":
    main()
