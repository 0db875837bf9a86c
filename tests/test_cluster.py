"""Trials on a local Ray cluster of two nodes, bound to the loopback; one of them is killed."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

import autotl
from autotl.cluster import UNUSED, check_pixels, sweep
from autotl.errors import DiskError, UsageError
from autotl.records import StoredPixels

ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'autotl[ray]'")

SCRIPT = """
import json, sys, threading, time
from pathlib import Path
import ray
from ray.cluster_utils import Cluster
import autotl
from autotl.sitting import Silent

out, kill = sys.argv[1], sys.argv[2] == "kill"
cluster = Cluster(
    initialize_head=True,
    head_node_args={"num_cpus": 0, "node_ip_address": "127.0.0.1", "include_dashboard": False},
)
nodes = [cluster.add_node(num_cpus=1, node_ip_address="127.0.0.1") for _ in range(2)]
killed = []

class Watcher(Silent):
    def trial_finished(self, trial):
        # probe, default and longer training run alone; from trial 3 on both nodes are at work
        if kill and trial.number == 3 and not killed:
            killed.append(nodes[0].node_id)
            dies = (nodes[0], False)
            threading.Timer(1.0, cluster.remove_node, dies).start()

autotl.fit(
    "digits", out=out, trials=8, seed=3, strategy="partial-freeze", cluster=cluster.address,
    listener=Watcher(),
)
print(json.dumps({"nodes": [n.node_id for n in nodes], "killed": killed}))
cluster.shutdown()
"""


LOCAL = {
    "AUTOTL_DISABLE_PLUGIN_AUTOLOAD": "1",
    # else Ray puts this machine's own address in the place of the loopback's
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}


def fitted(out: Path, kill: bool, temporary: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(out), "kill" if kill else "whole"],
        capture_output=True,
        text=True,
        check=False,
        timeout=540,
        env=os.environ | LOCAL | {"TMPDIR": str(temporary)},
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def ledger(out: Path) -> list[Any]:
    trials = autotl.load(out).report["search"]["ledger"]
    same = ("number", "origin", "status", "recipe", "hyperparameters", "metrics")
    return [[trial[key] for key in same] for trial in trials]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_cluster_gives_the_ledger_of_one_machine_though_a_node_dies(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="ray-") as short:  # Ray's sockets lie below it
        told = fitted(tmp_path / "cluster", True, Path(short))
        sent = [log.read_text("utf-8") for log in Path(short).glob("autotl-node-*/*/fetched.jsonl")]
    assert told["killed"]
    autotl.fit(
        "digits",
        out=tmp_path / "here",
        trials=8,
        seed=3,
        strategy="partial-freeze",
        disabled_plugins=("keras-applications",),
    )
    assert ledger(tmp_path / "cluster") == ledger(tmp_path / "here")

    assert len(sent) == 2
    for log in sent:
        files = [json.loads(line)["file"] for line in log.splitlines()]
        entries = [name for name in files if len(Path(name).stem) == 40]
        assert len(entries) == len(set(entries)) > 0


def test_folders_of_nodes_long_gone_are_removed(tmp_path: Path) -> None:
    for name in ("own", "gone", "young"):
        (tmp_path / name / "store").mkdir(parents=True)
        (tmp_path / name / "store" / "entry.npy").touch()
    for path in sorted(tmp_path.rglob("*"), reverse=True):
        os.utime(path, (0, time.time() - 1.1 * UNUSED))
    (tmp_path / "young" / "store" / "entry.npy").touch()
    sweep(tmp_path, tmp_path / "own")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own", "young"]


def test_images_that_are_not_stored_are_not_for_a_cluster() -> None:
    about = {"pixels": "", "margin": "", "labels": "", "train": 1, "validation": 1, "size": 32}
    pixels = StoredPixels(**about, margin_size=36, classes=2, key="k", stored=False)
    with pytest.raises(DiskError, match="cannot be sent to the cluster"):
        check_pixels(pixels)
    check_pixels(dataclasses.replace(pixels, stored=True))


def test_no_cluster_is_a_wrong_option(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"No Ray cluster answers at 127\.0\.0\.1:1"):
        autotl.fit("digits", out=tmp_path / "a", trials=1, cluster="127.0.0.1:1")


def test_nothing_is_left_where_no_cluster_answers(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No Ray cluster answers"):
        autotl.fit("digits", out=tmp_path / "run", trials=1, cluster="ray://127.0.0.1:1")
    assert not (tmp_path / "run").exists()
