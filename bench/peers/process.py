"""An engine in a process of its own, which computes only while it is asked (README.md)."""

import json
import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from . import machine

QUIET_SECONDS = 0.03
SETTLE_SECONDS_MAX = 2.0


class EngineError(Exception):
    """What an engine said instead of an answer."""


class Worker:
    """Starts the process and waits until it has loaded; EngineError if it cannot."""

    def __init__(
        self, name: str, command: list[str], environment: dict[str, str], log: Path
    ) -> None:
        self.name = name
        with log.open("a", encoding="utf-8") as errors:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                bufsize=1,
                env={**os.environ, **environment},
            )
        self.log = log
        try:
            self.greeting = self._reply()
        except EngineError:
            self.stop()
            raise

    def ask(self, *words: object) -> dict:
        """Sends one line and waits for the answer to it."""
        assert self.process.stdin
        try:
            self.process.stdin.write(" ".join(map(str, words)) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise EngineError(f"{self.name} ended; see {self.log}") from None
        return self._reply()

    def settle(self) -> None:
        """Waits until the process computes no more: some thread pools spin on after their work."""
        deadline = time.monotonic() + SETTLE_SECONDS_MAX
        before = self.cpu_seconds()
        while time.monotonic() < deadline:
            time.sleep(QUIET_SECONDS)
            after = self.cpu_seconds()
            if after == before:
                return
            before = after

    def cpu_seconds(self) -> float:
        return machine.process_cpu_seconds(self.process.pid)

    def peak_mebibytes(self) -> int:
        return machine.peak_mebibytes(self.process.pid)

    def stop(self) -> None:
        assert self.process.stdin and self.process.stdout
        with suppress(BrokenPipeError):  # It may have ended with a line unread.
            self.process.stdin.close()
        self.process.stdout.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _reply(self) -> dict:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise EngineError(f"{self.name} ended; see {self.log}")
        reply = json.loads(line)
        if "error" in reply:
            raise EngineError(f"{self.name}: {reply['error']}")
        return reply
