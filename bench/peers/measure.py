"""Engines side by side: A B C, A B C, ... a turn each, so that a noisy machine moves all alike.

A turn is one pass over the workload, or as many as take `turn_seconds` together; the turn's figure
is their median.
"""

import math
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from . import workloads
from .engines import ENGINES
from .exports import Source
from .machine import CpuTimes
from .process import EngineError, Worker
from .terms import ATTND, WHOLE

PASSES_A_TURN_MAX = 50


@dataclass(frozen=True)
class Group:
    """What is measured together: the engines of a group are loaded at the same time."""

    model: str
    precision: str
    threads: int
    workloads: tuple[str, ...]
    arrangements: tuple[str, ...]
    busy: int = 0  # Cores that a process of somebody else keeps busy meanwhile.

    @property
    def name(self) -> str:
        busy = f"-busy{self.busy}" if self.busy else ""
        return f"{self.model}-{self.precision}-t{self.threads}{busy}"


@dataclass
class Cell:
    """One engine on one workload."""

    engine: str
    workload: str
    arrangement: str
    tokens: int
    padded_tokens: int
    operations: float  # Of the real tokens' projections, scores and weighted sums.
    passes_a_turn: int = 1
    first_seconds: float = 0.0  # Of the first pass: it holds what is compiled for each shape.
    turns: list[list[float]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.workload}/{self.arrangement}"

    def medians(self) -> list[float]:
        return [statistics.median(turn) for turn in self.turns]

    def record(self) -> dict:
        median = statistics.median(self.medians())
        return asdict(self) | {
            "median_seconds": median,
            "min_seconds": min(min(turn) for turn in self.turns),
            "tokens_per_second": self.tokens / median,
        }


@dataclass(frozen=True)
class Plan:
    """How long and with what."""

    engines: tuple[str, ...]
    passes: int
    turn_seconds: float
    slowest_pass_seconds: float
    environment: dict[str, str]
    attnd_engine: Path
    cache: Path
    out: Path


class GroupRun:
    """Loads the engines of a group, warms them up, and measures them in turn."""

    def __init__(self, plan: Plan, group: Group, model: Path) -> None:
        self.plan, self.group, self.model = plan, group, model
        self.workers: dict[str, Worker] = {}
        self.left_out: list[dict[str, str]] = []
        self.cells: list[Cell] = []

    def run(self) -> dict:
        with ExitStack() as stack:
            for engine in self.plan.engines:
                self._start(engine, stack)
            self._give_workloads()
            agreements = {name: self._agreement(worker) for name, worker in self.workers.items()}
            self.cells = [cell for cell in self._planned_cells() if self._warm_up(cell)]
            begin, ours = CpuTimes.now(), self._cpu_seconds()
            with busy_cores(self.group.busy):
                self._take_turns()
            ours = self._cpu_seconds() - ours
            # Where cores are kept busy on purpose, the share of others says nothing.
            disturbance = {} if self.group.busy else CpuTimes.now().disturbance_since(begin, ours)
            engines = {
                name: worker.greeting
                | agreements[name]
                | {"peak_mebibytes": worker.peak_mebibytes()}
                for name, worker in self.workers.items()
            }
        return {
            "group": asdict(self.group),
            "engines": engines,
            "left_out": self.left_out,
            "cells": [cell.record() for cell in self.cells],
            "disturbance": disturbance,
        }

    def _start(self, engine: str, stack: ExitStack) -> None:
        try:
            worker = Worker(engine, self._command(engine), self._environment(), self._log(engine))
        except EngineError as error:
            self._leave_out(engine, "", str(error).removeprefix(f"{engine}: "))
            return
        self.workers[engine] = stack.enter_context(worker)

    def _command(self, engine: str) -> list[str]:
        group = self.group
        settings = [
            "--model",
            str(self.model),
            "--precision",
            group.precision,
            "--threads",
            str(group.threads),
        ]
        if engine == ATTND:
            return [str(self.plan.attnd_engine), *settings]
        return [
            sys.executable,
            "-m",
            "peers.worker",
            engine,
            *settings,
            "--cache",
            str(self.plan.cache),
        ]

    def _environment(self) -> dict[str, str]:
        return {"OMP_NUM_THREADS": str(self.group.threads), **self.plan.environment}

    def _log(self, engine: str) -> Path:
        return self.plan.out / f"{self.group.name}-{engine}.log"

    def _leave_out(self, engine: str, workload: str, why: str) -> None:
        print(f"  left out: {engine} {workload}: {why}".replace(" : ", ": "), flush=True)
        self.left_out.append({"engine": engine, "workload": workload, "why": why})

    def _planned_cells(self) -> list[Cell]:
        config = Source(self.model, self.plan.cache).config
        cells = []
        for workload in self.group.workloads:
            lengths = workloads.lengths_of(workload)
            operations = workloads.operations(config, lengths)
            for engine in self.workers:
                for arrangement in arrangements_of(engine, workload, self.group):
                    batches = workloads.batches_of(workload, arrangement)
                    padded = workloads.padded_tokens(batches) if engine != ATTND else sum(lengths)
                    cell = Cell(engine, workload, arrangement, sum(lengths), padded, operations)
                    cells.append(cell)
        return cells

    def _give_workloads(self) -> None:
        names = {(cell.engine, cell.workload, cell.arrangement) for cell in self._planned_cells()}
        for engine, workload, arrangement in sorted(names):
            path = self.plan.out / f"{workload}-{arrangement}.txt"
            if not path.exists():
                workloads.write(path, workloads.batches_of(workload, arrangement))
            self.workers[engine].ask("workload", f"{workload}/{arrangement}", path)

    def _agreement(self, worker: Worker) -> dict:
        """Worst cosine and difference of a token's vector from PyTorch's in f32."""
        given, out = self.plan.out / "check.txt", self.plan.out / "states.bin"
        workloads.write(given, workloads.check_batches())
        worker.ask("workload", "check", given)
        worker.ask("states", "check", out)
        want = np.load(Source(self.model, self.plan.cache).made("reference") / "states.npy")
        got = np.fromfile(out, "<f4").reshape(want.shape)
        norms = np.linalg.norm(want, axis=1) * np.linalg.norm(got, axis=1)
        cosines = (want * got).sum(axis=1) / norms
        return {
            "min_cosine": float(cosines.min()),
            "max_difference": float(np.abs(want - got).max()),
        }

    def _warm_up(self, cell: Cell) -> bool:
        """Two passes, and how many make a turn. False: the cell is left out, for it is too slow."""
        worker = self.workers[cell.engine]
        [cell.first_seconds] = self._pass(worker, cell, 1)
        if cell.first_seconds > self.plan.slowest_pass_seconds:
            self._leave_out(cell.engine, cell.name, f"one pass takes {cell.first_seconds:.0f} s")
            return False
        [second] = self._pass(worker, cell, 1)
        wanted = math.ceil(self.plan.turn_seconds / second)
        cell.passes_a_turn = min(max(wanted, 1), PASSES_A_TURN_MAX)
        return True

    def _take_turns(self) -> None:
        for turn in range(self.plan.passes):
            begin = time.monotonic()
            for cell in self.cells:
                cell.turns.append(self._pass(self.workers[cell.engine], cell, cell.passes_a_turn))
            took = time.monotonic() - begin
            print(
                f"  {self.group.name}: turn {turn + 1} of {self.plan.passes}, {took:.0f} s",
                flush=True,
            )

    def _pass(self, worker: Worker, cell: Cell, count: int) -> list[float]:
        seconds = worker.ask("pass", cell.name, count)["seconds"]
        worker.settle()
        return seconds

    def _cpu_seconds(self) -> float:
        return time.process_time() + sum(worker.cpu_seconds() for worker in self.workers.values())


def arrangements_of(engine: str, workload: str, group: Group) -> tuple[str, ...]:
    """attnd takes the mix as it arrives; the peers take it in every arrangement of the group."""
    if engine == ATTND:
        return (WHOLE,)
    parallel = ENGINES[engine].parallel
    if workload != "w3":
        return () if parallel else (WHOLE,)
    # Streams side by side are for batches that are ready together, not for an order of arrival.
    return tuple(a for a in group.arrangements if not parallel or a != "naive")


def peers_of(group: Group, engines: tuple[str, ...]) -> list[str]:
    """Those that have the group's precision, and something to do."""
    return [
        engine
        for engine in engines
        if engine != ATTND
        and group.precision in ENGINES[engine].precisions
        and (not ENGINES[engine].parallel or ("w3" in group.workloads and group.threads > 1))
    ]


@contextmanager
def busy_cores(count: int) -> Iterator[None]:
    """So many processes that do nothing but compute, as a neighbour would."""
    command = [sys.executable, "-c", "while True: pass"]
    neighbours = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.wait()
