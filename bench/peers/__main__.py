"""Measures attnd beside its peers on this machine; bench/peers/run.sh calls it. See README.md."""

import argparse
import datetime
import json
import os
import shlex
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from . import machine, plot, report
from .arguments import ROOT, parse, planned_groups
from .engines import ENGINES
from .measure import Group, GroupRun, Plan, peers_of
from .servers import ServerPlan, ServersRun
from .terms import ATTND


def prepare(arguments: argparse.Namespace, model: Path, group: Group) -> None:
    """Makes the exports that the group's engines need, in a process of their own."""
    kinds = {"reference"}
    for engine in peers_of(group, arguments.engines):
        if kind := ENGINES[engine].exports.get(group.precision):
            kinds.add(kind)
    export(arguments, model, *sorted(kinds))


def export(arguments: argparse.Namespace, model: Path, *kinds: str) -> str:
    command = [sys.executable, "-m", "peers.exports", str(model), str(arguments.cache), *kinds]
    with (arguments.out / "exports.log").open("a", encoding="utf-8") as log:
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=log, text=True)
    return done.stdout


def model_directories(arguments: argparse.Namespace) -> dict[str, Path]:
    directories = {"minilm": arguments.minilm}
    if "bert-base" in arguments.models and not arguments.quick:
        made = export(arguments, arguments.minilm, "bert_base")
        directories["bert-base"] = Path(made.strip().splitlines()[-1])
    return directories


def measure_roof(arguments: argparse.Namespace, threads: int) -> dict:
    command = [str(arguments.build / "bench/roof_bench"), "--threads", str(threads)]
    if arguments.quick:
        command += ["--seconds", "0.5"]
    environment = {**os.environ, **machine.ISA_SWITCHES[arguments.isa]}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(done.stdout)


def measure_group(arguments: argparse.Namespace, group: Group, model: Path) -> dict:
    attnd = (ATTND,) if ATTND in arguments.engines else ()
    plan = Plan(
        engines=(*attnd, *peers_of(group, arguments.engines)),
        passes=arguments.passes,
        turn_seconds=arguments.turn_seconds,
        slowest_pass_seconds=arguments.slowest_pass,
        environment=machine.ISA_SWITCHES[arguments.isa],
        attnd_engine=arguments.build / "bench/attnd_engine",
        cache=arguments.cache,
        out=arguments.out,
    )
    roof = measure_roof(arguments, group.threads)
    return GroupRun(plan, group, model).run() | {"roof": roof}


def measure_groups(
    arguments: argparse.Namespace, results: dict, directories: dict[str, Path]
) -> None:
    for group in planned_groups(arguments):
        if group.precision == "bf16" and not machine.has_bf16(arguments.isa):
            why = f"{group.name}: the CPU has no bf16, which engines would only imitate"
            results["left_out"].append(why)
            continue
        print(group.name, flush=True)
        kept = json.loads(json.dumps(asdict(group)))
        if any(result["group"] == kept for result in results["groups"]):
            print("  kept from the interrupted run", flush=True)
            continue
        model = directories[group.model]
        prepare(arguments, model, group)
        results["groups"].append(measure_group(arguments, group, model))
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


def measure_servers(arguments: argparse.Namespace, model: Path) -> dict:
    quick = arguments.quick
    # PyTorch is far behind as an engine already, and streams need batches that are ready together.
    engines = [
        e for e in arguments.engines if e == ATTND or (not ENGINES[e].parallel and e != "torch")
    ]
    plan = ServerPlan(
        model=model,
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


def load(arguments: argparse.Namespace) -> dict:
    return json.loads((arguments.out / "results.json").read_text(encoding="utf-8"))


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


def new_results(arguments: argparse.Namespace) -> dict:
    words = os.environ.get("PEERS_COMMAND", "").split("\n")
    results = {
        "cpu": machine.cpu_info(),
        "isa": arguments.isa,
        "commit": machine.commit(ROOT),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": shlex.join(word for word in words if word not in ("", "--resume")),
        "passes": arguments.passes,
        "left_out": [],
        "groups": [],
    }
    if arguments.resume and (arguments.out / "results.json").exists():
        earlier = load(arguments)
        if all(earlier[key] == results[key] for key in ("cpu", "isa", "commit", "passes")):
            results["groups"] = earlier["groups"]
    return results


def main() -> None:
    # So that what was started is stopped, whoever ends this process.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    arguments = parse()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.report_only:
        write_report(arguments, load(arguments))
        return
    directories = model_directories(arguments)
    results = new_results(arguments)
    measure_groups(arguments, results, directories)
    results["roofs"] = best_roofs(results["groups"])
    if not arguments.no_servers:
        results["servers"] = measure_servers(arguments, directories["minilm"])
    save(arguments, results)
    write_report(arguments, results)


if __name__ == "__main__":
    main()
