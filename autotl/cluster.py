"""Trials on a Ray cluster that exists: the oracle and the journal stay with the one that asked.

A trial's inputs (activations, pixels, weights) go into Ray's object store once and from there to
each node that needs them, where they become files of a folder of that node; the trial then runs in
a worker process there, as it would here. Ray starts it again on another node where its node dies.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping
from functools import partial
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import filelock

from autotl import errors
from autotl.calls import Progress
from autotl.errors import (
    AutotlError,
    DeadlineError,
    DiskError,
    InternalError,
    UsageError,
    WorkerError,
)
from autotl.files import sha256, write_atomically
from autotl.records import StoredPixels
from autotl.worker import Worker

CORES = 2
"""Processor cores that a trial asks the cluster for, where a node has as many."""
RETRIES = 3
"""Deaths of nodes that a trial survives."""
CONNECTING = 5.0
"""Seconds that the cluster may take to answer."""
RECYCLED = 2 * 10**9
"""Bytes above which a node's worker process is replaced between trials."""
TICK = 0.2
UNUSED = 7 * 24 * 3600.0
"""Seconds after which the folder of a node that seems to be gone is removed."""
FETCHED = "fetched.jsonl"
"""In a node's folder: a line for each file that was sent there."""
SAME = ("autotl", "keras", "tensorflow", "onnxruntime", "tf2onnx", "numpy")
"""Distributions whose versions must be those of the one that asks."""


class Cluster:
    """A trainer (`search.trainers.Trainer`) on the cluster at `address`; a context manager.

    `address` is Ray's: "auto" for the one that this machine belongs to, "HOST:PORT", or
    "ray://HOST:PORT". Raises `UsageError` where ray is not installed or no cluster answers.
    """

    def __init__(self, address: str, worker: Worker) -> None:
        ray = _ray()
        _knock(address)
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise _nobody(address, error) from error
        self._worker = worker
        self._stopped = threading.Event()
        self._objects: dict[str, Any] = {}
        cores = min([CORES, *_cores(ray)])
        options = {"num_cpus": cores, "max_retries": RETRIES}
        self._task = ray.remote(**options)(train_here)
        self._width = max(1, sum(n // cores for n in _cores(ray)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        _ray().shutdown()

    @property
    def width(self) -> int:
        """Trials that the cluster's processors hold side by side."""
        return self._width

    def prepare(self, spec: dict[str, Any]) -> None:
        """Compute what lies below the trial's boundary here, once, and hand it to the cluster.

        Adds to the spec: `stored`, and `files`, paths with the digests of their content.
        """
        found = self._worker.call("autotl.train.inputs:needed", spec)
        pixels, recipe = spec["pixels"], spec["recipe"]
        paths = [pixels["labels"], *found["entries"]]
        paths += [str(Path(entry).with_suffix(".json")) for entry in found["entries"]]
        if not found["stored"] and recipe["boundary"] < max(recipe["taps"]):
            paths += [pixels["pixels"], pixels["margin"]]
        paths += [spec["located"]["weights"], spec["probe"], spec["parent"]]
        spec["stored"] = found["stored"]
        try:
            spec["files"] = {path: self._handed(path) for path in sorted(set(filter(None, paths)))}
        except OSError as error:  # Ray's full object store is one too
            raise WorkerError(
                f"A trial's inputs could not be sent to the cluster: {error}"
            ) from error

    def _handed(self, path: str) -> str:
        """The file's SHA-256, its content being with the cluster."""
        digest = sha256(Path(path))
        if digest not in self._objects:
            self._objects[digest] = _ray().put(Path(path).read_bytes())
        return digest

    def train(self, spec: dict[str, Any], deadline: float | None, progress: Progress | None) -> Any:
        """Run the trial on a node, and write its files here. It is not told how far it is, and
        starts from its beginning where it is run again.
        """
        ray = _ray()
        files = {path: (d, [self._objects[d]]) for path, d in spec["files"].items()}
        # a trial whose node died waits for another one's end before it runs again
        end = None if deadline is None else time.monotonic() + (1 + RETRIES) * deadline
        task = self._task.remote(spec, files, _versions([*SAME, spec["located"]["distribution"]]))
        while not ray.wait([task], timeout=TICK)[0]:
            late = end is not None and time.monotonic() > end
            if late or self._stopped.is_set():
                ray.cancel(task, force=True)
                raise DeadlineError(
                    "A trial on the cluster was stopped: "
                    + ("its time was over." if late else "the search ended.")
                )
        try:
            answer = ray.get(task)
        except ray.exceptions.RayTaskError as error:
            raise InternalError(
                "A trial on the cluster met an error that is not of this program's tree.",
                hint="Please report this, with the versions in run.json.",
                details=tuple(str(error).splitlines()),
            ) from error
        except ray.exceptions.RayError as error:
            raise WorkerError(
                f"A trial on the cluster was lost: {type(error).__name__}.",
                details=tuple(str(error).splitlines()[:10]),
            ) from error
        return _taken(answer, Path(spec["out"]))

    def stop(self) -> None:
        """End what is being trained."""
        self._stopped.set()


def check(address: str) -> None:
    """Raise `UsageError` where ray is not installed or nothing listens at the address."""
    _ray()
    _knock(address)


def check_pixels(pixels: StoredPixels) -> None:
    """Raise `DiskError` where there is nothing that could be sent to a cluster."""
    if not pixels.stored:
        raise DiskError(
            "The images are too many for the store, so they cannot be sent to the cluster.",
            hint="Set AUTOTL_CACHE_GB to a larger cap, or leave --cluster out.",
        )


def _knock(address: str) -> None:
    """Raise `UsageError` where nothing listens: Ray itself would wait for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=CONNECTING).close()
    except OSError as error:
        raise _nobody(address, error) from error


def _nobody(address: str, error: Exception) -> UsageError:
    return UsageError(
        f"No Ray cluster answers at {address}: {error}",
        hint="Start one with `ray start --head`, or leave --cluster out.",
    )


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise UsageError(
            "Trials on a cluster need ray, which is not installed.",
            hint="Install it with: pip install '.[ray]' in a checkout of autotl",
        ) from error
    return ray


def _cores(ray: Any) -> list[int]:
    """Processor cores of each node that has any."""
    nodes = (int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"])
    return [cores for cores in nodes if cores]


def _versions(distributions: Iterable[str]) -> dict[str, str]:
    return {name: _version(name) for name in distributions}


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


def _taken(answer: Mapping[str, Any], out: Path) -> Any:
    """The node's answer, its files written; its error raised."""
    if "error" in answer:
        raise errors.from_json(answer["error"])
    if any(Path(name).name != name for name in answer["files"]):
        raise InternalError("A node of the cluster answered with files outside the trial's folder.")
    for name, content in answer["files"].items():
        write_atomically(out / name, partial(_write, content=content))
    return answer["result"]


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


# ---- on the node ----

_workers: dict[str, Any] = {}


def train_here(
    spec: dict[str, Any], files: Mapping[str, tuple[str, list[Any]]], versions: Mapping[str, str]
) -> dict[str, Any]:
    """Called by Ray on a node: fetch what is not yet there, train in a worker process.

    Returns `result`, and `files` by their names in the trial's folder; or `error`.
    """
    try:
        _check_versions(versions)
        home = _home()
        places = {path: _fetched(home, path, d, one) for path, (d, (one,)) in files.items()}
        with tempfile.TemporaryDirectory(dir=home) as name:
            told = _there(spec, places, home, Path(name))
            if "worker" not in _workers:
                # Ray bounds threads by cores asked for, and other threads sum in another order
                os.environ.pop("OMP_NUM_THREADS", None)
                # entries that were sent must stay, whatever the node's disk would have as a cap
                kept = {"AUTOTL_CACHE_GB": "1e6"}
                _workers["worker"] = Worker(recycle_above=RECYCLED, environment=kept)
            result = _workers["worker"].call("autotl.train.trial:run", told)
            found = {p.name: p.read_bytes() for p in (Path(name) / "trial").iterdir()}
        return {"result": _renamed(result, spec), "files": found}
    except AutotlError as error:
        return {"error": errors.as_json(error)}


def _home() -> Path:
    """The folder of this node: one a node, also where several nodes share a disk.

    Raises `DiskError` where somebody else made the folder above it.
    """
    import ray

    node = str(ray.get_runtime_context().get_node_id())
    above = Path(tempfile.gettempdir()) / f"autotl-node-{os.getuid()}"
    above.mkdir(mode=0o700, exist_ok=True)
    if above.is_symlink() or above.stat().st_uid != os.getuid():
        raise DiskError(f"{above} belongs to somebody else.", hint="Set TMPDIR on that node.")
    home = above / node[:16]
    home.mkdir(exist_ok=True)
    sweep(above, home)
    return home


def sweep(above: Path, own: Path) -> None:
    """Remove the folders of other nodes below `above` in which nothing changed for `UNUSED`."""
    for home in above.iterdir():
        newest = max((_changed(path) for path in [home, *home.rglob("*")]), default=0.0)
        if home != own and time.time() - newest > UNUSED:
            shutil.rmtree(home, ignore_errors=True)


def _changed(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:  # another node sweeps as well
        return 0.0


def _fetched(home: Path, path: str, digest: str, reference: Any) -> Path:
    """The file on this node that stands for one of the asker's, fetched where it is not there."""
    import ray

    entry = Path(path)
    place = home / ("store" if _is_entry(entry) else digest) / entry.name
    with filelock.FileLock(home / ".lock"):
        if not place.exists():
            content = ray.get(reference)
            write_atomically(place, partial(_write, content=content))
            with (home / FETCHED).open("a", encoding="utf-8") as log:
                log.write(json.dumps({"file": entry.name, "bytes": len(content)}) + "\n")
    return place


def _is_entry(path: Path) -> bool:
    return len(path.stem) == 40 and path.suffix in (".npy", ".json")


def _there(
    spec: dict[str, Any], places: Mapping[str, Path], home: Path, folder: Path
) -> dict[str, Any]:
    """The spec with this node's paths."""
    pixels = {
        name: str(places.get(value, value)) if isinstance(value, str) else value
        for name, value in spec["pixels"].items()
    }
    weights = spec["located"]["weights"]
    found = {name: value for name, value in spec.items() if name != "files"}
    return found | {
        "pixels": pixels,
        "located": spec["located"] | {"weights": str(places[weights]) if weights else None},
        "probe": str(places[spec["probe"]]) if spec["probe"] else None,
        "parent": str(places[spec["parent"]]) if spec["parent"] else None,
        "folder": str(home / "store"),
        "run_folder": str(folder),
        "out": str(folder / "trial"),
    }


def _renamed(result: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    """The result with its files named as they lie in the asker's run folder."""
    out = Path(spec["out"]).relative_to(Path(spec["run_folder"]))
    named = dict(result)
    for name in ("weights", "predictions", "crossed"):
        if named.get(name):
            file = named[name]
            named[name] = file | {"path": (out / Path(file["path"]).name).as_posix()}
    return named


def _check_versions(asked: Mapping[str, str]) -> None:
    here = _versions(asked)
    other = [f"{n} {here[n]} instead of {asked[n]}" for n in asked if here[n] != asked[n]]
    if other:
        raise UsageError(
            f"A node of the cluster has other versions: {', '.join(other)}.",
            hint="Install the same versions on every node.",
        )
