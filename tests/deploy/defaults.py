"""What `attnd --help` says: the default of each flag."""

import re
import subprocess

UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}


def defaults(attnd):
    """{flag without dashes: default as printed}; flags without one are left out."""
    shown = subprocess.run([attnd, "--help"], capture_output=True, text=True, timeout=20, check=True).stdout
    return dict(re.findall(r"^  --([a-z-]+) \S+:[^=\n]*=(\S+)", shown, re.MULTILINE))


def seconds(text):
    """"30s", "1m30s", "0": in seconds."""
    parts = re.findall(r"(\d+)(ms|s|m|h)", text)
    if not parts and text != "0":
        raise ValueError(f"no duration: {text!r}")
    return sum(int(number) * UNITS[unit] for number, unit in parts)


def tebi(text):
    """"1Gi", "320Mi", "1g": in bytes."""
    number, unit = re.fullmatch(r"(\d+)([A-Za-z]*)", text).groups()
    return int(number) << {"": 0, "mi": 20, "m": 20, "gi": 30, "g": 30}[unit.lower()]
