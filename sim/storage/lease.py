"""One driver writes a run folder at a time: a lease with a name on it.

    RUN/lease/ID.json     who writes: host, process, since when, last renewed; deleted when the driver ends

A driver that finds a claim of another looks whether that one lives. Of a process on this machine (same boot, same
process namespace, same folder) that is known at once, by its id and start time, so a driver that was killed is followed
without a wait. Of any other it is watched: a claim that is renewed lives, one that stays as it is for `DEAD_SECONDS` by
this process's own clock is dead. No two clocks are compared.

Invariant: on a local disk claims are made, renewed and taken over under a file lock, so there is never more than one
holder. An object store has no conditional write in pyarrow: there a driver writes its claim, waits `SETTLE_SECONDS` and
looks again, and the lowest id wins; two could hold a lease at once only where one put takes longer than that, and both
look again before every part. A holder looks before it writes a part, a step or a manifest, and again after a part: one
that was taken over (it was frozen, its network was away) stops with `LeaseLost` and takes that part back. What slipped
through all that is a dialogue that stands twice, of which readers count the first (sim/storage/parts.py).
"""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from agents.errors import InputError, LeaseLost, RunHeld, StoreError
from agents.text import visible
from sim.storage.files import Location

FOLDER = "lease"
RENEW_SECONDS = 5.0
DEAD_SECONDS = 30.0
"""Without a renewal, by the clock of who watches. Six renewals: a store that is silent for a while ends none."""
SETTLE_SECONDS = 1.0
"""Longer than a put to an object store takes."""
POLL_SECONDS = 1.0
LOCK_SECONDS = 10.0
"""How long the file lock is waited for; it is held for milliseconds, but for a process that was stopped there."""

_held: set[str] = set()
"""Ids of the claims that this process holds, for a second start in the same process."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a driver says of itself."""

    id: str
    host: str
    """For people; names of hosts repeat."""
    machine: str
    """Where its process id means something: the boot of a machine and a process namespace. Empty: not known."""
    pid: int
    born: str
    """When its process started, by the machine's own count: a process id is used again, the two together are not."""
    place: str
    """Which folder it was made in; in a copy of that folder it says nothing of a process here."""
    since: str
    at: str
    """When it was renewed last, by the holder's clock; for people."""
    beat: int = 0
    state: Literal["asked", "held"] = "held"
    took_over: tuple[str, ...] = ()
    """Claims that are void, even where their holders wake up and write them again."""
    seen: str = field(default="", compare=False)
    """The text it was read from: what changes when it is renewed."""


_CLAIM = TypeAdapter(Claim)


class Lease:
    """The right to write a run folder. Made by `hold`."""

    def __init__(self, folder: Location, claim: Claim) -> None:
        """Args: folder: the run's. claim: written there, and this process's."""
        self._folder, self._claim = folder, claim
        self._stop = threading.Event()
        self._rival: Claim | None = None
        self.lost = False
        """Whether another driver took over, as far as it was noticed."""
        self._thread = threading.Thread(target=self._renew, name="tutorloop-lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raises LeaseLost where another driver took over, and StoreError where nobody can tell."""
        if not self.lost:
            self._look()
        if self.lost:
            by = f": {_told(self._rival)}" if self._rival else ", or its claim was deleted"
            raise LeaseLost(
                f"{self._folder}: another driver took this run over{by}; this one writes no more, and what it stored "
                f"before counts. Let the other go on, or stop it and give the same command again"
            )

    def release(self) -> None:
        """Gives it back; a folder that does not answer is left with a claim that dies with this process."""
        self._stop.set()
        self._thread.join(timeout=RENEW_SECONDS)
        _held.discard(self._claim.id)
        if self._claim.pid != os.getpid():  # a copy of it in a process that was forked off
            return
        with suppress(OSError, StoreError):
            _place(self._folder, self._claim.id).unlink()

    def _look(self) -> None:
        found = _claims(self._folder)
        others = [one for one in found if one.id != self._claim.id]
        taker = [one for one in others if self._claim.id in one.took_over or self._weaker_than(one)]
        if taker or len(others) == len(found):
            holders = taker or [one for one in others if one.state == "held"]
            self._rival = holders[0] if holders else None
            self.lost = True

    def _weaker_than(self, other: Claim) -> bool:
        """Of two that both hold, which an object store cannot rule out, the lower id goes on."""
        return other.state == "held" and other.id < self._claim.id and other.id not in self._claim.took_over

    def _renew(self) -> None:
        while not self._stop.wait(RENEW_SECONDS) and not self.lost:
            with suppress(OSError, StoreError), _alone(self._folder, make=False):
                self._look()
                if not self.lost and not self._stop.is_set():
                    self._claim = replace(self._claim, at=_now(), beat=self._claim.beat + 1)
                    _write(self._folder, self._claim)


@contextmanager
def hold(
    folder: Location,
    say: Callable[[str], object],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Lease]:
    """Holds the lease of a run folder, which is made where it is not there, for the length of a block.

    Args:
        folder: the run's.
        say: told why a start waits, and of a driver that is taken over from.
        clock: by which a claim of another machine is watched.
        sleep: between two looks at it.

    Raises:
        RunHeld: a driver that lives writes the folder.
        StoreError: the folder cannot be read or written.
    """
    try:
        claim = _take(folder, say, clock, sleep)
    except OSError as error:
        raise StoreError(
            f"{folder}: cannot be written ({error}); give a folder that you may write as run.folder"
        ) from error
    lease = Lease(folder, claim)
    try:
        yield lease
    finally:
        lease.release()


def _take(
    folder: Location, say: Callable[[str], object], clock: Callable[[], float], sleep: Callable[[float], None]
) -> Claim:
    if not folder.remote and (folder.local / FOLDER).is_symlink():
        raise InputError(f"{folder / FOLDER}: a link to another place, and no run makes one; remove it")
    (folder / FOLDER).mkdir()
    watched: dict[str, tuple[str, float]] = {}
    told = False
    while True:
        with _alone(folder) as alone:
            place = _place_of(folder)
            states = {one: _watched(one, place, watched, clock) for one in _claims(folder)}
            living = [one for one, state in states.items() if state == "alive"]
            if living:
                raise _refusal(folder, living[0])
            if "unknown" not in states.values():
                return _claim_it(folder, list(states), say, sleep, alone=alone, place=place)
        if not told:
            first = next(one for one, state in states.items() if state == "unknown")
            say(f"waiting up to {DEAD_SECONDS:.0f} s, to see whether {_told(first)} still writes this folder")
            told = True
        sleep(POLL_SECONDS)


def _claim_it(
    folder: Location,
    dead: list[Claim],
    say: Callable[[str], object],
    sleep: Callable[[float], None],
    *,
    alone: bool,
    place: str,
) -> Claim:
    """Makes a claim where all that are there are dead; where nothing rules a second one out, it has to settle first."""
    gone = tuple(sorted(one.id for one in dead))
    now, pid = _now(), os.getpid()
    claim = Claim(
        uuid.uuid4().hex[:12], socket.gethostname(), _machine(), pid, _born(pid) or "", place, now, now, took_over=gone
    )
    _held.add(claim.id)
    try:
        if not alone:
            _write(folder, replace(claim, state="asked"))
            sleep(SETTLE_SECONDS)
            _outbid(folder, claim, stronger=lambda one: one.state == "held" or one.id < claim.id)
        _write(folder, claim)
        if not alone:
            _outbid(folder, claim, stronger=lambda one: one.state == "held" and one.id < claim.id)
    except BaseException:
        _held.discard(claim.id)
        with suppress(OSError):
            _place(folder, claim.id).unlink()
        raise
    for one in dead:
        with suppress(OSError):
            _place(folder, one.id).unlink()
        if one.state == "held":
            say(f"taken over from {_told(one)}, which is gone")
    return claim


def _outbid(folder: Location, claim: Claim, stronger: Callable[[Claim], bool]) -> None:
    """Raises RunHeld where another claim was made meanwhile that wins over this one."""
    others = [one for one in _claims(folder) if one.id != claim.id and one.id not in claim.took_over]
    for one in others:
        if stronger(one):
            raise _refusal(folder, one)


def _watched(
    claim: Claim, place: str, watched: dict[str, tuple[str, float]], clock: Callable[[], float]
) -> Literal["alive", "dead", "unknown"]:
    """Whether a claim's holder lives, as far as is known after watching it so far."""
    state = _state(claim, place)
    if state != "unknown":
        return state
    text, begun = watched.setdefault(claim.id, (claim.seen, clock()))
    if text != claim.seen:
        return "alive"
    return "dead" if clock() - begun >= DEAD_SECONDS else "unknown"


def _state(claim: Claim, place: str) -> Literal["alive", "dead", "unknown"]:
    """Whether a claim's holder lives, where that is known at once."""
    if not claim.machine or claim.machine != _machine() or claim.place != place:
        return "unknown"
    born = _born(claim.pid)
    if born is None or born == "":
        return "dead" if born is None else "unknown"
    if born == claim.born and claim.pid == os.getpid():
        return "alive" if claim.id in _held else "dead"
    return "alive" if born == claim.born else "dead"


def _refusal(folder: Location, claim: Claim) -> RunHeld:
    pid = claim.pid
    if claim.machine == _machine() and _facts(pid)[:1] in (["T"], ["t"]):
        advice = (
            f"It is stopped (Ctrl-Z, or a debugger), so a plain kill does nothing: `kill -CONT {pid}`, or `fg` in its "
            f"shell, lets it go on, `kill -9 {pid}` ends it; then give the same command again"
        )
    else:
        advice = f"Wait until it ends, or stop it (kill {pid}, on that host) and give the same command again"
    return RunHeld(
        f"{folder} is being written by another driver: {_told(claim)}. {advice}. `status`, `report` and `compare` may "
        f"be used meanwhile; another `name` makes another run"
    )


def _told(claim: Claim | None) -> str:
    if claim is None:
        return "another driver"
    host, since, at = (visible(text)[:80] for text in (claim.host, claim.since, claim.at))
    return f"host {host}, process {claim.pid}, since {since}, last renewed {at} by its own clock"


@contextmanager
def _alone(folder: Location, *, make: bool = True) -> Iterator[bool]:
    """Holds the file lock of a folder on a local disk; yields False where there is none to hold."""
    if folder.remote:
        yield False
        return
    path = folder.local / FOLDER / ".lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT if make else 0), 0o644)
    try:
        yield _locked(descriptor, path)
    finally:
        os.close(descriptor)


def _locked(descriptor: int, path: Path) -> bool:
    """Waits for the file lock; False on a network filesystem without locks. It ends with the descriptor."""
    begun = time.monotonic()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() - begun > LOCK_SECONDS:
                raise StoreError(f"{path} is locked by a process that does not go on; end it (kill -9)") from None
            time.sleep(0.02)
        except OSError:
            return False


def _place(folder: Location, claim_id: str) -> Location:
    return folder / FOLDER / f"{claim_id}.json"


def _place_of(folder: Location) -> str:
    """What tells this folder from a copy of it."""
    return folder.uri.partition("?")[0] if folder.remote else str((folder.local / FOLDER).stat().st_ino)


def _write(folder: Location, claim: Claim) -> None:
    _place(folder, claim.id).write_bytes(_CLAIM.dump_json(claim, exclude={"seen"}))


def _claims(folder: Location) -> list[Claim]:
    """All claims of a folder, by id. Raises StoreError where it cannot be read."""
    found = []
    try:
        for place in (folder / FOLDER).glob("*.json"):
            with suppress(FileNotFoundError):  # released since it was listed
                found.append(_read(place.stem, place.read_bytes()))
    except OSError as error:
        raise StoreError(f"{folder / FOLDER}: cannot be read: {error}; see that the disk or store answers") from error
    return found


def _read(claim_id: str, data: bytes) -> Claim:
    seen = data.decode("utf-8", "replace")
    try:
        return replace(_CLAIM.validate_json(data), id=claim_id, seen=seen)
    except ValidationError:  # of another version, or damaged: it is watched like any that is not known
        return Claim(claim_id, "unknown", "", 0, "", "", "unknown", "unknown", seen=seen)


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux
        return f"{socket.gethostname()}/{uuid.getnode():x}"


def _born(pid: int) -> str | None:
    """When a process started, in its machine's own count; None: there is none, empty: it may not be looked at."""
    if facts := _facts(pid):
        return None if facts[0] in "ZX" else facts[19]  # a zombie waits to be counted by its parent; it writes no more
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        return ""
    told = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return told.stdout.strip()


def _facts(pid: int) -> list[str]:
    """What Linux says of a process: its state, its parent, ...; empty where it says nothing."""
    try:
        facts = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []
    return facts if len(facts) > 19 else []


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
