"""How long torch's OpenMP threads spin while they wait for each other.

GNU's OpenMP, which torch uses on Linux, lets a waiting thread spin for milliseconds before it
sleeps. On an idle machine that is the fastest way. Where another program holds up one thread, the
others burn their cores meanwhile, and so keep the one that they wait for from running: work takes
three to six times as long as on a single thread. A bound that is longer than the gaps between two
operations costs nothing on an idle machine and takes the worst off a busy one; the rest is the
number of threads, which follows the load (`machine.adaptive_threads`). Measured: docs/lab-log.md,
"A busy machine".
"""

import os
import sys

SPINS = 10_000  # rounds of a waiting loop before a thread sleeps; some 150 microseconds
CHOSEN = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")  # by which a person decides


def bound_spinning() -> bool:
    """Bound how long OpenMP threads spin, unless the environment says something else.

    OpenMP reads the environment once, when torch is loaded: call it before that.

    Returns:
        Whether the bound was set.
    """
    if "torch" in sys.modules or any(name in os.environ for name in CHOSEN):
        return False
    os.environ["GOMP_SPINCOUNT"] = str(SPINS)
    return True
