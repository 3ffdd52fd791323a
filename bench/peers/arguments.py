"""The command line, and what it makes of it: which groups are measured."""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from . import machine
from .engines import ENGINES
from .measure import Group
from .terms import ARRANGEMENTS, ATTND, MODELS, PRECISIONS, WORKLOADS

ROOT = Path(__file__).resolve().parents[2]
LATENCY = ("w1_16", "w1_128", "w1_512")


def names(choices: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    """A list of some of `choices`, separated by commas."""

    def parse(value: str) -> tuple[str, ...]:
        chosen = tuple(value.split(","))
        if wrong := [name for name in chosen if name not in choices]:
            problem = f"{', '.join(wrong)}: not one of {', '.join(choices)}"
            raise argparse.ArgumentTypeError(problem)
        return chosen

    return parse


def numbers(value: str) -> tuple[int, ...]:
    return tuple(int(part) for part in value.split(","))


def parse(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench/peers/run.sh", description="Measures attnd beside its peers on this machine."
    )
    where = parser.add_argument_group("set by run.sh")
    where.add_argument("--build", type=Path, required=True)
    where.add_argument("--minilm", type=Path, required=True, help="all-MiniLM-L6-v2's directory")
    where.add_argument("--cache", type=Path, required=True, help="environment, exports, models")
    add_what(parser)
    add_how_long(parser)
    add_where_to(parser)
    arguments = parser.parse_args(words)
    if arguments.quick:
        arguments.out = arguments.out / "quick"
    return arguments


def add_what(parser: argparse.ArgumentParser) -> None:
    engines = (ATTND, *ENGINES)
    what = parser.add_argument_group("what", "lists are separated by commas; default: all")
    what.add_argument("--models", type=names(MODELS), default=MODELS)
    what.add_argument("--precisions", type=names(PRECISIONS), default=PRECISIONS)
    what.add_argument("--threads", type=numbers, default=(2, 1), help="default 2,1")
    what.add_argument("--workloads", type=names(WORKLOADS), default=WORKLOADS)
    what.add_argument(
        "--arrangements",
        type=names(tuple(ARRANGEMENTS)),
        default=tuple(ARRANGEMENTS),
        help="of w3, for the peers",
    )
    what.add_argument("--engines", type=names(engines), default=engines)
    what.add_argument("--isa", choices=machine.ISA_SWITCHES, default="native")
    what.add_argument("--no-servers", action="store_true")
    what.add_argument("--no-busy", action="store_true", help="no rows with a core kept busy")
    what.add_argument(
        "--quick",
        action="store_true",
        help="to see that it works: MiniLM, few workloads, short server runs",
    )


def add_how_long(parser: argparse.ArgumentParser) -> None:
    how = parser.add_argument_group("how long")
    how.add_argument("--passes", type=int, default=5, help="turns of each engine (default 5)")
    how.add_argument(
        "--turn-seconds", type=float, default=0.25, help="short passes are repeated so long"
    )
    how.add_argument("--slowest-pass", type=float, default=45, help="what takes longer is left out")
    how.add_argument("--server-seconds", type=float, default=6)
    how.add_argument("--server-repeats", type=int, default=3)


def add_where_to(parser: argparse.ArgumentParser) -> None:
    out = parser.add_argument_group("where to")
    out.add_argument("--out", type=Path, default=ROOT / "build/peers", help="results.json and logs")
    out.add_argument("--results", type=Path, help="default bench/RESULTS.md; with --quick in --out")
    out.add_argument("--plot", type=Path, help="default bench/peers.svg; with --quick in --out")
    out.add_argument(
        "--resume",
        action="store_true",
        help="keep the groups that an interrupted run of the same commit has finished",
    )
    out.add_argument(
        "--report-only", action="store_true", help="from an earlier run's results.json"
    )


def planned_groups(arguments: argparse.Namespace) -> list[Group]:
    """What is measured together, in order."""
    groups = []
    for model in ("minilm",) if arguments.quick else arguments.models:
        for precision in arguments.precisions:
            for threads in arguments.threads:
                plan = quick_group if arguments.quick else full_group
                groups.append(plan(model, precision, threads))
    common = "minilm" in arguments.models and "f32" in arguments.precisions
    if common and not arguments.quick and not arguments.no_busy:
        groups.append(busy_group(max(arguments.threads)))
    kept = [narrowed(group, arguments) for group in groups]
    return [group for group in kept if group.workloads]


def narrowed(group: Group, arguments: argparse.Namespace) -> Group:
    """What of a group is asked for."""
    return replace(
        group,
        workloads=tuple(w for w in group.workloads if w in arguments.workloads),
        arrangements=tuple(a for a in group.arrangements if a in arguments.arrangements),
    )


def quick_group(model: str, precision: str, threads: int) -> Group:
    return Group(model, precision, threads, ("w1_16", "w1_128", "w3"), ("tok",))


def full_group(model: str, precision: str, threads: int) -> Group:
    """Everything for MiniLM on several threads; of the others, what takes minutes, not hours."""
    if model != "minilm":
        shown = WORKLOADS if threads > 1 else (*LATENCY, "w2")
        return Group(model, precision, threads, shown, ("tok",))
    arrangements = tuple(ARRANGEMENTS) if threads > 1 else ("tok", "single")
    return Group(model, precision, threads, WORKLOADS, arrangements)


def busy_group(threads: int) -> Group:
    """What a neighbour costs: another process keeps one core busy."""
    return Group("minilm", "f32", threads, (*LATENCY, "w3"), ("tok",), busy=1)
