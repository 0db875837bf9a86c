"""What every benchmark prints first: the machine and the versions it ran with."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil

PACKAGES = ("autotl", "tensorflow", "keras", "keras-tuner", "onnxruntime", "numpy")


def statement(*, load: bool = True) -> str:
    """One paragraph: processor, cores, memory, load, Python and package versions."""
    memory = psutil.virtual_memory().total / 2**30
    busy = f", load {os.getloadavg()[0]:.1f}" if load else ""
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    used = len(os.sched_getaffinity(0)) if _linux() else os.cpu_count()
    pinned = f" ({used} used)" if used != os.cpu_count() else ""
    return (
        f"Machine: {_processor()}, {os.cpu_count()} cores{pinned}, {memory:.0f} GiB{busy}; "
        f"Python {platform.python_version()}; {versions}."
    )


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines() if _linux() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _linux() -> bool:
    return Path("/proc/cpuinfo").exists()


def commit() -> str:
    """The commit of the working tree (12 hex digits), with "+" where files differ from it."""
    folder = Path(__file__).parent
    found = ["git", "describe", "--always", "--abbrev=12", "--dirty=+", "--match=none"]
    done = subprocess.run(found, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
