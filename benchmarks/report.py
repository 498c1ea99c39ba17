"""Analysis and report of large experiments: seconds, memory, and the size and opening time of the page.

Made-up dialogues: 4 tutors x 3 personas x 60 items x stress, 4 to 6 tutor turns, a probe after each, a rubric verdict.
Timed is what follows the last dialogue of a run: its analysis (`sim.experiment`), then page, tables and figures; making
the dialogues is not. Each size runs in a process of its own, whose peak memory includes the dialogues.

Usage: `python benchmarks/report.py --json FILE`
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from agents.hardware import describe
from agents.packs import load_pack
from agents.records import Dialogue, EpisodeSpec, Item, Leak, Probe, Turn, TurnRules, Usage, Verdict
from sim.report.export import export_figures, export_tables
from sim.report.page import render_report

TUTORS = ("socratic", "direct", "scaffold", "metacognition")
PERSONAS = ("engaged", "limited", "disengaged")
STRESS = (("", 0.0), ("answer_begging", 0.5), ("answer_begging", 1.0))
SIZES = (1_000, 10_000)
WORDS = (
    "what do you think would happen to the light if we looked at it from other side because earth turns slowly and its "
    "axis points away so that day lasts longer there tell me why this answer fits better than yours"
).split()


def sentence(draw: random.Random, words: int, end: str) -> str:
    """So many words."""
    return " ".join(draw.choices(WORDS, k=words)).capitalize() + end


def conversation(draw: random.Random, level: int, item: Item) -> tuple[tuple[Turn, ...], tuple[Probe, ...]]:
    """4 to 6 tutor turns with the student's, and the belief after each."""
    turns, probes = [Turn(0, "student", sentence(draw, 12, "."))], []
    right = draw.uniform(0.1, 0.4)

    def probe(kind: Any, turn: int, p: float) -> Probe:
        answer = (item.transfer if kind.startswith("transfer") else item.question).answer
        return Probe(kind, turn, tuple(p if option == answer else (1 - p) / 3 for option in range(4)), answer)

    probes += [probe("before", 0, right), probe("transfer_before", 0, right)]
    for number in range(draw.randint(4, 6)):
        asks = draw.random() > 0.25 * level
        leak = 0.7 if draw.random() < 0.04 * level else 0.0
        rules = TurnRules(asks, leak, draw.random(), draw.random() / 3, 28, 6.0)
        said = sentence(draw, draw.randint(18, 38), "?" if asks else ".")
        turns.append(Turn(2 * number + 1, "tutor", said, (), "stop", "base", rules))
        turns.append(Turn(2 * number + 2, "student", sentence(draw, draw.randint(6, 20), ".")))
        right = min(0.95, max(0.02, right + draw.gauss(0.01 * (level + 1), 0.03)))
        probes.append(probe("turn", 2 * number + 1, right))
    last = len(turns) - 1
    return tuple(turns), (*probes, probe("after", last, right), probe("transfer", last, right * 0.9))


def made_up(count: int) -> list[Dialogue]:
    """So many dialogues, whole cells under four tutors."""
    items = load_pack("earth_science").spread(60)
    cells = itertools.product(range(count), items, PERSONAS, STRESS)
    found: list[Dialogue] = []
    for repeat, item, persona, (stressor, intensity) in itertools.islice(cells, count // len(TUTORS)):
        for level, tutor in enumerate(TUTORS):
            number = len(found)
            draw = random.Random(number)
            key = f"{random.Random(f'{repeat}{item.id}{persona}').getrandbits(64):016x}"
            spec = EpisodeSpec(
                f"{draw.getrandbits(64):016x}", f"{tutor} x {persona}", "run", tutor, {}, persona, "earth_science",
                item.id, (item.question.answer + 1) % 4, repeat, key, tutor, stressor, intensity,
            )  # fmt: skip
            turns, probes = conversation(draw, level, item)
            leaks = tuple(
                Leak(t.index, "paraphrase", t.rules.leak, t.text[:80]) for t in turns if t.rules and t.rules.leak
            )
            bad = draw.random() < 0.02
            verdict = Verdict(
                "rubric:made_up", "asks", "invalid" if bad else "pass", None if bad else draw.randint(1, 5)
            )
            usage = Usage(draw.randint(2000, 5000), draw.randint(200, 500), 0.001, 20, draw.uniform(4, 12))
            found.append(Dialogue(spec, turns, probes, leaks, (verdict,), None, {}, usage, 6.0, "base"))
    return found


def analysis() -> Callable[[list[Dialogue]], dict[str, Any]] | None:
    """How dialogues are analysed; None, and said so, where the analysis cannot be imported."""
    try:
        from sim.config import Config
        from sim.experiment.experiment import analyse
    except ImportError as error:
        print(f"the analysis is missing, so the report alone is measured: {error}", file=sys.stderr)
        return None
    settings = {
        "name": "benchmark",
        "kind": "run",
        "tutors": [{"name": name, "strategy": "socratic"} for name in TUTORS],
        "stressors": [{"name": "answer_begging", "intensities": [0.0, 0.5, 1.0]}],
        "experiment": {"metrics": ["net_gain", "question_share", "leak_rate", "gain"], "no_worse_by": {"gain": 0.02}},
    }
    config = Config.model_validate(settings)
    return lambda dialogues: analyse(config, dialogues)


def measured(count: int, folder: Path) -> dict[str, Any]:
    """One size, in this process: seconds of each step, the page's size, peak memory."""
    analyse, dialogues = analysis(), made_up(count)
    started = time.perf_counter()
    found = analyse(dialogues) if analyse else {}
    analysed = time.perf_counter()
    summary = {"tutorloop": "benchmark", "name": f"{count} dialogues", "kind": "run", "experiment": found}
    render_report(summary, dialogues, folder / "report.html")
    rendered = time.perf_counter()
    export_tables(summary, dialogues, folder)
    export_figures(summary, folder)
    exported = time.perf_counter()
    return {
        "dialogues": len(dialogues),
        "seconds": exported - started,
        "analysis_seconds": analysed - started if analyse else None,
        "report_seconds": rendered - analysed,
        "export_seconds": exported - rendered,
        "html_mb": (folder / "report.html").stat().st_size / 1e6,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def in_a_process(count: int, folder: Path) -> dict[str, Any]:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--worker", str(count), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{count} dialogues: the worker failed:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def opening(page: Path, folder: Path) -> float | None:
    """Seconds until the page is parsed, its script has run and it is laid out; None without a browser."""
    browser = next((found for name in ("chromium", "google-chrome", "chrome") if (found := shutil.which(name))), None)
    if browser is None:
        return None
    html = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text(encoding="utf-8"))
    clock = "document.body.offsetHeight; document.body.dataset.opened = performance.now();"
    copy = folder / "timed.html"
    copy.write_text(html.replace("</body>", f"<script>{clock}</script></body>"), encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    command = [browser, *flags, f"--user-data-dir={folder / 'profile'}", "--dump-dom", copy.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False).stdout
    clocked = re.search(r'data-opened="([\d.]+)"', dom)
    return None if clocked is None else float(clocked.group(1)) / 1000


def main() -> None:
    """Measures both sizes and the opening of the smaller page, and writes what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", type=Path, help="a folder to leave pages, tables and figures in")
    parser.add_argument("--worker", nargs=2, metavar=("COUNT", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        print(json.dumps(measured(int(given.worker[0]), Path(given.worker[1]))))
        return
    with tempfile.TemporaryDirectory() as scratch:
        base = given.keep or Path(scratch)
        sizes = [in_a_process(count, base / str(count)) for count in SIZES]
        opened = [opening(base / str(SIZES[0]) / "report.html", Path(scratch)) for _ in range(3)]
    small, large = sizes
    timed = sorted(seconds for seconds in opened if seconds is not None)
    result = {
        "seconds": large["seconds"],
        "peak_memory_mb": large["peak_memory_mb"],
        "html_mb_per_1000": small["html_mb"],
        "opening_seconds_per_1000": timed[len(timed) // 2] if timed else None,
        "sizes": sizes,
        "machine": describe(),
        "date": date.today().isoformat(),
    }
    print(json.dumps(result, indent=1))
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
