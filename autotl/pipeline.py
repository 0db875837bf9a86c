"""The product on one screen: `fit`, `resume` and `inspect`, a line a step.

This is the only room that knows every step. A step takes values and returns a frozen record; the
run keeps the record in its journal, so that a resumed run takes up where it stopped.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from autotl import decide, evaluate, export, measure, report, search
from autotl.activations import cache_folder, holding
from autotl.cluster import Cluster, check, check_pixels
from autotl.errors import RunFolderError
from autotl.files import expanded, look, out_folder
from autotl.fitted import Fitted, Inspection, load, run_folder
from autotl.loading import Loaded
from autotl.plugins import AUTO, Plugins, choose_backbone, choose_input_size, discover, located
from autotl.preparation import check_stages, prepared
from autotl.records import (
    Decision,
    LocatedBackbone,
    Measurements,
    SearchRecord,
    Split,
    StoredPixels,
    to_json,
)
from autotl.request import Request, request
from autotl.run import Run, open_run, reopen
from autotl.settling import epochs, uncompared, way_out
from autotl.sitting import Listener, Silent, Sitting, finished, limit, run_records, same_files
from autotl.split import bundled
from autotl.worker import Worker, memory_ceiling

Options = dict[str, Any]

_EXPORTED = ("embedding", "int8", "int8_points", "float16")
_LEAST_TO_RECYCLE = 2_000_000_000


def fit(
    data: Any,
    *,
    out: str | Path | None = None,
    budget: str | float | None = None,
    trials: int | None = None,
    seed: int = 0,
    strategy: str | None = None,
    backbone: str = "auto",
    weights: str | Path | None = None,
    input_size: int | None = None,
    frozen: str | None = None,
    tap: str | None = None,
    learning_rate: float | None = None,
    resize: str | None = None,
    loader: str | None = None,
    input_column: str | None = None,
    label_column: str | None = None,
    group_column: str | None = None,
    split_column: str | None = None,
    metric: str = "accuracy",
    target_precision: float | None = None,
    embedding: bool = False,
    int8: bool = False,
    int8_points: float = 1.0,
    float16: bool = False,
    tensorboard: bool = False,
    disabled_plugins: tuple[str, ...] = (),
    cluster: str | None = None,
    listener: Listener | None = None,
) -> Fitted:
    """Train on `data` and export a verified model; returns the finished run.

    `data` is a folder of class folders, a table (CSV, TSV, JSON lines, Parquet) or pandas data
    frame, whose columns are found or named (`input_column`, `label_column`, `group_column`,
    `split_column`; "none" leaves out one of the last two), a `.npz` file, an embedded name such as
    "digits", arrays `(images, labels)`, or a `tf.data.Dataset` of such pairs. `budget` is seconds
    or a duration such as "10m"; without it and `trials` it is ten minutes. What the engine decides
    can be settled: `strategy`,
    `backbone`, `input_size` in pixels, the last `frozen` stage of partial freeze, the stage that
    feature extraction reads (`tap`), the `learning_rate` of the other strategies, the `resize`
    policy ("squash" or "crop", else the backbone's own). With a `target_precision` (between 0 and
    1) the confidence is chosen under which the model abstains. The exported model gives an
    `embedding` on request; `int8` and `float16` variants of it are written beside it where they
    pass their gates, int8 if it loses at most `int8_points` points of accuracy. `cluster` is the
    address of a Ray cluster that trains the trials (extra `autotl[ray]`). `out` is the run's folder
    (default `autotl-runs/NAME-N`), which must not hold anything. Raises the errors of
    `autotl.errors`.
    """
    given = dict(locals())
    asked = request(**_options(given))
    return _started(asked, data, out, cluster, listener or Silent())


def _options(given: Options) -> Options:
    """The arguments of `fit` or `inspect` that `request` checks by the same names."""
    apart = ("out", "cluster", "listener")
    return {name: value for name, value in given.items() if name not in apart} | {
        "data": named(given["data"])
    }


def _started(
    asked: Request,
    data: Any,
    out: str | Path | None,
    cluster: str | None,
    listener: Listener,
) -> Fitted:
    """The run in a folder of its own."""
    plugins = _plugins(asked)
    if cluster is not None:
        check(cluster)
    name = Path(asked.data).stem if asked.data else "arrays"
    with open_run(out_folder(out), to_json(asked), name=name, plugins=plugins.versions()) as run:
        given = _given(asked.data, data)
        return _steps(run, asked, given, plugins, listener, cluster)


def resume(
    run: str | Path,
    *,
    data: Any = None,
    budget: str | float | None = None,
    trials: int | None = None,
    cluster: str | None = None,
    listener: Listener | None = None,
) -> Fitted:
    """Go on with an interrupted run; a finished one is returned once its files are checked.

    `data` is needed only where the run was started with arrays or data frames. `budget` and
    `trials` are new limits of the whole run, what it spent and tried so far included; the run keeps
    them. `cluster` is as in `fit`, and is not kept. Data or
    weights that changed are refused (`RunFolderError`), and what changed is named.
    """
    heard = listener or Silent()
    with reopen(run_folder(run)) as reopened:
        if budget is not None or trials is not None:
            stays = limit(reopened, budget, trials)
            if stays:
                heard.note(stays)
        if finished(reopened):
            heard.note(f"{reopened.folder} is finished: its files are as they were written.")
            return load(reopened.folder)
        asked = reopened.asked(Request)
        if asked.data is None and data is None:
            raise RunFolderError(
                f"{run} was started with arrays.", hint="Give them again: autotl.resume(run, data=)"
            )
        given = asked.data if data is None else _given(named(data), data)
        settled = reopened.recorded("backbone", LocatedBackbone) is not None
        plugins = _plugins(asked, settled=settled)
        if cluster is not None:
            check(cluster)
        return _steps(reopened, asked, given, plugins, heard, cluster)


def _steps(
    run: Run,
    asked: Request,
    data: Any,
    plugins: Plugins,
    listener: Listener,
    cluster: str | None,
) -> Fitted:
    cache, folder = cache_folder(), run.folder
    log = folder / "worker.log"
    with holding(), Sitting(run, asked, plugins, listener) as at, _worker(log) as worker:
        worker.warm()
        tools: Options = {"worker": worker, "progress": listener.progress}
        places: Options = {"run_folder": folder, "folder": cache, "seed": asked.seed, **tools}
        loaded, rows, located, pixels = prepared(at, data, cache, worker)
        if cluster is not None:
            check_pixels(pixels)
        bundles = bundled(loaded.dataset, loaded.hashes, rows)
        about = (loaded, rows, located, pixels, bundles)
        measured, decision, ahead = _decided(at, *about, {"folder": cache, **tools})
        foreseen = at.once("estimate", decide.estimate, ahead, anew=at.outdated("estimate"))
        limits: Options = {"budget": asked.budget, "seconds_left": at.seconds_left}
        wishes: Options = {"metric": asked.metric, "tensorboard": asked.tensorboard}
        wishes["test_rows"] = rows.record.test
        subject = (decision, measured, pixels, located)
        with _trainer(cluster, run, worker) as trainer:
            wishes |= {"trainer": trainer, "ledger": at.ledger, "bundles": bundles}
            found = at.once("search", search.search, *subject, **limits, **wishes, **places)
        inputs = (loaded.dataset, loaded.hashes, rows, pixels, located)
        places["verify"] = same_files(run, "model", "predictions")
        target: Options = {"target_precision": asked.target_precision}
        figures = at.once("evaluate", evaluate.evaluate, found, *inputs, **target, **places)
        same = same_files(run, "model", "data", "variants")
        tools |= {"card": at.card(loaded.record), "verify": same}
        proof = (figures, found, loaded.dataset, rows, located)
        more = {name: getattr(asked, name) for name in _EXPORTED}
        exported = at.once("export", export.export, *proof, run_folder=folder, **more, **tools)
        seen = (loaded.dataset, loaded.hashes, rows, measured.size, folder)
        shown = at.once("pictures", report.pictured, *seen)
        facts = (loaded.record, rows.record, located, measured, decision)
        rate = search.learning_rate(decision, measured)
        more = {"recipe_learning_rate": rate, "estimate": foreseen, "pictures": shown}
        everything = replace(run_records(at, *facts, found, figures, exported), **more)
        same = same_files(run, "report", "card", "page")
        at.once("report", report.write, everything, folder, verify=same)
    return load(folder)


def _decided(
    at: Sitting,
    loaded: Loaded,
    rows: Split,
    located: LocatedBackbone,
    pixels: StoredPixels,
    bundles: tuple[int, ...] | None,
    tools: Options,
) -> tuple[Measurements, Decision, decide.Ahead]:
    facts = (pixels, located, loaded.record, rows.record)
    tools |= {"seed": at.asked.seed, "deadline": at.seconds_left()}
    tools["trained"] = at.run is not None
    tools["name"] = lambda row: loaded.dataset.ids[rows.train[row]]
    tools["bundles"] = bundles
    tools["given"] = tools["trained"] and at.asked.strategy is not None
    with way_out(at, located):
        measured = at.once("measure", measure.measure, *facts, **tools)
    budget, spent = at.asked.budget, at.seconds_spent()
    limits: Options = {"strategy": at.asked.strategy}
    limits |= {name: getattr(at.asked, name) for name in ("frozen", "tap", "learning_rate")}
    limits["epochs"] = epochs(decide.with_stages(measured, at.asked.frozen, None))
    left = at.seconds_left()
    decision = at.once("decide", decide.decide, measured, budget, seconds_left=left, **limits)
    stays = at.outdated("decide")  # decided for other seconds, and kept
    borne = choose_input_size(located.backbone.input_sizes, loaded.record.median_side)
    free = replace(budget, seconds=None)
    ahead = decide.Ahead(
        decision=decision,
        unlimited=decision if stays else decide.decide(measured, free, **limits),
        measured=measured,
        budget=budget,
        left=left,
        spent=spent,
        test=rows.record.test,
        natural=borne if located.size_reason and not stays else 0,
        decode=pixels.decode,
        several=uncompared(at) and not stays,
        **_also(at),
    )
    return measured, decision, ahead


def _also(at: Sitting) -> Options:
    """What ended and what is exported beside, as `decide.Ahead` takes them."""
    variants = [name for name in ("int8", "float16") if getattr(at.asked, name)]
    ended = [] if at.run is None else [one.origin for one in at.run.trials()]
    return {
        "ended": tuple(ended),
        "variants": tuple(variants),
        "embedding": at.asked.embedding,
    }


def inspect(
    data: Any,
    *,
    budget: str | float | None = None,
    trials: int | None = None,
    seed: int = 0,
    strategy: str | None = None,
    backbone: str = "auto",
    weights: str | Path | None = None,
    input_size: int | None = None,
    frozen: str | None = None,
    tap: str | None = None,
    learning_rate: float | None = None,
    resize: str | None = None,
    loader: str | None = None,
    input_column: str | None = None,
    label_column: str | None = None,
    group_column: str | None = None,
    split_column: str | None = None,
    disabled_plugins: tuple[str, ...] = (),
    listener: Listener | None = None,
) -> Inspection:
    """Measure `data` and decide, but train nothing and write no run; options as in `fit`."""
    given = dict(locals())
    asked = request(**_options(given))
    plugins, heard = _plugins(asked), listener or Silent()
    with holding(), Sitting(None, asked, plugins, heard) as at, _worker(None) as worker:
        worker.warm()
        tools: Options = {"worker": worker, "progress": heard.progress, "folder": cache_folder()}
        source = _given(asked.data, data)
        loaded, rows, located, pixels = prepared(at, source, tools["folder"], worker)
        bundles = bundled(loaded.dataset, loaded.hashes, rows)
        measured, decision, ahead = _decided(at, loaded, rows, located, pixels, bundles, tools)
    rate = search.learning_rate(decision, measured)
    found = (loaded.record, rows.record, located, measured, decision, rate)
    return Inspection(*found, estimate=decide.estimate(ahead))


def _plugins(asked: Request, *, settled: bool = False) -> Plugins:
    """The plugins; raises what is wrong with the backbone asked for and can be known by now, where
    the journal has not `settled` which one "auto" is.
    """
    plugins = discover(disabled=asked.disabled_plugins)
    if asked.resize is not None:
        plugins = plugins.resizing(asked.resize)
    file, size = Path(asked.weights) if asked.weights else None, asked.input_size
    by_name = file is not None or asked.backbone.lower() != AUTO
    if by_name or (size is not None and not settled):
        needed = not by_name and asked.strategy != "scratch"
        wanted: Options = {"weights_file": file, "need_weights": needed, "input_size": size}
        found = choose_backbone(plugins, asked.backbone, download=False, **wanted)
        if size is not None:
            located(found, size)
        if by_name:
            check_stages(asked, found.offered.backbone)
    return plugins


def _worker(log: Path | None) -> Worker:
    """A worker that is replaced between calls once it holds a third of what it may take."""
    return Worker(log=log, recycle_above=max(_LEAST_TO_RECYCLE, memory_ceiling() // 3))


def _trainer(
    address: str | None, run: Run, worker: Worker
) -> AbstractContextManager[Cluster | None]:
    """The cluster that trains the trials, where one was named and any are left to train; else the
    worker does.
    """
    if address is None or run.recorded("search", SearchRecord) is not None:
        return nullcontext()
    return Cluster(address, worker)


def _given(name: str | None, data: Any) -> Any:
    """What loaders get: the name that a resumed run will give them too, else the arrays."""
    return data if name is None else name


def named(data: Any) -> str | None:
    """The path or embedded name that `data` is, absolute where it is a path; None for arrays."""
    if not isinstance(data, str | Path):
        return None
    path = expanded(Path(data))
    return str(path.resolve()) if str(data) and look(path) else str(data)
