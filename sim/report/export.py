"""The report's tables as CSV and Parquet, and its figures as SVG for a paper.

    FOLDER/tables/leaderboard.csv   leaderboard.parquet   comparisons.*  mixed.*  cells.*  beliefs.*  robustness.*
                  cost.*            corrected.*           worst.*        leaks.*  failures.*
                  dialogues.*       (one row per dialogue)
    FOLDER/figures/pareto.svg       beliefs-TUTOR.svg     robustness-STRESSOR-METRIC.svg
                   heat-METRIC.svg  differences-METRIC.svg

Invariant: a table is written also when it has no rows, with all its columns; a figure that was not measured is null,
never 0; a file that has its final name is whole.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from markupsafe import Markup

from agents.errors import StoreError
from agents.records import Dialogue
from sim.report.data import finite
from sim.report.experiment import experiment_of
from sim.report.experiment_curves import beliefs, pareto, robustness_plot
from sim.report.experiment_heat import heat_figure
from sim.report.experiment_plots import Difference, forest_plot
from sim.report.experiment_tables import Facts, reading_of
from sim.report.figures import MISSING
from sim.report.measures import entries, estimate, family, measure, spoken
from sim.report.standalone import standalone
from sim.report.tables import Table, tables_of
from sim.storage.files import Location, Where, locate


def export_tables(summary: Mapping[str, Any], dialogues: Sequence[Dialogue], folder: Where) -> list[Location]:
    """Writes every table of an experiment twice, as CSV and as Parquet, into `folder/tables`.

    Args:
        summary: the run's `summary.json`; without `experiment` only the table of dialogues has rows.
        dialogues: every dialogue of the run, failed ones too.
        folder: the run folder.

    Returns:
        The files written.

    Raises:
        StoreError: a file cannot be written.
    """
    written = []
    for name, table in tables_of(experiment_of(summary) or {}, dialogues).items():
        data = _arrow(table)
        for ending, write in (("csv", pa_csv.write_csv), ("parquet", pq.write_table)):
            sink = io.BytesIO()
            write(data, sink)
            written.append(_store(locate(folder) / "tables" / f"{name}.{ending}", sink.getvalue()))
    return written


def _arrow(table: Table) -> pa.Table:
    schema = pa.schema([(name, _TYPES[kind]) for name, kind in table.columns.items()])
    return pa.Table.from_pylist([{name: _cell(row.get(name)) for name in table.columns} for row in table.rows], schema)


_TYPES = {"text": pa.string(), "number": pa.float64(), "count": pa.int64(), "flag": pa.bool_()}


def _cell(value: object) -> object:
    # a lone surrogate, half of an emoji that sampling cut, has no UTF-8 form
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else value


def export_figures(summary: Mapping[str, Any], folder: Where) -> list[Location]:
    """Writes the figures of an experiment as SVG files of their own into `folder/figures`.

    Args:
        summary: the run's `summary.json`; without `experiment` there are none.
        folder: the run folder.

    Returns:
        The files written; what was not measured has none.

    Raises:
        StoreError: a file cannot be written.
    """
    experiment = experiment_of(summary)
    if experiment is None:
        return []
    names: set[str] = set()
    written = []
    for wanted, drawing in _figures(experiment):
        if drawing:
            name = _free(wanted, names)
            written.append(_store(locate(folder) / "figures" / f"{name}.svg", standalone(drawing).encode("utf-8")))
    return written


def _figures(experiment: Facts) -> list[tuple[str, Markup]]:
    plane, curves = pareto(experiment), beliefs(experiment)
    found = [("pareto", plane["plot"] if plane else Markup(""))]
    found += [(f"beliefs-{tutor}", plot) for tutor, _, plot in (curves["panels"] if curves else [])]
    everywhere = entries(experiment, "robustness")
    for stressor in dict.fromkeys(str(entry.get("stressor", MISSING)) for entry in everywhere):
        here = [entry for entry in everywhere if str(entry.get("stressor", MISSING)) == stressor]
        for name in dict.fromkeys(str(entry.get("metric", MISSING)) for entry in here):
            found.append((f"robustness-{stressor}-{name}", robustness_plot(experiment, here, everywhere, name)))
    found += [(f"heat-{name}", heat_figure(experiment, name)) for name in family(experiment)]
    return found + [(f"differences-{name}", _forest(experiment, name)) for name in family(experiment)]


def _forest(experiment: Facts, name: str) -> Markup:
    """The comparisons of one measure as a drawing; empty where nothing was compared."""
    metric, rows, told = measure(experiment, name), [], []
    for entry in entries(experiment, "comparisons"):
        found = estimate(entry) if str(entry.get("metric", MISSING)) == name else None
        if found is None:
            continue
        tutor = str(entry.get("tutor", MISSING))
        tone, reading = reading_of(entry, metric, 1.0 - (finite(experiment.get("confidence")) or 0.95))
        rows.append(Difference(tutor, found.mean, found.interval, tone, f"{metric.signed(found.mean)}, n {found.n}"))
        told.append(f"{tutor}: {spoken(metric, found)}, {reading}")
    if not rows:
        return Markup("")
    title = f"{metric.label}: difference from {experiment.get('baseline') or 'the baseline'}"
    return forest_plot(rows, metric.label, metric.share, title, "; ".join(told))


def _free(wanted: str, names: set[str]) -> str:
    """A file name of letters, digits, dots, hyphens and underscores that is not taken."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", wanted).strip("-.")[:80] or "figure"
    number = 2
    free = name
    while free.lower() in names:
        free, number = f"{name}-{number}", number + 1
    names.add(free.lower())
    return free


def _store(path: Location, data: bytes) -> Location:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error}; free space or set run.folder") from error
    return path
