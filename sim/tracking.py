"""Where figures are logged besides the run folder: nowhere, TensorBoard or MLflow, behind one small seam.

Invariant: tracking is off by default and never decides anything: a tracker that breaks in the middle is told once, is
left alone from then on, and the run goes on. Only finite numbers are logged; what was not measured is left out.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import re
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from agents.errors import InputError

KINDS = ("", "tensorboard", "mlflow")
FOLDERS = {"tensorboard": "tensorboard", "mlflow": "mlruns"}
"""Where each writes, within the run folder."""
_UNUSUAL = re.compile(r"[^\w./ -]")


class Tracker(Protocol):
    """What logs a run."""

    def start(self, name: str, config: Mapping[str, Any]) -> None:
        """Begins the log of a run, with its resolved config. Comes first."""
        ...

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Logs figures by name; a loop's step is its round, an experiment has one step, 0."""
        ...

    def artifact(self, path: Path) -> None:
        """Logs a file, or where it lies."""
        ...

    def close(self) -> None:
        """Ends the log. Comes last."""
        ...


class NoTracker:
    """Logs nothing."""

    def start(self, name: str, config: Mapping[str, Any]) -> None:
        """See `Tracker.start`."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """See `Tracker.log`."""

    def artifact(self, path: Path) -> None:
        """See `Tracker.artifact`."""

    def close(self) -> None:
        """See `Tracker.close`."""


class TensorBoardTracker:
    """Event files for TensorBoard; files are told by their path.

    tensorboardX's record writer is used without its background thread: when that thread dies (a full disk), the
    library's own `SummaryWriter` waits for it forever.

    Args:
        library: imports a module by name.
        folder: where event files are written, one for each start.
    """

    def __init__(self, library: Callable[[str], Any], folder: Path) -> None:
        self._summary = library("tensorboardX.summary")
        self._event = library("tensorboardX.proto.event_pb2").Event
        self._make = library("tensorboardX.event_file_writer").EventsWriter
        self._folder, self._artifacts = folder, 0
        self._writer: Any = None

    def start(self, name: str, config: Mapping[str, Any]) -> None:
        """See `Tracker.start`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        # The library's names have seconds only: two starts within one would write over each other.
        self._writer = self._make(str(self._folder / "events"), f".{uuid.uuid4().hex[:8]}")
        self._write(0, self._summary.text("config", f"{name}\n\n```json\n{json.dumps(config, indent=1)}\n```"))
        self._flush()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """See `Tracker.log`."""
        for name, value in _finite(values).items():
            self._write(step, self._summary.scalar(_plain(name), value))
        self._flush()

    def artifact(self, path: Path) -> None:
        """See `Tracker.artifact`."""
        self._write(self._artifacts, self._summary.text("artifacts", str(path)))
        self._artifacts += 1
        self._flush()

    def close(self) -> None:
        """See `Tracker.close`."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _write(self, step: int, summary: Any) -> None:
        if self._writer is None:
            raise RuntimeError("a TensorBoard log was written to before its start or after its end")
        self._writer.write_event(self._event(wall_time=time.time(), step=step, summary=summary))

    def _flush(self) -> None:
        if self._writer is not None:
            self._writer.flush()


class MlflowTracker:
    """A run of MLflow: at the server of MLFLOW_TRACKING_URI, else in a folder.

    Args:
        library: imports a module by name.
        folder: used where the environment names no server.
    """

    def __init__(self, library: Callable[[str], Any], folder: Path) -> None:
        self._mlflow = library("mlflow")
        self._folder = folder

    def start(self, name: str, config: Mapping[str, Any]) -> None:
        """See `Tracker.start`. The config's name is the experiment's; every start is a run of it."""
        if not os.environ.get("MLFLOW_TRACKING_URI"):
            self._mlflow.set_tracking_uri(self._folder.absolute().as_uri())
        self._mlflow.set_experiment(name)
        self._mlflow.start_run(run_name=name)
        self._mlflow.log_dict(dict(config), "config.json")

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """See `Tracker.log`."""
        self._mlflow.log_metrics({_plain(name): value for name, value in _finite(values).items()}, step=step)

    def artifact(self, path: Path) -> None:
        """See `Tracker.artifact`."""
        self._mlflow.log_artifact(str(path))

    def close(self) -> None:
        """See `Tracker.close`."""
        self._mlflow.end_run()


class CarefulTracker:
    """A tracker that cannot end a run.

    Args:
        inner: what really logs.
        tell: is told, once, that it broke.
    """

    def __init__(self, inner: Tracker, tell: Callable[[str], None]) -> None:
        self._inner, self._tell = inner, tell
        self.broken = ""
        """The error that ended the logging; empty while it works."""

    def start(self, name: str, config: Mapping[str, Any]) -> None:
        """See `Tracker.start`."""
        self._try(lambda: self._inner.start(name, config))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """See `Tracker.log`."""
        self._try(lambda: self._inner.log(step, values))

    def artifact(self, path: Path) -> None:
        """See `Tracker.artifact`."""
        self._try(lambda: self._inner.artifact(path))

    def close(self) -> None:
        """See `Tracker.close`. A broken tracker is closed as well, so that it lets go of what it holds."""
        if not self.broken:
            self._try(self._inner.close)
            return
        with suppress(Exception):  # that it is broken was told
            self._inner.close()

    def _try(self, act: Callable[[], None]) -> None:
        if self.broken:
            return
        try:
            act()
        except Exception as error:
            self.broken = f"{type(error).__name__}: {error}"
            self._tell(f"tracking broke and is left out from now on ({self.broken}); the run goes on without it")


def make_tracker(
    kind: str,
    folder: Path,
    tell: Callable[[str], None] = print,
    library: Callable[[str], Any] = importlib.import_module,
) -> Tracker:
    """Makes the tracker a config names.

    Args:
        kind: "" for none, `tensorboard` or `mlflow`.
        folder: a local folder, that of the run or its local side; logs go to `tensorboard/` or `mlruns/` in it.
        tell: is told when the tracker breaks later.
        library: imports a module by name.

    Raises:
        InputError: an unknown kind, or its library is not installed.
    """
    if kind == "":
        return NoTracker()
    if kind not in KINDS:
        raise InputError(f"tracking: {kind!r} is unknown; leave it out, or give 'tensorboard' or 'mlflow'")
    try:
        if kind == "tensorboard":
            return CarefulTracker(TensorBoardTracker(library, folder / FOLDERS[kind]), tell)
        return CarefulTracker(MlflowTracker(library, folder / FOLDERS[kind]), tell)
    except ImportError as error:
        package = "tensorboardX" if kind == "tensorboard" else "mlflow"
        raise InputError(
            f"tracking: {kind} needs the package {package}, which cannot be imported ({error}): "
            f"`pip install {package}`, or leave `tracking` out"
        ) from error


def log_summary(tracker: Tracker, summary: Mapping[str, Any]) -> None:
    """Logs a finished summary: an experiment as step 0; of a loop every round, of a sweep the rounds of every point."""
    rounds = summary.get("rounds") or ()
    for entry in rounds:
        point = f"{entry['point']}/" if entry.get("point") else ""
        tracker.log(int(entry["round"]), {f"{point}{name}": value for name, value in figures_of(entry).items()})
    if not rounds:
        tracker.log(0, figures_of(summary))


def figures_of(summary: Mapping[str, Any]) -> dict[str, float]:
    """The figures of an experiment's summary, or of a loop's summary or one of its rounds, flattened.

    Returns:
        Finite numbers only. Of an experiment `TUTOR/MEASURE` with `.low`, `.high`, `.n` and (dialogues that lack it)
        `.not_measured`, and under `TUTOR/` also `n`, `n_failed`, `n_missing`, `n_verdicts`, `n_invalid`,
        `per_dialogue/...` and `per_resolved/...`. Of a round `heldout/before|after/MEASURE`,
        `heldout/difference/MEASURE` with `.low`, `.high` and `.n`, `training/...`, `delivery/...` and `promoted` (1
        or 0).
    """
    found: dict[str, Any] = {}
    for row in (summary.get("experiment") or {}).get("tutors", ()):
        found |= _of_tutor(row)
    heldout = summary.get("heldout") or {}
    for side in ("before", "after"):
        found |= {f"heldout/{side}/{name}": value for name, value in (heldout.get(side) or {}).items()}
    for name, change in (heldout.get("difference") or {}).items():
        low, high = change.get("ci95") or (None, None)
        found |= _figure(f"heldout/difference/{name}", {**change, "low": low, "high": high})
    for part in ("training", "delivery"):
        found |= {f"{part}/{name}": value for name, value in (summary.get(part) or {}).items()}
    if "decision" in summary:
        found["promoted"] = float(summary["decision"] == "promoted")
    return _finite(found)


def _of_tutor(row: Mapping[str, Any]) -> dict[str, Any]:
    tutor = row["tutor"]
    found: dict[str, Any] = {}
    for name, figure in row.get("figures", {}).items():
        found |= _figure(f"{tutor}/{name}", figure)
    for name, count in row.get("not_measured", {}).items():
        found[f"{tutor}/{name}.not_measured"] = count
    for name in ("n", "n_failed", "n_missing", "n_verdicts", "n_invalid"):
        found[f"{tutor}/{name}"] = row.get(name)
    for part in ("per_dialogue", "per_resolved"):
        found |= {f"{tutor}/{part}/{name}": value for name, value in row.get(part, {}).items()}
    return found


def _figure(name: str, figure: Mapping[str, Any]) -> dict[str, Any]:
    # Ends hang on by a dot: where logs are folders, `a/b` cannot be a figure and hold `a/b/low` at once.
    return {name: figure.get("mean"), **{f"{name}.{end}": figure.get(end) for end in ("low", "high", "n")}}


def _finite(values: Mapping[str, Any]) -> dict[str, float]:
    numbers = {k: v for k, v in values.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    return {name: float(value) for name, value in numbers.items() if math.isfinite(value)}


def _plain(name: str) -> str:
    """A name that both libraries take as it stands; a criterion's colon becomes an underscore."""
    return _UNUSUAL.sub("_", name)
