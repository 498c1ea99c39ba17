"""A filesystem on a local folder that can be killed, or filled, at any of its operations.

It is a real `pyarrow.fs` filesystem, so nothing of what is tested has to be patched.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import fs

from sim.storage.files import Location


class Killed(BaseException):
    """The process is dead: from here on nothing of it reaches the disk."""


class Faults:
    """Counts the operations that change anything, and ends one of them."""

    def __init__(self) -> None:
        self.at, self.full, self.done = -1, False, 0
        self.dead = False
        self.look: Callable[[], None] = lambda: None
        """Called before each change, as somebody who reads at that instant."""

    def arm(self, at: int, *, full: bool = False) -> None:
        """At the `at`-th change from now: dies, or finds the disk full. -1: never."""
        self.at, self.full, self.done, self.dead = at, full, 0, False

    def strikes(self) -> bool:
        """Whether this change is the one; to be asked once for each."""
        if self.dead:
            raise Killed
        self.look()
        self.done += 1
        return self.done - 1 == self.at

    def strike(self) -> None:
        """Ends the change."""
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.dead = True
        raise Killed


class _Stream:
    """Writes through to a file, or half of the bytes and then the fault."""

    def __init__(self, path: str, faults: Faults) -> None:
        self._file, self._faults, self.closed = open(path, "wb"), faults, False

    def write(self, data: bytes) -> int:
        if self._faults.strikes():
            self._file.write(bytes(data)[: len(data) // 2])
            self._file.flush()
            self._faults.strike()
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()
        self.closed = True


class FaultyHandler(fs.FileSystemHandler):  # type: ignore[misc]
    """See the module."""

    def __init__(self, faults: Faults) -> None:
        self._local, self._faults = fs.LocalFileSystem(), faults

    def _change(self, work: Callable[[], Any]) -> None:
        strikes = self._faults.strikes()
        if strikes and self._faults.done % 2:  # before it, or after it: a caller cannot tell which
            self._faults.strike()
        work()
        if strikes:
            self._faults.strike()

    def get_type_name(self) -> str:
        return "faulty"

    def normalize_path(self, path: str) -> str:
        return path

    def get_file_info(self, paths: list[str]) -> Any:
        return self._local.get_file_info(paths)

    def get_file_info_selector(self, selector: Any) -> Any:
        return self._local.get_file_info(selector)

    def create_dir(self, path: str, recursive: bool) -> None:
        self._local.create_dir(path, recursive=recursive)

    def delete_dir(self, path: str) -> None:
        raise NotImplementedError

    def delete_dir_contents(self, path: str, missing_dir_ok: bool = False) -> None:
        raise NotImplementedError

    def delete_root_dir_contents(self) -> None:
        raise NotImplementedError

    def delete_file(self, path: str) -> None:
        self._change(lambda: self._local.delete_file(path))

    def move(self, src: str, dest: str) -> None:
        self._change(lambda: self._local.move(src, dest))

    def copy_file(self, src: str, dest: str) -> None:
        raise NotImplementedError

    def open_input_stream(self, path: str) -> Any:
        return self._local.open_input_stream(path, compression=None)

    def open_input_file(self, path: str) -> Any:
        return self._local.open_input_file(path)

    def open_output_stream(self, path: str, metadata: Any) -> Any:
        return pa.PythonFile(_Stream(path, self._faults), mode="w")

    def open_append_stream(self, path: str, metadata: Any) -> Any:
        raise NotImplementedError


def faulty(folder: Path, faults: Faults) -> Location:
    """A local folder seen through such a filesystem."""
    return Location(f"faulty://{folder}", str(folder), fs.PyFileSystem(FaultyHandler(faults)))
