"""Every hook that a plugin may implement: who calls it, when, how often, what its return does.

A plugin is a module that an installed distribution names in the entry-point group `autotl`; its
functions are marked with `autotl.hookimpl`. Importing it must import none of keras, tensorflow,
torch and jax (`autotl.testing` checks it; a run warns of the first two). It is imported once a
process, when plugins are first asked for; a discovery is each fit, resume or inspect, and each
`autotl backbones` or `autotl plugins`.
"""

from __future__ import annotations

from typing import Any

import pluggy

from autotl.records import Backbone, Loader, Trial

hookspec = pluggy.HookspecMarker("autotl")
hookimpl = pluggy.HookimplMarker("autotl")


@hookspec
def autotl_backbones() -> list[Backbone]:
    """Called once a discovery. Return the backbones that the plugin brings.

    Each is validated; a name that two plugins take is an error that names both distributions. A
    name taken twice in one plugin, an exception, a return that is not a list of `Backbone`, or
    another `contract` sets that whole plugin aside with its reason.
    """
    raise AssertionError("a specification is never called")


@hookspec
def autotl_loaders() -> list[Loader]:
    """Called once a discovery. Return the loaders that the plugin brings.

    Each loader's `matches` is called once a fit, inspect or resume of an unfinished run for the
    data that the user named, in no promised order; one that raises (but for `DataError`, which ends
    the command) is passed over with a remark. Where none matches, or several do, the command ends
    with exit code 3, and where several do it asks for one by `--loader`. With `--loader` only the
    named one is called, and that loader reads the data even where its `matches` returns None.
    """
    raise AssertionError("a specification is never called")


@hookspec
def autotl_step_finished(step: str, record: Any) -> None:
    """Called in the parent process after each step of a run is in the journal, once a step.

    `step` and the class of `record`, in `autotl.records`: "load" `LoadRecord`, "split"
    `SplitRecord`, "rank" `Ranking` (where several backbones were compared), "backbone"
    `LocatedBackbone`, "measure" `Measurements`, "decide" `Decision`, "estimate" `RunEstimate`,
    "search" `SearchRecord`, "evaluate" `Evaluation`, "export" `Export`, "pictures" `Pictures`,
    "report" `ReportRecord`. Not called for steps replayed from the journal. A return is ignored; an
    exception is reported as a warning that names the plugin and changes nothing.
    """


@hookspec
def autotl_trial_finished(trial: Trial) -> None:
    """Called in the parent process after each trial is in the journal, finished or failed.

    Not called for trials replayed from the journal. A return is ignored; an exception is
    reported as a warning that names the plugin and changes nothing.
    """
