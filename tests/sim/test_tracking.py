"""Tracking: what is written can be read back, what was not measured is left out, and a broken tracker ends nothing."""

from __future__ import annotations

import importlib
import json
import math
import struct
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.errors import InputError
from sim.tracking import CarefulTracker, NoTracker, figures_of, log_summary, make_tracker

FIGURE = {"mean": 0.25, "low": 0.1, "high": 0.4, "n": 12}
EXPERIMENT = {
    "experiment": {
        "tutors": [
            {
                "tutor": "socratic",
                "kind": "strategy",
                "n": 12,
                "n_failed": 1,
                "n_missing": 0,
                "n_verdicts": 24,
                "n_invalid": 3,
                "figures": {"net_gain": FIGURE, "rubric:tone/warm": {"mean": 3.5, "low": None, "high": None, "n": 1}},
                "per_dialogue": {"tokens": 900.0, "cost": 0.0, "engine_seconds": None},
                "per_resolved": {"tokens": None, "cost": None, "engine_seconds": None, "n_resolved": 0},
            }
        ]
    }
}
ROUND = {
    "round": 2,
    "decision": "promoted",
    "heldout": {
        "before": {"gain": 0.1},
        "after": {"gain": 0.3},
        "difference": {"gain": {"mean": 0.2, "ci95": [0.05, 0.35], "n": 16}},
    },
    "training": {"objective": "dpo", "loss_last": 0.5, "steps": [{"loss": 1.0}], "stopped_early": True},
    "delivery": None,
}


class Recorder:
    """A tracker that keeps what it is told, and breaks at a chosen call."""

    def __init__(self, breaks_at: str = "") -> None:
        self.calls: list[tuple[Any, ...]] = []
        self._breaks_at = breaks_at

    def _keep(self, name: str, *values: Any) -> None:
        self.calls.append((name, *values))
        if name == self._breaks_at:
            raise OSError("no space left")

    def start(self, name: str, config: Mapping[str, Any]) -> None:
        self._keep("start", name, dict(config))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._keep("log", step, dict(values))

    def artifact(self, path: Path) -> None:
        self._keep("artifact", path)

    def close(self) -> None:
        self._keep("close")


def read_events(folder: Path) -> list[Any]:
    """All events of the files in a folder; each record's length and checksum are checked."""
    event_pb2 = importlib.import_module("tensorboardX.proto.event_pb2")
    masked_crc32c = importlib.import_module("tensorboardX.record_writer").masked_crc32c
    found = []
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        while data:
            (length,), (check,) = struct.unpack("<Q", data[:8]), struct.unpack("<I", data[8:12])
            body, (tail,) = data[12 : 12 + length], struct.unpack("<I", data[12 + length : 16 + length])
            assert check == masked_crc32c(data[:8]) and tail == masked_crc32c(body)
            event = event_pb2.Event()
            event.ParseFromString(body)
            found.append(event)
            data = data[16 + length :]
    return found


def scalars(folder: Path) -> dict[tuple[int, str], float]:
    return {
        (event.step, value.tag): value.simple_value
        for event in read_events(folder)
        for value in event.summary.value
        if value.HasField("simple_value")
    }


def texts(folder: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for event in read_events(folder):
        for value in event.summary.value:
            if value.HasField("tensor"):
                found.setdefault(value.tag, []).extend(entry.decode() for entry in value.tensor.string_val)
    return found


def test_nothing_is_logged_by_default(tmp_path: Path) -> None:
    tracker = make_tracker("", tmp_path)
    assert isinstance(tracker, NoTracker)
    tracker.start("t", {})
    tracker.log(0, {"a": 1.0})
    tracker.artifact(tmp_path / "report.html")
    tracker.close()
    assert list(tmp_path.iterdir()) == []


def test_event_files_hold_config_figures_and_files(tmp_path: Path) -> None:
    told: list[str] = []
    tracker = make_tracker("tensorboard", tmp_path, told.append)
    tracker.start("trial", {"seed": 7})
    log_summary(tracker, EXPERIMENT)
    tracker.artifact(tmp_path / "report.html")
    tracker.close()
    assert told == []
    found = scalars(tmp_path / "tensorboard")
    assert found[0, "socratic/net_gain"] == pytest.approx(0.25)
    assert found[0, "socratic/net_gain.low"] == pytest.approx(0.1)
    assert found[0, "socratic/rubric_tone/warm"] == pytest.approx(3.5)
    assert found[0, "socratic/n_invalid"] == 3.0
    assert not any("engine_seconds" in tag or "warm.low" in tag for _, tag in found)
    written = texts(tmp_path / "tensorboard")
    assert '"seed": 7' in written["config/text_summary"][0] and "trial" in written["config/text_summary"][0]
    assert written["artifacts/text_summary"] == [str(tmp_path / "report.html")]


def test_figures_are_on_disk_before_the_log_is_closed(tmp_path: Path) -> None:
    tracker = make_tracker("tensorboard", tmp_path)
    tracker.start("t", {})
    tracker.log(3, {"loss": 0.5})
    assert scalars(tmp_path / "tensorboard") == {(3, "loss"): 0.5}
    tracker.close()


def test_two_starts_in_one_second_keep_both_logs(tmp_path: Path) -> None:
    for step in (1, 2):
        tracker = make_tracker("tensorboard", tmp_path)
        tracker.start("t", {})
        tracker.log(step, {"loss": 0.5})
        tracker.close()
    assert set(scalars(tmp_path / "tensorboard")) == {(1, "loss"), (2, "loss")}


@given(st.dictionaries(st.sampled_from("abcd"), st.floats() | st.none() | st.booleans() | st.text(max_size=3)))
def test_only_finite_numbers_are_figures(values: dict[str, Any]) -> None:
    found = figures_of({"training": values})
    numbers = {k: v for k, v in values.items() if isinstance(v, float) and math.isfinite(v)}
    assert found == {f"training/{name}": value for name, value in numbers.items()}


def test_the_figures_of_an_experiment() -> None:
    assert figures_of(EXPERIMENT) == {
        "socratic/net_gain": 0.25,
        "socratic/net_gain.low": 0.1,
        "socratic/net_gain.high": 0.4,
        "socratic/net_gain.n": 12.0,
        "socratic/rubric:tone/warm": 3.5,
        "socratic/rubric:tone/warm.n": 1.0,
        "socratic/n": 12.0,
        "socratic/n_failed": 1.0,
        "socratic/n_missing": 0.0,
        "socratic/n_verdicts": 24.0,
        "socratic/n_invalid": 3.0,
        "socratic/per_dialogue/tokens": 900.0,
        "socratic/per_dialogue/cost": 0.0,
        "socratic/per_resolved/n_resolved": 0.0,
    }


def test_the_figures_of_a_round() -> None:
    assert figures_of(ROUND) == {
        "heldout/before/gain": 0.1,
        "heldout/after/gain": 0.3,
        "heldout/difference/gain": 0.2,
        "heldout/difference/gain.low": 0.05,
        "heldout/difference/gain.high": 0.35,
        "heldout/difference/gain.n": 16.0,
        "training/loss_last": 0.5,
        "promoted": 1.0,
    }


def test_a_summary_without_figures_has_none() -> None:
    assert figures_of({"kind": "run", "experiment": None, "arms": []}) == {}


def test_a_loop_is_logged_round_by_round_and_a_sweep_point_by_point() -> None:
    recorder = Recorder()
    first = {**ROUND, "round": 1, "decision": "rolled_back"}
    log_summary(recorder, {**ROUND, "rounds": [first, ROUND]})
    assert [(step, values["promoted"]) for _, step, values in recorder.calls] == [(1, 0.0), (2, 1.0)]
    swept = Recorder()
    log_summary(swept, {"rounds": [{**first, "point": "asks"}, {**first, "point": "gains"}]})
    assert [("asks/promoted" in values, "gains/promoted" in values) for _, _, values in swept.calls] == [
        (True, False),
        (False, True),
    ]


@pytest.mark.parametrize(
    ("breaks_at", "made"),
    [
        ("start", ["start", "close"]),
        ("log", ["start", "log", "close"]),
        ("artifact", ["start", "log", "log", "artifact", "close"]),
        ("close", ["start", "log", "log", "artifact", "close"]),
    ],
)
def test_a_tracker_that_breaks_is_told_once_and_left_alone(breaks_at: str, made: list[str], tmp_path: Path) -> None:
    told: list[str] = []
    recorder = Recorder(breaks_at)
    tracker = CarefulTracker(recorder, told.append)
    tracker.start("t", {})
    tracker.log(0, {"a": 1.0})
    tracker.log(1, {"a": 2.0})
    tracker.artifact(tmp_path)
    tracker.close()
    assert len(told) == 1 and "no space left" in told[0] and "goes on without it" in told[0]
    assert [name for name, *_ in recorder.calls] == made


def test_event_files_that_cannot_be_written_end_no_run(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").write_text("a file where the folder should be")
    told: list[str] = []
    tracker = make_tracker("tensorboard", tmp_path, told.append)
    tracker.start("t", {})
    tracker.log(0, {"a": 1.0})
    tracker.close()
    assert len(told) == 1


def fake_mlflow(calls: list[tuple[Any, ...]]) -> ModuleType:
    """A module with the functions of MLflow that are used, each of which keeps its call."""
    module = ModuleType("mlflow")

    def keeps(name: str) -> Any:
        return lambda *args, **kwargs: calls.append((name, args, kwargs))

    for name in (
        "set_tracking_uri",
        "set_experiment",
        "start_run",
        "log_dict",
        "log_metrics",
        "log_artifact",
        "end_run",
    ):
        setattr(module, name, keeps(name))
    return module


def test_mlflow_gets_a_run_with_config_figures_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setitem(sys.modules, "mlflow", fake_mlflow(calls))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tracker = make_tracker("mlflow", tmp_path)
    tracker.start("trial", {"seed": 7})
    tracker.log(2, {"rubric:tone/warm": 3.5, "gap": math.nan})
    tracker.artifact(tmp_path / "report.html")
    tracker.close()
    assert calls == [
        ("set_tracking_uri", ((tmp_path / "mlruns").as_uri(),), {}),
        ("set_experiment", ("trial",), {}),
        ("start_run", (), {"run_name": "trial"}),
        ("log_dict", ({"seed": 7}, "config.json"), {}),
        ("log_metrics", ({"rubric_tone/warm": 3.5},), {"step": 2}),
        ("log_artifact", (str(tmp_path / "report.html"),), {}),
        ("end_run", (), {}),
    ]


def test_mlflow_goes_to_the_server_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setitem(sys.modules, "mlflow", fake_mlflow(calls))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    make_tracker("mlflow", tmp_path).start("trial", {})
    assert [name for name, *_ in calls] == ["set_experiment", "start_run", "log_dict"]


@pytest.mark.parametrize(("kind", "package"), [("tensorboard", "tensorboardX"), ("mlflow", "mlflow")])
def test_a_missing_package_is_an_input_error_that_says_what_to_install(kind: str, package: str, tmp_path: Path) -> None:
    def nothing(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}")

    with pytest.raises(InputError, match=f"pip install {package}"):
        make_tracker(kind, tmp_path, library=nothing)


def test_an_unknown_tracker_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'wandb' is unknown"):
        make_tracker("wandb", tmp_path)


def test_the_config_in_the_log_is_whole_json(tmp_path: Path) -> None:
    given_config = {"name": "t", "pools": {"class": {"price_per_million": [0.5, 1.5]}}, "rubric": None}
    tracker = make_tracker("tensorboard", tmp_path, library=importlib.import_module)
    tracker.start("t", given_config)
    tracker.close()
    text = texts(tmp_path / "tensorboard")["config/text_summary"][0]
    assert json.loads(text.split("```json\n")[1].split("\n```")[0]) == given_config
