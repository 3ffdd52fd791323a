"""From results.json to what people read: ratios, tables, and the section of bench/RESULTS.md."""

from pathlib import Path

from .terms import ARRANGEMENTS, ATTND, WHOLE, WORKLOADS

BEGIN, END = "<!-- peers: begin -->", "<!-- peers: end -->"
# What a precision is held against: oneDNN's best f32 GEMM, or the peak of the dot instruction.
ROOF_OF = {"f32": "gemm_f32", "bf16": "dot_bf16", "int8": "dot_int8"}


def cells_of(result: dict, workload: str, engine: str | None = None) -> list[dict]:
    """Of one engine, or of all peers."""
    return [
        cell
        for cell in result["cells"]
        if cell["workload"] == workload
        and (cell["engine"] == engine if engine else cell["engine"] != ATTND)
    ]


def best_of(cells: list[dict]) -> dict | None:
    return min(cells, key=lambda cell: cell["median_seconds"], default=None)


def median(values: list[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def compare(ours: dict, peer: dict) -> dict[str, float]:
    """How many times faster ours is: by medians, by minima, and the range turn by turn."""
    turns = [median(b) / median(a) for a, b in zip(ours["turns"], peer["turns"], strict=True)]
    return {
        "medians": peer["median_seconds"] / ours["median_seconds"],
        "minima": peer["min_seconds"] / ours["min_seconds"],
        "least": min(turns),
        "most": max(turns),
    }


def comparisons(result: dict) -> list[dict]:
    """attnd against the best peer on each workload, and on w3 in naive batches besides."""
    rows = []
    for workload in result["group"]["workloads"]:
        ours = best_of(cells_of(result, workload, ATTND))
        peers = cells_of(result, workload)
        rivals = [(workload, best_of(peers))]
        if workload == "w3":
            rivals.append(("w3, naive", best_of([c for c in peers if c["arrangement"] == "naive"])))
        for title, peer in rivals:
            if peer:
                ratio = compare(ours, peer) if ours else None
                rows.append({"workload": title, "ours": ours, "peer": peer, "ratio": ratio})
    return rows


def share_of_roof(result: dict, cell: dict) -> float | None:
    roof = result["roof"][ROOF_OF[result["group"]["precision"]]]
    return cell["operations"] / cell["median_seconds"] / roof["rate"] if roof else None


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"


def table(titles: list[str], rows: list[list[str]], left: int = 1) -> list[str]:
    """A Markdown table; the first `left` columns are words, the others numbers."""
    rule = ["---"] * left + ["---:"] * (len(titles) - left)
    lines = ["| " + " | ".join(titles) + " |", "|" + "|".join(rule) + "|"]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows), ""]


def label(cell: dict) -> str:
    return (
        cell["engine"]
        if cell["arrangement"] == WHOLE
        else f"{cell['engine']} ({cell['arrangement']})"
    )


def ratio_rows(results: dict) -> list[list[str]]:
    rows = []
    for result in results["groups"]:
        group = result["group"]
        busy = f", {group['busy']} core kept busy" if group["busy"] else ""
        for row in comparisons(result):
            ours, peer, ratio = row["ours"], row["peer"], row["ratio"]
            rows.append(
                [
                    group["model"],
                    group["precision"],
                    f"{group['threads']}{busy}",
                    row["workload"],
                    label(peer),
                    number(ours["tokens_per_second"]) if ours else "–",
                    number(peer["tokens_per_second"]),
                    f"**{ratio['medians']:.2f}**" if ratio else "–",
                    f"{ratio['minima']:.2f}" if ratio else "–",
                    f"{ratio['least']:.2f}–{ratio['most']:.2f}" if ratio else "–",
                    percent(share_of_roof(result, ours) if ours else None),
                ]
            )
    return rows


def ratio_section(results: dict) -> list[str]:
    titles = [
        "model",
        "precision",
        "threads",
        "workload",
        "best peer",
        "attnd tokens/s",
        "peer tokens/s",
        "ratio of medians",
        "of minima",
        "turn by turn",
        "attnd, of the roof",
    ]
    return ["### attnd / the best peer", "", *table(titles, ratio_rows(results), left=5)]


def columns_of(result: dict) -> list[tuple[str, str]]:
    """(workload, arrangement) of the peers' cells, in the order of the workloads."""
    arranged = list(ARRANGEMENTS)
    found = {(c["workload"], c["arrangement"]) for c in result["cells"] if c["engine"] != ATTND}
    found |= {(c["workload"], c["arrangement"]) for c in result["cells"] if c["workload"] != "w3"}
    order = WORKLOADS
    return sorted(
        found, key=lambda c: (order.index(c[0]), arranged.index(c[1]) if c[1] in arranged else 0)
    )


def engine_row(result: dict, engine: str, columns: list[tuple[str, str]], metric: str) -> list[str]:
    by_column = {
        (c["workload"], c["arrangement"]): c for c in result["cells"] if c["engine"] == engine
    }
    row = [engine]
    for workload, arrangement in columns:
        # attnd has one arrangement, which stands against each of the peers'.
        arrangement = WHOLE if engine == ATTND else arrangement
        cell = by_column.get((workload, arrangement))
        if not cell:
            row.append("–")
        elif metric == "ms":
            row.append(
                f"{number(1e3 * cell['median_seconds'])} / {number(1e3 * cell['min_seconds'])}"
            )
        else:
            row.append(number(cell["tokens_per_second"]))
    return row


def group_section(result: dict) -> list[str]:
    group, columns = result["group"], columns_of(result)
    titles = ["engine", *(w if a == WHOLE else f"{w} {a}" for w, a in columns)]
    lines = [
        f"### {group['model']}, {group['precision']}, {group['threads']} thread"
        + ("s" if group["threads"] > 1 else "")
        + (f", {group['busy']} core kept busy by another process" if group["busy"] else ""),
        "",
    ]
    for title, metric in (
        ("Real tokens/s, median:", "tokens"),
        ("Milliseconds a pass, median / minimum:", "ms"),
    ):
        rows = [engine_row(result, engine, columns, metric) for engine in result["engines"]]
        lines += [title, "", *table(titles, rows)]
    if result["disturbance"]:
        d = result["disturbance"]
        lines += [
            f"Meanwhile other processes took {percent(d['others'])} of the machine and the "
            f"hypervisor {percent(d['stolen'])}.",
            "",
        ]
    for entry in result["left_out"]:
        lines.append(
            f"- left out: {entry['engine']} {entry['workload']}: {entry['why']}".replace(
                " : ", ": "
            )
        )
    return [*lines, ""] if result["left_out"] else lines


def agreement_section(results: dict) -> list[str]:
    rows = [
        [
            result["group"]["model"],
            f"{name} {result['group']['precision']}",
            engine["version"],
            engine["notes"],
            f"{engine['min_cosine']:.6f}",
            f"{engine['max_difference']:.2g}",
            str(engine["peak_mebibytes"]),
        ]
        for result in results["groups"]
        if result["group"]["threads"] == max_threads(results) and not result["group"]["busy"]
        for name, engine in result["engines"].items()
    ]
    titles = [
        "model",
        "engine",
        "version",
        "notes",
        "least cosine",
        "largest difference",
        "peak MiB",
    ]
    return [
        "### Agreement with PyTorch in f32, and memory",
        "",
        "Of the token vectors of four sequences in one padded batch.",
        "",
        *table(titles, rows, left=4),
    ]


def max_threads(results: dict) -> int:
    return max(result["group"]["threads"] for result in results["groups"])


def roof_section(results: dict) -> list[str]:
    rows = []
    for roof in results["roofs"]:
        for name, value in roof.items():
            if isinstance(value, dict):
                unit = "GB/s" if name == "read" else "Gop/s"
                rows.append(
                    [name, value["how"], str(roof["threads"]), f"{value['rate'] / 1e9:.1f} {unit}"]
                )
    return [
        "### Roofs",
        "",
        "oneDNN's best f32 GEMM, what the instructions can do (AMX is not measured), and how fast "
        "memory is read.",
        "",
        *table(["roof", "how", "threads", "rate"], rows, left=2),
    ]


def engine_rate(results: dict, server: str, servers: dict) -> float | None:
    """Real tokens/s of the server's own engine on w3: attnd's as it arrives, a peer's by tokens."""
    for result in results["groups"]:
        group = result["group"]
        same = group["threads"] == servers["threads"] and group["precision"] == servers["precision"]
        if group["model"] != servers["model"] or not same or group["busy"]:
            continue
        arrangement = WHOLE if server == ATTND else "tok"
        for cell in cells_of(result, "w3", server):
            if cell["arrangement"] == arrangement:
                return cell["tokens_per_second"]
    return None


def server_row(results: dict, row: dict, servers: dict) -> list[str]:
    rate = engine_rate(results, row["server"], servers)
    share = row["tokens_per_second"] / rate if rate else None
    left = 1 - row["client_cores"] / servers["threads"]
    latency = row["latency_ms"]
    return [
        row["load"],
        row["server"],
        number(row["requests_per_second"]),
        number(row["tokens_per_second"]),
        number(latency["p50"]),
        number(latency["p95"]),
        number(latency["p99"]),
        f"{1e3 * row['server_cpu_seconds_per_request']:.2f}",
        percent(share),
        percent(share / left if share is not None else None),
        str(row["failed"]),
    ]


def server_section(results: dict) -> list[str]:
    servers = results.get("servers")
    if not servers:
        return []
    titles = [
        "load",
        "server",
        "requests/s",
        "tokens/s",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "server CPU ms a request",
        "of its engine's rate",
        "in the CPU that the client leaves",
        "failed",
    ]
    rows = [server_row(results, row, servers) for row in servers["rows"]]
    memory = ", ".join(f"{name} {value}" for name, value in servers["peak_mebibytes"].items())
    return [
        f"### Servers: {servers['model']}, {servers['precision']}, {servers['threads']} threads",
        "",
        f"The texts of w3, one a request, pooled replies, {servers['connections']} connections; "
        f"runs of {servers['seconds']:g} s; the client is on the same cores. attnd's queue takes "
        f"{servers['queue_requests']:,} requests and {servers['queue_tokens']:,} tokens. The "
        "others are `bench/peers/reference_server.py` around the engine.",
        "",
        *table(titles, rows, left=2),
        f"Most memory resident, MiB: {memory}.",
        "",
    ]


def heading(results: dict) -> list[str]:
    cpu = results["cpu"]
    taken = {name for result in results["groups"] for name in result["group"]["arrangements"]}
    arrangements = "; ".join(
        f"{name}: {text}" for name, text in ARRANGEMENTS.items() if name in taken
    )
    best = " The best peer of w3 is the best of all arrangements." if len(taken) > 1 else ""
    held = (
        "Engines take what the CPU has."
        if results["isa"] == "native"
        else ("Engines are held to AVX2 by their own switches; ONNX Runtime has none.")
    )
    return [
        "## Against the peers",
        "",
        f"{cpu['name']}, {cpu['cores']} cores, {' '.join(cpu['flags'])}; {results['date']}, commit "
        f"{results['commit']}. Command: `{results['command']}`. {held}",
        "",
        f"Engines in turn, {results['passes']} turns, kept loaded in processes of their own. "
        "Tokens are real tokens. Ratios above 1: attnd is faster. attnd gets w3 as it arrives; the "
        f"peers get it {arrangements}.{best}",
        "",
    ]


def markdown(results: dict, plot: str) -> str:
    lines = [
        BEGIN,
        *heading(results),
        f"![attnd and the peers]({plot})",
        "",
        *ratio_section(results),
    ]
    for result in results["groups"]:
        lines += group_section(result)
    lines += agreement_section(results) + server_section(results) + roof_section(results)
    for why in results["left_out"]:
        lines.append(f"- not measured: {why}")
    return "\n".join(lines).rstrip() + f"\n{END}\n"


def put_section(path: Path, section: str) -> None:
    """Replaces what stands between the markers, or adds it at the end."""
    text = path.read_text(encoding="utf-8") if path.exists() else "# Results\n"
    if BEGIN in text and END in text:
        before, _, rest = text.partition(BEGIN)
        after = rest.partition(END)[2].removeprefix("\n")
        path.write_text(before + section + after, encoding="utf-8")
    else:
        path.write_text(text.rstrip() + "\n\n" + section, encoding="utf-8")
