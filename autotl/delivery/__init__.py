"""What is done with a finished model: verified, held against known classes, or written in the form
that a server runs.
"""

from autotl.delivery.delivering import deliver
from autotl.delivery.judging import Tally, known
from autotl.delivery.verifying import verify

__all__ = ["Tally", "deliver", "known", "verify"]
