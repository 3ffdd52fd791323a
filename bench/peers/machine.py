"""What the figures were taken on: the CPU, what it was held to, who else was computing."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
FLAGS = (
    "avx2",
    "avx_vnni",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_tile",
    "amx_int8",
    "amx_bf16",
)

# Each engine's own switch. ONNX Runtime has none and takes what the CPU has.
ISA_SWITCHES = {
    "native": {},
    "avx2": {
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "DNNL_MAX_CPU_ISA": "AVX2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "CT2_FORCE_CPU_ISA": "AVX2",
    },
}


def cpu_info() -> dict:
    """Of the first CPU: its name, family and model by the kernel, and the flags that matter."""
    fields: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if not line.strip():
            break
        fields[name.strip()] = value.strip()
    flags = fields.get("flags", "").split()
    return {
        "name": f"{fields.get('model name', '?')} (family {fields.get('cpu family', '?')}, "
        f"model {fields.get('model', '?')})",
        "cores": os.cpu_count(),
        "flags": [flag for flag in FLAGS if flag in flags],
    }


def has_bf16(isa: str) -> bool:
    """Whether bf16 is more than f32 with rounding here."""
    return isa == "native" and "avx512_bf16" in cpu_info()["flags"]


def commit(root: Path) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"


def process_cpu_seconds(pid: int) -> float:
    """User and system time of all threads of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def peak_mebibytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) // 1024
    return 0


@dataclass(frozen=True)
class CpuTimes:
    """Seconds of all CPUs since the machine started."""

    busy: float
    stolen: float
    total: float

    @classmethod
    def now(cls) -> "CpuTimes":
        with open("/proc/stat", encoding="ascii") as file:
            ticks = [int(value) for value in file.readline().split()[1:9]]
        user, nice, system, idle, waiting, interrupts, soft, stolen = ticks
        busy = user + nice + system + interrupts + soft
        return cls(busy / TICKS, stolen / TICKS, (busy + stolen + idle + waiting) / TICKS)

    def disturbance_since(self, begin: "CpuTimes", ours: float) -> dict[str, float]:
        """The shares of the machine that others took; `ours` are our own CPU seconds."""
        total = max(self.total - begin.total, 1e-9)
        others = max(self.busy - begin.busy - ours, 0.0)
        return {"others": others / total, "stolen": (self.stolen - begin.stolen) / total}
