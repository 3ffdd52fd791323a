#!/usr/bin/env python3
"""Goal: hours of mixed load leave attnd as it was. Method: an overload, then `attnctl load` below saturation in rounds,
with one bad call a round, and an overload again; memory after the first overload against that at the end, no failed
request but in overload, an orderly end.

    soak.py BUILD_FOLDER MODEL_DIRECTORY SECONDS [REQUESTS_PER_SECOND]

The default rate is for two idle cores; a machine that is busy otherwise needs a lower one.
"""

import json
import sys
import time

from running import Attnd

ROUND_SECONDS = 30
REQUESTS_PER_SECOND = 50
GROWTH_BYTES_MAX = 16 << 20


def overload(attnd):
    """Memory is as high as the most that was ever in flight made it: brings that about, so that it is not taken for
    growth when the machine is late once. What is refused here counts for nothing, but something must be."""
    for inputs in ("1", "3"):
        rate = 1000
        while True:
            arguments = ["--json", "--rate", str(rate), "--warmup", "0", "--duration", "20", "--inputs", inputs]
            report = json.loads(attnd.attnctl("load", *arguments)[1])
            if report["failed"] > 0:
                break
            rate *= 4
    memory = attnd.resident_bytes()
    print(f"after an overload: {memory >> 20} MiB resident", flush=True)
    return memory


def main():
    build, model, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    rate = sys.argv[4] if len(sys.argv) > 4 else str(REQUESTS_PER_SECOND)
    end = time.monotonic() + seconds
    answered = failed = rounds = 0
    latest = 0
    with Attnd(build, model) as attnd:
        settled = overload(attnd)
        while rounds < 2 or time.monotonic() < end:
            arguments = ["--json", "--rate", rate, "--warmup", "0"]
            # Short and long requests in turn, so that all row counts and lengths come by.
            arguments += ["--duration", str(ROUND_SECONDS), "--inputs", str(1 + rounds % 3), "--seed", str(rounds)]
            code, output, error = attnd.attnctl("load", *arguments)
            report = json.loads(output) if output else {"answered": 0, "failed": 1}
            answered += report["answered"]
            failed += report["failed"]
            if code != 0:
                print(error, flush=True)
            if attnd.attnctl("encode", "--jsonl", text='{"ids": [1073741824]}\n')[0] != 1:
                print("a bad id was not refused")
                failed += 1
            rounds += 1
            latest = attnd.resident_bytes()
            print(f"round {rounds}: {answered} answered, {failed} failed, {latest >> 20} MiB resident", flush=True)
        # What refusals leave behind would show here.
        latest = max(latest, overload(attnd))
        code = attnd.stop()
    growth = latest - settled
    print(f"exit code {code}; memory grew by {growth / 2**20:.1f} MiB after the first overload")
    return 0 if code == 0 and failed == 0 and answered > 0 and growth < GROWTH_BYTES_MAX else 1


if __name__ == "__main__":
    sys.exit(main())
