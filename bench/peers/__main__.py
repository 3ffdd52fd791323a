"""Measures attnd beside its peers on this machine; bench/peers/run.sh calls it. See README.md."""

import argparse
import datetime
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

from . import machine, plot, report, workloads
from .engines import ENGINES
from .exports import Source
from .measure import ATTND, Group, GroupRun, Plan, peers_of
from .servers import ServerPlan, ServersRun

ROOT = Path(__file__).resolve().parents[2]
MODELS = ("minilm", "bert-base")
PRECISIONS = ("f32", "bf16", "int8")
ALL_ARRANGEMENTS = tuple(workloads.ARRANGEMENTS)
LATENCY = ("w1_16", "w1_128", "w1_512")


def names(choices: tuple[str, ...]):
    """A list of some of `choices`, separated by commas."""

    def parse(value: str) -> tuple[str, ...]:
        chosen = tuple(value.split(","))
        if wrong := [name for name in chosen if name not in choices]:
            raise argparse.ArgumentTypeError(f"{', '.join(wrong)}: not one of {', '.join(choices)}")
        return chosen

    return parse


def numbers(value: str) -> tuple[int, ...]:
    return tuple(int(part) for part in value.split(","))


def parse_arguments() -> argparse.Namespace:
    all_engines = (ATTND, *ENGINES)
    parser = argparse.ArgumentParser(prog="bench/peers/run.sh", description=__doc__)
    where = parser.add_argument_group("set by run.sh")
    where.add_argument("--build", type=Path, required=True)
    where.add_argument("--minilm", type=Path, required=True, help="all-MiniLM-L6-v2's directory")
    where.add_argument("--cache", type=Path, required=True, help="environment, exports, models")
    what = parser.add_argument_group("what")
    what.add_argument("--models", type=names(MODELS), default=MODELS)
    what.add_argument("--precisions", type=names(PRECISIONS), default=PRECISIONS)
    what.add_argument("--threads", type=numbers, default=(2, 1))
    what.add_argument("--engines", type=names(all_engines), default=all_engines)
    what.add_argument("--isa", choices=machine.ISA_SWITCHES, default="native")
    what.add_argument("--no-servers", action="store_true")
    what.add_argument(
        "--no-busy", action="store_true", help="leave out the rows with one core kept busy"
    )
    what.add_argument(
        "--quick",
        action="store_true",
        help="to see that it works: MiniLM, a few workloads, short server runs",
    )
    how = parser.add_argument_group("how long")
    how.add_argument("--passes", type=int, default=7, help="turns of each engine (default 7)")
    how.add_argument(
        "--turn-seconds", type=float, default=0.25, help="short passes are repeated so long"
    )
    how.add_argument("--slowest-pass", type=float, default=45, help="what takes longer is left out")
    how.add_argument("--server-seconds", type=float, default=8)
    how.add_argument("--server-repeats", type=int, default=3)
    out = parser.add_argument_group("where to")
    out.add_argument("--out", type=Path, default=ROOT / "build/peers", help="results.json and logs")
    out.add_argument("--results", type=Path, help="default bench/RESULTS.md; with --quick in --out")
    out.add_argument("--plot", type=Path, help="default bench/peers.svg; with --quick in --out")
    out.add_argument(
        "--report-only", action="store_true", help="from the results.json of an earlier run"
    )
    return parser.parse_args()


def planned_groups(arguments: argparse.Namespace) -> list[Group]:
    """What is measured together, the most telling first."""
    if arguments.quick:
        quick = ("w1_16", "w1_128", "w3")
        return [
            Group("minilm", p, t, quick, ("tok",))
            for p in arguments.precisions
            for t in arguments.threads
        ]
    groups = []
    for model in arguments.models:
        for precision in arguments.precisions:
            for threads in arguments.threads:
                groups.append(full_group(model, precision, threads))
        if not arguments.no_busy and "f32" in arguments.precisions:
            cores = max(arguments.threads)
            groups.append(Group(model, "f32", cores, (*LATENCY, "w3"), ("tok",), busy=1))
    return groups


def full_group(model: str, precision: str, threads: int) -> Group:
    """All workloads where that is a matter of minutes, as BERT-base in naive batches is not."""
    if model == "minilm":
        arrangements = ALL_ARRANGEMENTS if threads > 1 else ("sorted", "tok", "single")
        return Group(model, precision, threads, workloads.WORKLOADS, arrangements)
    if threads > 1:
        return Group(model, precision, threads, workloads.WORKLOADS, ("sorted", "tok"))
    return Group(model, precision, threads, (*LATENCY, "w2"), ())


def prepare(arguments: argparse.Namespace, model: Path, group: Group) -> None:
    """Makes the exports that the group's engines need, in a process of their own."""
    kinds = {"reference"}
    for engine in peers_of(group, arguments.engines):
        if kind := ENGINES[engine].exports.get(group.precision):
            kinds.add(kind)
    command = [
        sys.executable,
        "-m",
        "peers.exports",
        str(model),
        str(arguments.cache),
        *sorted(kinds),
    ]
    with (arguments.out / "exports.log").open("a", encoding="utf-8") as log:
        subprocess.run(command, check=True, stdout=log, stderr=log)


def model_directories(arguments: argparse.Namespace) -> dict[str, Path]:
    directories = {"minilm": arguments.minilm}
    if "bert-base" in arguments.models and not arguments.quick:
        command = [
            sys.executable,
            "-m",
            "peers.exports",
            str(arguments.minilm),
            str(arguments.cache),
            "bert_base",
        ]
        done = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        directories["bert-base"] = Path(done.stdout.strip())
    return directories


def measure_roof(arguments: argparse.Namespace, threads: int, environment: dict[str, str]) -> dict:
    seconds = "0.5" if arguments.quick else "2"
    command = [
        str(arguments.build / "bench/roof_bench"),
        "--threads",
        str(threads),
        "--seconds",
        seconds,
    ]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    return json.loads(done.stdout)


def measure_groups(
    arguments: argparse.Namespace, results: dict, directories: dict[str, Path]
) -> None:
    environment = machine.ISA_SWITCHES[arguments.isa]
    for group in planned_groups(arguments):
        if group.precision == "bf16" and not machine.has_bf16(arguments.isa):
            results["left_out"].append(
                f"{group.name}: the CPU has no bf16, which engines would only imitate"
            )
            continue
        print(group.name, flush=True)
        prepare(arguments, directories[group.model], group)
        roof = measure_roof(arguments, group.threads, environment)
        attnd = (ATTND,) if ATTND in arguments.engines else ()
        plan = Plan(
            engines=(*attnd, *peers_of(group, arguments.engines)),
            passes=arguments.passes,
            turn_seconds=arguments.turn_seconds,
            slowest_pass_seconds=arguments.slowest_pass,
            environment=environment,
            attnd_engine=arguments.build / "bench/attnd_engine",
            cache=arguments.cache,
            out=arguments.out,
        )
        result = GroupRun(plan, group, directories[group.model]).run()
        results["groups"].append(result | {"roof": roof})
        save(arguments, results)


def best_roofs(groups: list[dict]) -> list[dict]:
    """Of each number of threads, the best of what was measured before each group."""
    best: dict[int, dict] = {}
    for roof in (result["roof"] for result in groups):
        kept = best.setdefault(roof["threads"], dict(roof))
        for name, value in roof.items():
            if isinstance(value, dict) and value["rate"] > kept[name]["rate"]:
                kept[name] = value
    return list(best.values())


def measure_servers(arguments: argparse.Namespace, directories: dict[str, Path]) -> dict:
    quick = arguments.quick
    engines = [
        e for e in arguments.engines if e == ATTND or (not ENGINES[e].parallel and e != "torch")
    ]
    plan = ServerPlan(
        model=directories["minilm"],
        engines=tuple(engines),
        precision="f32",
        threads=max(arguments.threads),
        in_flight=(1, 64) if quick else (1, 8, 64, 256),
        common_shares=(0.5,) if quick else (0.5, 0.8),
        own_shares=() if quick else (0.8,),
        repeats=1 if quick else arguments.server_repeats,
        warmup_seconds=1 if quick else 2,
        seconds=3 if quick else arguments.server_seconds,
        environment=machine.ISA_SWITCHES[arguments.isa],
        build=arguments.build,
        cache=arguments.cache,
        descriptors=arguments.cache / "encoder.pb",
        out=arguments.out,
    )
    print("servers", flush=True)
    return ServersRun(plan).run() | {"model": "minilm"}


def save(arguments: argparse.Namespace, results: dict) -> None:
    path = arguments.out / "results.json"
    path.with_suffix(".new").write_text(json.dumps(results), encoding="utf-8")
    path.with_suffix(".new").rename(path)


def write_report(arguments: argparse.Namespace, results: dict) -> None:
    beside = arguments.out if arguments.quick else ROOT / "bench"
    picture = arguments.plot or beside / "peers.svg"
    page = arguments.results or beside / "RESULTS.md"
    picture.write_text(plot.svg(results), encoding="utf-8")
    report.put_section(page, report.markdown(results, os.path.relpath(picture, page.parent)))
    print(f"{arguments.out / 'results.json'}\n{picture}\n{page}")


def new_results(arguments: argparse.Namespace, directories: dict[str, Path]) -> dict:
    words = shlex.join(word for word in os.environ.get("PEERS_COMMAND", "").split("\n") if word)
    return {
        "cpu": machine.cpu_info(),
        "isa": arguments.isa,
        "commit": machine.commit(ROOT),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": words,
        "passes": arguments.passes,
        "left_out": [],
        "groups": [],
        "models": {
            name: Source(path, arguments.cache).config for name, path in directories.items()
        },
    }


def main() -> None:
    arguments = parse_arguments()
    if arguments.quick:
        arguments.out = arguments.out / "quick"
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.report_only:
        write_report(
            arguments, json.loads((arguments.out / "results.json").read_text(encoding="utf-8"))
        )
        return
    directories = model_directories(arguments)
    results = new_results(arguments, directories)
    measure_groups(arguments, results, directories)
    results["roofs"] = best_roofs(results["groups"])
    if not arguments.no_servers:
        results["servers"] = measure_servers(arguments, directories)
    save(arguments, results)
    write_report(arguments, results)


if __name__ == "__main__":
    main()
