"""A peer as a worker: one process, one loaded model, one line in, one line of JSON out (README.md).

python -m peers.worker ENGINE --model DIR --cache DIR [--precision f32|bf16|int8] [--threads N]
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import TextIO

import numpy as np

from . import workloads
from .engines import ENGINES, Engine, load


class Worker:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.workloads: dict[str, list[workloads.Batch]] = {}

    def answer(self, line: str) -> dict:
        command, name, argument = line.split()
        if command == "workload":
            self.workloads[name] = [
                workloads.pad(batch) for batch in workloads.read(Path(argument))
            ]
            return {}
        batches = self.workloads[name]
        if command == "pass":
            return {"seconds": [self._seconds(batches) for _ in range(int(argument))]}
        if command == "states":
            rows = [self.engine.states(batch)[batch.mask > 0] for batch in batches]
            np.concatenate(rows).astype("<f4").tofile(argument)
            return {}
        raise ValueError(f"unknown command {command!r}")

    def _seconds(self, batches: list[workloads.Batch]) -> float:
        begin = time.perf_counter()
        self.engine.run(batches)
        return time.perf_counter() - begin


def serve(out: TextIO, arguments: argparse.Namespace) -> None:
    engine = load(
        arguments.engine, arguments.model, arguments.cache, arguments.precision, arguments.threads
    )
    worker = Worker(engine)
    print(json.dumps({"version": engine.version, "notes": engine.notes}), file=out)
    for line in sys.stdin:
        print(json.dumps(worker.answer(line)), file=out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--precision", default="f32")
    parser.add_argument("--threads", type=int, default=1)
    # Libraries print what they like: to the log, for the answers have this descriptor.
    with os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8") as out:
        os.dup2(2, 1)
        try:
            serve(out, parser.parse_args())
        except Exception as error:  # Whatever it is, the driver is told, and the log has the trace.
            print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=out)
            raise


if __name__ == "__main__":
    main()
