"""The picture: real tokens/s of each engine over the best peer's, a panel a group, as SVG."""

from html import escape

from .report import best_of, cells_of
from .terms import ATTND

COLORS = {
    ATTND: "#d1495b",
    "openvino": "#00798c",
    "openvino-streams": "#66b2bd",
    "onnxruntime": "#edae49",
    "ctranslate2": "#5b7553",
    "torch": "#8d96a3",
}
WIDTH, PANEL, TOP, LEFT, BAR, PAD = 920, 200, 64, 60, 130, 30


def text(x: float, y: float, words: str, size: int = 12, anchor: str = "start") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}"'
    return f"<text {place}>{escape(words)}</text>"


def rectangle(x: float, y: float, width: float, height: float, color: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{color}"/>'
    )


def line(y: float, color: str) -> str:
    return f'<line x1="{LEFT}" x2="{WIDTH - PAD}" y1="{y:.1f}" y2="{y:.1f}" stroke="{color}"/>'


def speeds(result: dict, workload: str) -> dict[str, float]:
    """Each engine's best tokens/s over the best peer's."""
    best = best_of(cells_of(result, workload))
    if not best:
        return {}
    found = {engine: best_of(cells_of(result, workload, engine)) for engine in result["engines"]}
    return {
        e: cell["tokens_per_second"] / best["tokens_per_second"]
        for e, cell in found.items()
        if cell
    }


def panel(result: dict, top: float) -> list[str]:
    group = result["group"]
    by_workload = {w: speeds(result, w) for w in group["workloads"]}
    highest = max([1.0, *(value for bars in by_workload.values() for value in bars.values())])
    base, scale = top + 34 + BAR, BAR / highest
    title = f"{group['model']}, {group['precision']}, {group['threads']} thread" + "s" * (
        group["threads"] > 1
    )
    title += f", {group['busy']} core kept busy" * bool(group["busy"])
    parts = [
        text(LEFT, top + 14, title, 13),
        line(base, "#444"),
        line(base - scale, "#bbb"),
        text(LEFT - 6, base - scale + 4, "1.0", 11, "end"),
        text(LEFT - 6, base + 4, "0", 11, "end"),
    ]
    slot = (WIDTH - PAD - LEFT) / len(by_workload)
    for i, (workload, bars) in enumerate(by_workload.items()):
        x, width = LEFT + i * slot + 8, (slot - 16) / max(len(bars), 1)
        parts.append(text(LEFT + (i + 0.5) * slot, base + 16, workload, 12, "middle"))
        for j, (engine, value) in enumerate(bars.items()):
            height = value * scale
            parts.append(
                rectangle(x + j * width, base - height, width - 1.5, height, COLORS[engine])
            )
            parts.append(
                text(x + (j + 0.5) * width, base - height - 3, f"{value:.2f}", 9, "middle")
            )
    return parts


def legend(engines: list[str]) -> list[str]:
    parts = []
    for i, engine in enumerate(engines):
        parts.append(rectangle(LEFT + i * 135, 36, 12, 12, COLORS[engine]))
        parts.append(text(LEFT + i * 135 + 17, 46, engine))
    return parts


def svg(results: dict) -> str:
    groups = [result for result in results["groups"] if result["cells"]]
    engines = [e for e in COLORS if any(e in result["engines"] for result in groups)]
    height = TOP + PANEL * len(groups)
    parts = [
        rectangle(0, 0, WIDTH, height, "white"),
        text(LEFT, 22, "Real tokens/s over the best peer's: higher is faster", 15),
        *legend(engines),
    ]
    for i, result in enumerate(groups):
        parts += panel(result, TOP + i * PANEL)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        'font-family="sans-serif">\n' + "\n".join(parts) + "\n</svg>\n"
    )
