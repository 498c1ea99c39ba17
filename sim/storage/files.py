"""A file or folder on any filesystem that pyarrow knows: a local path, or a URI such as `s3://bucket/prefix`.

    locate("runs/a")   locate("s3://bucket/runs?endpoint_override=127.0.0.1:9000&scheme=http") / "a"

Invariant: a file appears whole or not at all (local: written beside its place, synced, renamed; an object store's put
is atomic; elsewhere written beside and moved), a name never leaves its folder, and no URI carries a credential: they
come from the environment (AWS_* for S3). Methods are named as in `pathlib` and raise OSError as they do there.
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pyarrow as pa
from pyarrow import fs

from agents.errors import InputError
from agents.files import write_bytes, written

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")
_SECRET = re.compile(r"key|secret|token|passw|credential|signature|^sig$", re.IGNORECASE)
_USER_IS_NO_SECRET = {("gs", "anonymous"), ("gcs", "anonymous")}
_ATOMIC_PUT = ("s3", "gcs", "abfs")
"""Filesystems on which an object is there whole or not at all."""


@dataclass(frozen=True, slots=True)
class Location:
    """A place on a filesystem, whether or not something is there. Make one with `locate`."""

    uri: str
    """How it is shown and given again: an absolute local path, or the URI with its query."""
    path: str
    """Within the filesystem; for object stores it begins with the bucket."""
    _files: Any = field(repr=False, compare=False)

    def __str__(self) -> str:
        return self.uri

    def __fspath__(self) -> str:
        return str(self.local)

    def __truediv__(self, name: str) -> Location:
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if not parts or ".." in parts or name.startswith("/"):
            raise InputError(f"{self}: {name!r} is no name within it; names must not leave their folder")
        head, mark, query = self.uri.partition("?") if self.remote else (self.uri, "", "")
        tail = "/".join(parts)
        return Location(f"{head.rstrip('/')}/{tail}{mark}{query}", f"{self.path.rstrip('/')}/{tail}", self._files)

    @property
    def remote(self) -> bool:
        """Whether it is not on a local disk."""
        return bool(_SCHEME.match(self.uri))

    @property
    def local(self) -> Path:
        """The local path. Raises InputError where there is none."""
        if self.remote:
            raise InputError(f"{self} is not on a local disk, and this needs a local path; copy it first")
        return Path(self.uri)

    @property
    def name(self) -> str:
        """The last part."""
        return self.path.rstrip("/").rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return Path(self.name).stem

    @property
    def suffix(self) -> str:
        """The ending of the name, with its dot."""
        return Path(self.name).suffix

    @property
    def parent(self) -> Location:
        """The folder it is in."""
        head, mark, query = self.uri.partition("?") if self.remote else (self.uri, "", "")
        return Location(
            head.rstrip("/").rpartition("/")[0] + mark + query, self.path.rstrip("/").rpartition("/")[0], self._files
        )

    def with_name(self, name: str) -> Location:
        """Its neighbour of that name."""
        return self.parent / name

    def resolve(self) -> Location:
        """The same place without symbolic links, to compare two of them."""
        return self if self.remote else locate(self.local.resolve())

    def is_file(self) -> bool:
        """Whether a file is there."""
        return bool(self._info().type == fs.FileType.File)

    def is_dir(self) -> bool:
        """Whether a folder is there; in an object store: whether anything is under it."""
        return bool(self._info().type == fs.FileType.Directory)

    def exists(self) -> bool:
        """Whether anything is there."""
        return bool(self._info().type != fs.FileType.NotFound)

    def size(self) -> int:
        """Bytes of a file. Raises FileNotFoundError."""
        return int(self._found().size)

    def modified(self) -> float:
        """When it was written last, in seconds since 1970; 0 where the filesystem does not say."""
        at = self._found().mtime
        return 0.0 if at is None else (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()

    def iterdir(self) -> Iterator[Location]:
        """What is in a folder, by name; nothing where there is no folder. Hidden names are left out."""
        yield from (one for one in self._listed(recursive=False) if not one.name.startswith("."))

    def glob(self, pattern: str) -> list[Location]:
        """What is in a folder under names like a pattern of `fnmatch`, by name. Not below it, and no hidden names."""
        return [one for one in self.iterdir() if fnmatchcase(one.name, pattern)]

    def walk(self) -> list[Location]:
        """All files below, hidden ones too, by path."""
        return [one for one in self._listed(recursive=True, files=True)]

    def relative_to(self, folder: Location) -> str:
        """The names that lead here from a folder above."""
        start = folder.path.rstrip("/") + "/"
        if not self.path.startswith(start):
            raise ValueError(f"{self} is not in {folder}")
        return self.path[len(start) :]

    def read_bytes(self) -> bytes:
        """The content of a file. Raises OSError (FileNotFoundError where there is none)."""
        with self._files.open_input_stream(self.path, compression=None) as stream:
            return bytes(stream.read())

    def read_text(self, encoding: str = "utf-8") -> str:
        """The text of a file. Raises OSError, or UnicodeDecodeError."""
        return self.read_bytes().decode(encoding)

    def write_bytes(self, data: bytes | memoryview) -> None:
        """Writes a file whole, making its folder. Raises OSError, and then the old one stands."""
        if not self.remote:
            write_bytes(self.local, bytes(data))
        elif self._files.type_name in _ATOMIC_PUT:
            _put(self._files, self.path, data)
        else:
            self._files.create_dir(self.parent.path, recursive=True)
            beside = self.with_name(f".{self.name}.{uuid.uuid4().hex[:8]}")
            _put(self._files, beside.path, data)
            self._files.move(beside.path, self.path)

    def copy_from(self, source: Path) -> None:
        """Writes a local file here, whole, without holding it in memory where it goes. Raises OSError."""
        if self._files.type_name in _ATOMIC_PUT:
            with source.open("rb") as file, self._files.open_output_stream(self.path, compression=None) as stream:
                shutil.copyfileobj(file, stream)
        elif self.remote:
            self.write_bytes(source.read_bytes())
        else:
            with written(self.local) as copy, source.open("rb") as file:
                shutil.copyfileobj(file, copy)

    def write_text(self, text: str) -> None:
        """Writes a UTF-8 text file whole, making its folder. Raises OSError, and then the old one stands."""
        self.write_bytes(text.encode("utf-8"))

    def open(self) -> Any:
        """A file opened for random reads, as Parquet needs it (a pyarrow NativeFile)."""
        return self._files.open_input_file(self.path)

    def mkdir(self) -> None:
        """Makes the folder and those above. Object stores need none, and get none."""
        if self._files.type_name not in _ATOMIC_PUT:
            self._files.create_dir(self.path, recursive=True)

    def unlink(self) -> None:
        """Deletes a file; none is no error."""
        try:
            self._files.delete_file(self.path)
        except FileNotFoundError:
            return

    def rename(self, target: Location) -> None:
        """Gives a file or folder another name, in one step where the filesystem can.

        An object store copies every object and then deletes the old ones, `config.yaml` last: a run folder whose
        move was cut off is still known by its config and holds a part of that run, nothing else.
        """
        if self._files.type_name not in _ATOMIC_PUT:
            self._files.move(self.path, target.path)
            return
        if self.is_file():
            self._files.copy_file(self.path, target.path)
            self.unlink()
            return
        found = sorted(self.walk(), key=lambda one: one.name == "config.yaml")
        for one in found:
            one._files.copy_file(one.path, (target / one.relative_to(self)).path)
        for one in found:
            one.unlink()

    def _info(self) -> Any:
        return self._files.get_file_info(self.path)

    def _found(self) -> Any:
        found = self._info()
        if found.type == fs.FileType.NotFound:
            raise FileNotFoundError(f"{self}: nothing is there")
        return found

    def _listed(self, *, recursive: bool, files: bool = False) -> list[Location]:
        found = self._files.get_file_info(fs.FileSelector(self.path, allow_not_found=True, recursive=recursive))
        start = self.path.rstrip("/") + "/"
        names = [one.path[len(start) :] for one in found if not files or one.type == fs.FileType.File]
        return [self / name for name in sorted(name.rstrip("/") for name in names) if name]


Where = str | os.PathLike[str] | Location
"""A path, a URI, or a location."""


def is_uri(given: object) -> bool:
    """Whether it names a filesystem: `s3://...`, and `file://...` as well."""
    return bool(_SCHEME.match(str(given)))


def locate(given: Where) -> Location:
    """Finds the filesystem of a path or URI. Nothing has to be there.

    Raises:
        InputError: a URI with credentials in it, or one that pyarrow cannot use. The message never has the secret.
    """
    if isinstance(given, Location):
        return given
    text = os.fspath(given)
    if not is_uri(text):
        return _on_disk(Path(text).expanduser().absolute())
    _refuse_credentials(text)
    try:
        files, path = fs.FileSystem.from_uri(text)
    except (pa.ArrowException, OSError, ValueError, NotImplementedError) as error:
        raise InputError(
            f"{text}: cannot be used as a folder ({error}); give a path, or a URI such as "
            f"s3://bucket/prefix?region=eu-central-1, gs://bucket/prefix, hdfs://host/path"
        ) from error
    return _on_disk(Path(path)) if files.type_name == "local" else Location(text, path, files)


def _on_disk(path: Path) -> Location:
    return Location(str(path), str(path), fs.LocalFileSystem())


def _refuse_credentials(uri: str) -> None:
    parts = urlsplit(uri)
    head, at, _ = parts.netloc.rpartition("@")
    user = bool(at) and (":" in head or parts.scheme in ("s3", "gs", "gcs"))
    secret = user and (parts.scheme, head) not in _USER_IS_NO_SECRET
    asked = parse_qsl(parts.query, keep_blank_values=True)
    named = [name for name, value in asked if _SECRET.search(name) or "@" in value]
    if secret or named:
        where = f"its query ({', '.join(named)})" if named else "its host"
        raise InputError(
            f"a {parts.scheme}:// folder has credentials in {where}: they would stand in the run folder and in logs. "
            f"Take them out and give them in the environment (S3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"
        )


def _put(files: Any, path: str, data: bytes | memoryview) -> None:
    with files.open_output_stream(path, compression=None) as stream:
        stream.write(data)
