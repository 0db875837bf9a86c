"""The process seam: a function of ours and a JSON spec go in, a JSON value comes out.

The parent's side is `Worker`. The child is a fresh `python -m autotl.worker`, so a user's script
needs no `__main__` guard, and it reads and writes JSON lines on two pipes of its own: libraries
print on stdout and stderr, which go to a log. Nothing is pickled.
"""

from autotl.worker.parent import Worker, memory_ceiling

__all__ = ["Worker", "memory_ceiling"]
