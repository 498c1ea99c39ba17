"""A run folder from somebody else is data: reading it runs nothing, follows no path out of it, and the report holds."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import builders
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from report_samples import HOSTILE, Page

from agents.errors import InputError, StoreError, TrainerError, TutorloopError
from agents.records import Candidate, Dialogue, Failure, Leak, Turn, Verdict, dialogue_to_json
from sim.cli import entry
from sim.grid import experiment_specs
from sim.report.data import browser_data, script_json
from sim.run import environment
from sim.storage.store import RunStore, stored_config
from sim.summary import summarise
from trainers.checkpoint import load_checkpoint

STEERING = "\x1b[2J\x1b]0;owned\x07\x9b31m"
EVIL = f"{HOSTILE} {STEERING} =cmd|'/c calc'!A0 [bold]x[/bold] javascript:alert(1)"


class Owned:
    """Makes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> tuple[Callable[[Path, str], int], tuple[Path, str]]:
        return Path.write_text, (self._file, "owned")


def run_folder(folder: Path, spoil: Callable[[Dialogue], Dialogue] | None = None) -> RunStore:
    """A finished run of 4 dialogues, `spoil`ed where that is given."""
    config = builders.config(items={"limit": 2}, experiment={"resamples": 50})
    specs = experiment_specs(config)
    assert len(specs) == 4
    store = RunStore(folder)
    store.open(config.model_dump(mode="json"), environment(config))
    base = builders.dialogue(0, phase="run", item="es-astro-01", reward=1.0, gain=0.1)
    sound = [replace(base, spec=spec) for spec in specs]
    store.append([spoil(one) for one in sound] if spoil else sound)
    store.finish_step("run", {"seconds": 1.0, "stopped": "", "given_up": {}})
    return store


def everywhere(one: Dialogue) -> Dialogue:
    """Hostile text in every field that is not needed to find the dialogue again."""
    tutor = replace(
        one.turns[1],
        text=EVIL,
        finish_reason=EVIL,
        policy_version=EVIL,
        candidates=(Candidate(EVIL, ()), Candidate("b", ())),
    )
    return replace(
        one,
        turns=(Turn(0, "student", EVIL, stressor=EVIL), tutor),
        leaks=(Leak(1, "text", 0.5, EVIL),),
        verdicts=(Verdict(EVIL, EVIL, "pass", 1.0, None, (EVIL,), EVIL),),
        components={EVIL: 1.0},
        tutor_policy=EVIL,
    )


def foreign(one: Dialogue) -> Dialogue:
    """A dialogue that no config planned, with hostile names."""
    names = ("id", "arm", "phase", "strategy", "persona", "pack", "item_id", "student_key", "tutor", "stressor")
    named: dict[str, Any] = {name: f"{EVIL}{one.id}" for name in names}
    spec = replace(one.spec, **named, strategy_settings={EVIL: EVIL})
    failure = Failure(EVIL, EVIL, EVIL) if one.id < "8" else None
    return replace(everywhere(one), spec=spec, failure=failure)


def executable(page: Page) -> list[str]:
    """What in a page could run or fetch something, but for its own scripts."""
    found = [f"{tag} {key}" for tag, attrs in page.tags for key in attrs if key.startswith("on") or key == "srcdoc"]
    tags = {
        "img",
        "iframe",
        "object",
        "embed",
        "link",
        "base",
        "form",
        "audio",
        "video",
        "source",
        "template",
        "foreignobject",
    }
    found += [tag for tag, _ in page.tags if tag in tags]
    for tag, attrs in page.tags:
        for key in ("href", "src", "action", "xlink:href", "formaction"):
            if (target := attrs.get(key)) is not None and not re.fullmatch(r"#[^:]*", target):
                found.append(f"{tag} {key}={target}")
    return found


@pytest.mark.long
@pytest.mark.parametrize("spoil", [everywhere, foreign])
def test_hostile_text_in_every_field_neither_runs_nor_breaks_the_report(
    tmp_path: Path, spoil: Callable[[Dialogue], Dialogue], capsys: pytest.CaptureFixture[str]
) -> None:
    run_folder(tmp_path / "plain")
    run_folder(tmp_path / "evil", spoil)
    pages = {}
    for name in ("plain", "evil"):
        with pytest.raises(SystemExit) as ended:
            entry(["report", str(tmp_path / name)])
        assert ended.value.code == 0
        pages[name] = Page((tmp_path / name / "report.html").read_text(encoding="utf-8"))
    assert executable(pages["plain"]) == executable(pages["evil"]) == []
    assert len(pages["plain"].scripts) == len(pages["evil"].scripts)
    assert pages["plain"].scripts[-1] == pages["evil"].scripts[-1]  # the report's own, to the letter
    assert "<title>" not in "".join(pages["evil"].text)
    json.loads((tmp_path / "evil" / "summary.json").read_text())
    (data,) = [text for text in pages["evil"].scripts if text.startswith("{")]
    said = json.loads(data)["dialogues"][0]["turns"][0]["text"]
    assert said.startswith(HOSTILE[:40])
    for figure in (tmp_path / "evil" / "figures").glob("*.svg"):
        assert "<script" not in figure.read_text() and " on" not in "".join(re.findall("<[^>]*>", figure.read_text()))
    capsys.readouterr()


def test_names_in_a_report_come_out_as_files_of_its_folder_only(tmp_path: Path) -> None:
    def up(one: Dialogue) -> Dialogue:
        names = ("id", "arm", "phase", "persona", "tutor", "stressor", "student_key")
        named: dict[str, Any] = {name: f"../../../{name}/{one.id}" for name in names}
        return replace(
            one,
            spec=replace(one.spec, **named),
            tutor_policy="../../../etc/v0001",
            verdicts=(Verdict("rubric:../../up", "../../up", "pass", 1.0),),
        )

    folder = tmp_path / "a" / "b" / "c" / "run"
    store = run_folder(folder, up)
    before = {path for path in tmp_path.rglob("*") if folder not in path.parents}
    summarise(stored_config(folder), store)
    assert {path for path in tmp_path.rglob("*") if folder not in path.parents} == before
    assert (folder / "report.html").is_file()


@pytest.mark.parametrize("name", ["../up", "../../up", "/tmp/up", "a/../../up", "..", "a/b"])
def test_a_step_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    store = run_folder(tmp_path / "a" / "run")
    steps = tmp_path / "a" / "run" / "steps"
    before = set(tmp_path.rglob("*"))
    (tmp_path / "a" / "up.json").write_text('{"seconds": 3}')
    (tmp_path / "a" / "run" / "up.json").write_text('{"seconds": 3}')
    before |= {tmp_path / "a" / "up.json", tmp_path / "a" / "run" / "up.json"}
    uses: tuple[Callable[[], dict[str, Any] | None], ...] = (
        lambda: store.finish_step(name, {"seconds": 1.0}),
        lambda: store.step(name),
    )
    for use in uses:
        try:
            assert use() in (None, {"seconds": 1.0})
        except TutorloopError:
            pass
    assert all(steps in path.parents for path in set(tmp_path.rglob("*")) - before)
    assert "3" in (tmp_path / "a" / "up.json").read_text() and "3" in (tmp_path / "a" / "run" / "up.json").read_text()


def test_a_pack_that_a_dialogue_names_is_not_quoted(tmp_path: Path) -> None:
    private = tmp_path / "private.yaml"
    private.write_text("name: my-password-is-hunter22\nitems: hunter22\n")
    one = builders.dialogue(0, phase="run", item="x", reward=1.0)
    data = browser_data([replace(one, spec=replace(one.spec, pack=str(private)))], None, None)
    assert len(data["notes"]) == 1 and "hunter22" not in script_json(data)


@pytest.mark.parametrize(
    "spoiled",
    [
        {"reward": float("nan")},
        {"reward": float("inf"), "components": {"gain": float("-inf")}},
        {"seconds": float("nan")},
    ],
    ids=["nan", "infinity", "seconds"],
)
def test_figures_that_are_no_numbers_reach_no_report_as_numbers(tmp_path: Path, spoiled: dict[str, Any]) -> None:
    store = run_folder(tmp_path / "run", lambda one: replace(one, **spoiled))
    try:
        summarise(stored_config(tmp_path / "run"), store)
    except (TutorloopError, ValueError):
        assert not (tmp_path / "run" / "report.html").exists()
        return
    page = Page((tmp_path / "run" / "report.html").read_text())
    (data,) = [text for text in page.scripts if text.startswith("{")]
    json.loads(data, parse_constant=lambda name: pytest.fail(f"{name} in the page"))


@pytest.mark.long
def test_turns_of_megabytes_do_not_make_the_report_so(tmp_path: Path) -> None:
    several = count()

    def huge(one: Dialogue) -> Dialogue:
        """The first alone: the rules read every word of it."""
        text = one.turns[1].text if next(several) else "<b>long</b> " * 200_000
        return replace(one, turns=(one.turns[0], replace(one.turns[1], text=text)))

    store = run_folder(tmp_path / "run", huge)
    summarise(stored_config(tmp_path / "run"), store)
    assert (tmp_path / "run" / "report.html").stat().st_size < 2_000_000


def test_a_deep_record_is_an_error_and_no_crash(tmp_path: Path) -> None:
    store = run_folder(tmp_path / "run")
    part = next((tmp_path / "run" / "dialogues").rglob("*.parquet"))
    table = pq.read_table(part)
    deep = "[" * 200_000 + "]" * 200_000
    rows = [{**row, "record": deep} for row in table.to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), part)
    with pytest.raises(StoreError):
        RunStore(tmp_path / "run").dialogues()
    del store


def test_a_parquet_part_that_carries_a_pickle_runs_nothing(tmp_path: Path) -> None:
    """Columns of extension types once were made by unpickling (CVE-2023-47248); they stay plain here."""
    store = run_folder(tmp_path / "run")
    (one,) = store.dialogues()[:1]
    owned = pickle.dumps(Owned(tmp_path / "owned"), protocol=4)
    part = next((tmp_path / "run" / "dialogues").rglob("*.parquet"))
    table = pq.read_table(part)
    place = table.schema.get_field_index("record")
    kept = pa.field(
        "record",
        pa.string(),
        metadata={b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": owned},
    )
    extra = pa.field("more", pa.binary(), metadata={b"ARROW:extension:name": b"arrow.py_extension_type"})
    fields = [kept if number == place else table.schema.field(number) for number in range(len(table.schema))]
    rows = table.to_pydict() | {"more": [owned] * len(table)}
    metadata = {b"pandas": owned, b"ARROW:schema": owned, b"PYTHON:pickle": owned}
    columns = [pa.array(rows[field.name], field.type) for field in [*fields, extra]]
    pq.write_table(pa.table(columns, schema=pa.schema([*fields, extra], metadata)), part, store_schema=True)
    try:
        found = RunStore(tmp_path / "run").dialogues()
        assert dialogue_to_json(one) in {dialogue_to_json(other) for other in found}
    except StoreError:
        pass  # as good: what was not written by tutorloop is refused
    assert not (tmp_path / "owned").exists()


def test_a_checkpoint_that_is_a_pickle_runs_nothing(tmp_path: Path) -> None:
    for number, plain in enumerate((True, False)):
        folder = tmp_path / f"step-{number}"
        folder.mkdir()
        content = {"optimizer": Owned(tmp_path / "owned")}
        if plain:
            (folder / "state.pt").write_bytes(pickle.dumps(content, protocol=2))
        else:
            torch.save(content, folder / "state.pt")
        with pytest.raises(TrainerError, match="cannot be read"):
            load_checkpoint(folder, "any")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("text", ["!!python/object/apply:pathlib.Path.touch [x]", "name: [", "3", "&a [*a]", "\x00"])
def test_a_config_of_a_hostile_folder_is_bad_input(tmp_path: Path, text: str) -> None:
    run_folder(tmp_path / "run")
    (tmp_path / "run" / "config.yaml").write_text(text)
    with pytest.raises(InputError, match="config.yaml"):
        stored_config(tmp_path / "run")


def test_links_in_a_run_folder_are_replaced_and_not_written_through(tmp_path: Path) -> None:
    store = run_folder(tmp_path / "run")
    precious = tmp_path / "precious"
    precious.write_text("mine")
    for name in ("report.html", "summary.json", "steps/run.json"):
        path = tmp_path / "run" / name
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(precious)
    store.finish_step("run", {"seconds": 1.0, "stopped": "", "given_up": {}})
    summarise(stored_config(tmp_path / "run"), store)
    assert precious.read_text() == "mine"


def test_an_error_that_quotes_data_cannot_steer_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text('name: "a\\e[2J\\e]0;owned\\a"\n"\\e[31mkey": 1\n')
    with pytest.raises(SystemExit) as ended:
        entry(["check", str(path)])
    told = capsys.readouterr()
    assert ended.value.code == 2 and "name" in told.err
    assert not set("\x1b\x07\x9b") & set(told.err + told.out)


def test_the_tables_of_a_hostile_run_cannot_steer_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_folder(tmp_path / "run", foreign)
    with pytest.raises(SystemExit):
        entry(["report", str(tmp_path / "run")])
    told = capsys.readouterr()
    assert not set("\x1b\x07\x9b") & set(told.err + told.out)
