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
import json, sys, tempfile, threading, time
from pathlib import Path
import ray
from ray.cluster_utils import Cluster
import autotl

out = sys.argv[1]
cluster = Cluster(
    initialize_head=True,
    head_node_args={"num_cpus": 0, "node_ip_address": "127.0.0.1", "include_dashboard": False},
)
nodes = [cluster.add_node(num_cpus=1, node_ip_address="127.0.0.1") for _ in range(2)]
killed = []

def kill():
    logs = []
    # both nodes were sent files, and both are at work
    while len(logs) < 2 or ray.available_resources().get("CPU"):
        time.sleep(0.1)
        logs = list(Path(tempfile.gettempdir()).glob("autotl-node-*/*/fetched.jsonl"))
    killed.append(nodes[0].node_id)
    cluster.remove_node(nodes[0], False)

threading.Thread(target=kill, daemon=True).start()
autotl.fit("digits", out=out, trials=8, seed=3, strategy="partial-freeze", cluster=cluster.address)
print(json.dumps({"killed": killed}))
cluster.shutdown()
"""


LOCAL = {
    "AUTOTL_DISABLE_PLUGIN_AUTOLOAD": "1",
    # else Ray puts this machine's own address in the place of the loopback's
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}


def fitted(out: Path, temporary: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(out)],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
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
        told = fitted(tmp_path / "cluster", Path(short))
        sent = [log.read_text("utf-8") for log in Path(short).glob("autotl-node-*/*/fetched.jsonl")]
    assert len(told["killed"]) == 1
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
