"""`python -m autotl.worker REQUESTS ANSWERS`: a worker process on two inherited pipe ends."""

from __future__ import annotations

import sys

from autotl.worker.child import serve

if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]))
