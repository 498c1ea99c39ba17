"""The local side of a folder that may be remote: what engines, trainers and trackers need as real local files.

Of a local folder it is the folder itself, and nothing is copied. Of a remote one it is a scratch folder in the local
cache, known by the URI and a mark, so that the same command finds it again; what must outlive this machine is put to
the store with `keep`, and fetched with `recall`.

Invariant: the store has the last word (`recall` replaces local files that differ from it); a file is copied only when
it differs from its copy (small ones by content, others by size and time, which a copy takes over), so that keeping or
recalling again costs a look at each file.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path

from agents.errors import StoreError
from agents.files import written
from sim.storage.files import Location, locate

_PARTIAL = re.compile(r"^\..*\.(partial|[0-9a-f]{8})$")
_SMALL = 4096
"""Bytes up to which files are compared by content: `current` keeps its size and may change within a second."""
_CLOCK = 1e-3
"""Seconds by which a copied time may differ, for its way through floats."""


def cache_folder() -> Path:
    """Where scratch folders lie: `$TUTORLOOP_CACHE`, else `tutorloop` in the user's cache folder."""
    named = os.environ.get("TUTORLOOP_CACHE")
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(named).expanduser() if named else caches / "tutorloop"


class Mirror:
    """A folder with its local side."""

    def __init__(self, folder: Location, mark: str = "") -> None:
        """Makes a mirror; nothing is written yet.

        Args:
            folder: local or remote.
            mark: tells apart what stood there one after the other, such as the id of a run.
        """
        self.folder = folder
        digest = hashlib.sha256(f"{folder}\n{mark}".encode()).hexdigest()[:12]
        self.local = cache_folder() / f"{folder.name}-{digest}" if folder.remote else folder.local
        """The local folder."""

    def keep(self, name: str) -> None:
        """Puts a local file, or all files of a local folder, to the store. `lineage.json` goes last.

        Raises:
            StoreError: it cannot be written.
        """
        if not self.folder.remote:
            return
        start = self.local / name
        found = (
            [start]
            if start.is_file()
            else [p for p in start.rglob("*") if p.is_file() and not _unfinished(p.relative_to(start))]
        )
        # The lineage is what makes an adapter one, so that a version whose copy was cut off is none yet.
        for path in sorted(found, key=lambda path: (path.name == "lineage.json", path)):
            there = self.folder / path.relative_to(self.local).as_posix()
            try:
                if not _same(path, there):
                    there.write_bytes(path.read_bytes())
                    os.utime(path, (there.modified(),) * 2)
            except OSError as error:
                raise StoreError(
                    f"cannot put {path} to {there}: {error}; see that the store answers and has space, "
                    f"then give the same command again"
                ) from error

    def recall(self, name: str) -> Path:
        """The local path of a file or folder, fetched from the store where it is not here or differs.

        Raises:
            StoreError: it cannot be read, or not be written here.
        """
        if self.folder.remote:
            there = self.folder / name
            try:
                for one in [there] if there.is_file() else there.walk():
                    self._fetch(one)
            except OSError as error:
                raise StoreError(f"cannot fetch {there} into {self.local}: {error}; then try again") from error
        return self.local / name

    def _fetch(self, one: Location) -> None:
        path = self.local / one.relative_to(self.folder)
        if _same(path, one):
            return
        with written(path) as file, one.open() as stream:
            shutil.copyfileobj(stream, file)
        os.utime(path, (one.modified(),) * 2)


def local_copy(given: str) -> Path:
    """A local folder with what a path or URI holds: itself, or a copy in the cache that is fetched where it differs.

    Raises:
        InputError: a URI that cannot be used.
        StoreError: nothing is there, or it cannot be fetched.
    """
    there = locate(given)
    if not there.remote:
        return there.local
    copy = Mirror(there.parent, "copy")
    path = copy.recall(there.name)
    if not path.exists():
        raise StoreError(f"{there}: nothing is there; give the URI of an adapter's folder")
    return path


def _unfinished(path: Path) -> bool:
    return any(_PARTIAL.match(part) for part in path.parts)


def _same(path: Path, there: Location) -> bool:
    """Whether a local file and its copy are the same."""
    if not path.is_file() or not there.is_file():
        return False
    facts = path.stat()
    if facts.st_size != there.size():
        return False
    if facts.st_size <= _SMALL:
        return path.read_bytes() == there.read_bytes()
    return abs(facts.st_mtime - there.modified()) < _CLOCK
