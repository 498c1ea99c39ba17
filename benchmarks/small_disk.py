"""A small disk of its own for a run folder, that is full now and then. Needs the right to mount.

Invariant: the disk is only ever filled with ballast, which goes again; what a run stores is never touched.
"""

from __future__ import annotations

import errno
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

PIECE_BYTES = 64 * 1024


class Ballast(threading.Thread):
    """Fills a disk, waits, and frees it, again and again."""

    def __init__(self, disk: Path, every_seconds: float, full_seconds: float, seed: int) -> None:
        """Makes a thread that is not started.

        Args:
            disk: what is filled.
            every_seconds: mean time with space between two times without.
            full_seconds: how long there is none.
            seed: decides when.
        """
        super().__init__(daemon=True)
        self._file, self._every, self._full = disk / "ballast", every_seconds, full_seconds
        self._chance, self._ending = random.Random(seed), threading.Event()
        self.times = 0
        """That the disk was full."""

    def run(self) -> None:
        """See `threading.Thread`."""
        while not self._ending.wait(self._chance.uniform(0.5, 1.5) * self._every):
            try:
                self._fill()
            finally:
                self._file.unlink(missing_ok=True)
            self.times += 1

    def stop(self) -> None:
        """Frees the disk and ends."""
        self._ending.set()
        self.join()

    def _fill(self) -> None:
        """Takes every byte there is, also those that come free meanwhile."""
        if not self._file.parent.is_mount():
            return  # the disk is gone, and this is the machine's own
        with self._file.open("wb", buffering=0) as file:
            for _ in range(max(1, round(self._full / 0.1))):
                for size in (PIECE_BYTES, 4096, 1):
                    _fill_with(file, b"\0" * size)
                if self._ending.wait(0.1):
                    return


def _fill_with(file: FileIO, piece: bytes) -> None:
    try:
        while True:
            file.write(piece)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


@contextmanager
def small_disk(folder: Path, mib: int) -> Iterator[Path]:
    """A disk in memory that holds `mib` MiB, mounted in a folder for as long as it is needed."""
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"a full disk needs the right to mount one: {done.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
