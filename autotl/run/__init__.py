"""The run folder: what was asked for, the append-only journal, the lock, the files' checksums.

`run.json` is written once. `journal.jsonl` is the truth: a line is one JSON object with `kind`
("sitting", "step-started", "step", "step-stopped", "trial-started", "trial-stopped",
"trial-finished", "budget", "page"), `time` (UTC), `at` (seconds since its sitting began), the facts
of its kind, and `digest`, the SHA-256 of the rest. "trial-stopped" takes a trial's start back: the
user interrupted it or the disk was full, so it does not count towards giving the trial up. "budget"
is the budget of the whole run from then on, in place of the one in `run.json`; "page" is the page
written again, in place of the one that the report step wrote. A sitting is one process working on
the run; the pauses between sittings cost nothing. What a killed process spent after its last line
is not known and not counted.
"""

from autotl.run.folder import Observer, Run
from autotl.run.journal import disk, full_disk
from autotl.run.ledger import JournalLedger
from autotl.run.opening import LEAST_FREE_BYTES, open_run, reopen, versions

__all__ = [
    "LEAST_FREE_BYTES",
    "JournalLedger",
    "Observer",
    "Run",
    "disk",
    "full_disk",
    "open_run",
    "reopen",
    "versions",
]
