"""What a worker may be asked to do in tests: imported by the child through PYTHONPATH."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from autotl.errors import DataError, DiskError, PluginError


class OddPluginError(PluginError):
    """A plugin's own class: the parent knows only its base."""


def echo(spec, progress):
    return spec


def identity(spec, progress):
    return {
        "pid": os.getpid(),
        "keras": "keras" in sys.modules,
        "stdin": sys.stdin.read(),
        "environment": {name: os.environ.get(name) for name in spec["names"]},
    }


def litters(spec, progress):
    """Leaves a temporary file, and with `die` dies over it."""
    descriptor, name = tempfile.mkstemp()
    os.close(descriptor)
    progress(name, 1, 1)
    if spec["die"]:
        os.kill(os.getpid(), signal.SIGKILL)
    return name


def raises(spec, progress):
    if spec["kind"] == "data":
        raise DataError("No image.", hint="Add some.", details=("a.jpg", "b.jpg"))
    if spec["kind"] == "plugin":
        raise OddPluginError("Odd.")
    if spec["kind"] == "memory":
        raise MemoryError("no room")
    if spec["kind"] == "disk":
        raise OSError(errno.ENOSPC, "No space left on device", "x.npy")
    if spec["kind"] == "store":
        raise DiskError("No free disk.")
    raise ValueError("first line\nsecond line")


def exits(spec, progress):
    print("last words")
    if spec["hard"]:
        sys.stdout.flush()
        os._exit(spec["code"])
    sys.exit(spec["code"])


def dies(spec, progress):
    print("before the signal", flush=True)
    os.kill(os.getpid(), signal.Signals[spec["signal"]])
    time.sleep(60)


def allocates(spec, progress):
    held = []
    for _ in range(spec["megabytes"]):
        held.append(b"x" * (1 << 20))
        time.sleep(0.0005)
    if spec["sleep"]:
        time.sleep(spec["sleep"])
    return len(held)


def maps(spec, progress):
    import mmap

    with (
        Path(spec["file"]).open("rb") as file,
        mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as view,
    ):
        total = sum(view[i] for i in range(0, len(view), 4096))
        time.sleep(0.3)
    return total


def sleeps(spec, progress):
    time.sleep(spec["seconds"])


def holds_the_lock(spec, progress):
    """Keep the interpreter's lock in native code, so that no thread of this process can run."""
    import ctypes

    ctypes.PyDLL(None).sleep(spec["seconds"])


def prints(spec, progress):
    for number in range(spec["lines"]):
        print(f"line {number} " + "x" * 80)
        print("noise", file=sys.stderr)
    return spec["lines"]


def reports(spec, progress):
    for number in range(1, spec["total"] + 1):
        progress(spec["what"], number, spec["total"])
    return "done"


def returns_no_json(spec, progress):
    return object()


def leaves_a_child(spec, progress):
    return subprocess.Popen(["sleep", "60"]).pid
