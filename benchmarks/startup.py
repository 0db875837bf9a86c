"""What does it cost to start `autotl --help` and `autotl predict` on one image?

    python benchmarks/startup.py MODEL IMAGE [--runs 9]

Each command is a fresh process; bare Python and bare onnxruntime are timed in turn with it, so
that a drifting machine moves all of them. Medians and differences of medians are printed.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

from machine import statement


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("image")
    parser.add_argument("--runs", type=int, default=9)
    options = parser.parse_args()
    load = f"import onnxruntime; onnxruntime.InferenceSession({options.model!r})"
    commands = {
        "bare Python": [sys.executable, "-c", "pass"],
        "autotl --help": [sys.executable, "-m", "autotl", "--help"],
        "onnxruntime loads the model": [sys.executable, "-c", load],
        "autotl predict, one image": [
            *(sys.executable, "-m", "autotl", "predict", options.model, options.image, "--json"),
        ],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(options.runs + 1):
        for name, command in commands.items():
            started = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            if turn:
                seconds[name].append(time.perf_counter() - started)
    print(statement())
    print("| command | median s | least s | most s |\n|---|---:|---:|---:|")
    for name, times in seconds.items():
        print(f"| {name} | {statistics.median(times):.3f} | {min(times):.3f} | {max(times):.3f} |")
    middle = {name: statistics.median(times) for name, times in seconds.items()}
    help_cost = middle["autotl --help"] - middle["bare Python"]
    predict_cost = middle["autotl predict, one image"] - middle["onnxruntime loads the model"]
    print(f"\nhelp over bare Python: {help_cost:.3f} s (bar 0.2)")
    print(f"predict over onnxruntime's own load: {predict_cost:.3f} s (bar 0.6)")


if __name__ == "__main__":
    main()
