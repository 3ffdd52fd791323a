#!/usr/bin/env python3
"""Measures what a flood of one caller does to another, both with API keys, at a real attnd with a real model.

    bench/neighbour.py --build build/release --model DIR [--seconds 15] [-- FLAGS OF ATTND]

The quiet caller sends a fifth of what the machine can do, the other several times all of it, in long inputs. Prints
Markdown. The load generators share the cores with the server.
"""
import argparse
import hashlib
import json
import os
import secrets
import tempfile
import threading

from server_bench import Server

QUIET = ("--rate", "35")
FLOOD = ("--rate", "120", "--length", "256")
CONNECTIONS = ("--connections", "16")


def make_keys(folder, names):
    """Writes a file for each key and the key file; returns the latter's path."""
    callers = []
    for name in names:
        key = secrets.token_hex(32)
        with open(os.open(os.path.join(folder, name), os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="ascii") as file:
            file.write(key)
        callers.append({"name": name, "key_sha256": [hashlib.sha256(key.encode()).hexdigest()]})
    path = os.path.join(folder, "keys.json")
    with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="ascii") as file:
        json.dump({"callers": callers}, file)
    return path


def row(name, report):
    latency = report["latency_ms"]
    print(f"| {name} | {report['requests_per_second']:.0f} | {report['failed']} | {latency['p50']:.0f} | "
          f"{latency['p99']:.0f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--model", required=True)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("flags", nargs="*")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        keys = make_keys(folder, ("quiet", "flood"))
        server = Server(arguments.build, arguments.model, ["--api-keys", keys, *arguments.flags])
        with open(os.path.join(folder, "quiet"), encoding="ascii") as file:
            os.environ["ATTND_API_KEY"] = file.read()
        server.first_answer()

        def load(caller, warmup, seconds, *how):
            return server.load("--api-key-file", os.path.join(folder, caller), *CONNECTIONS, "--warmup", str(warmup),
                               "--duration", str(seconds), *how)

        print("| caller | answered/s | refused | p50 ms | p99 ms |")
        print("|---|---:|---:|---:|---:|")
        row("quiet, alone", load("quiet", 2, arguments.seconds, *QUIET))
        reports = []
        # From before the quiet one's warm-up to after its end.
        flood = threading.Thread(target=lambda: reports.append(load("flood", 0, arguments.seconds + 4, *FLOOD)))
        flood.start()
        row("quiet, beside the flood", load("quiet", 2, arguments.seconds, *QUIET))
        flood.join()
        row("the flood", reports[0])
        server.stop()


if __name__ == "__main__":
    main()
