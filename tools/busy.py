"""Runs a command several times beside busy loops, which take the processors away from it.

    python tools/busy.py --loops 2 --times 3 -- make test

Ends with 1 as soon as one run fails: what passes only on a quiet machine measures the machine.
"""

from __future__ import annotations

import argparse
import multiprocessing
import subprocess
import sys


def spin() -> None:
    """Computes for ever."""
    while True:
        pass


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Runs a command beside busy loops.")
    parser.add_argument("--loops", type=int, default=2)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("command", nargs="+")
    asked = parser.parse_args()
    loops = [multiprocessing.Process(target=spin, daemon=True) for _ in range(asked.loops)]
    for loop in loops:
        loop.start()
    for number in range(1, asked.times + 1):
        print(f"run {number} of {asked.times} beside {asked.loops} busy loops", flush=True)
        if (code := subprocess.run(asked.command).returncode) != 0:
            print(f"run {number} ended with {code}")
            return 1
    print(f"{asked.times} runs passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
