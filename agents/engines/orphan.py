"""A process that ends with the one that started it, also where that was killed by -9 and could tell nobody.

Invariant: a process that was not started by `multiprocessing` is left alone.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Has the kernel kill this process when the thread that started it ends (Linux only)."""
    parent = multiprocessing.parent_process()
    if not sys.platform.startswith("linux") or parent is None or parent.name != "MainProcess":
        return  # a worker of an engine over several GPUs, which is its core's child and not that of who started it
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent.pid:  # it was gone before
        os.kill(os.getpid(), signal.SIGKILL)
