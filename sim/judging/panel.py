"""A panel: judges that read the dialogues of a finished run again, from a YAML file.

Each judge names what it judges by and the engine it needs. Engines run in the calling process, without Ray, and are
closed at the end.

Invariant: a `Panel` that was loaded can be seated as far as can be known without starting an engine: its rubrics and
scorers exist, and no two judges give verdicts under one name. Its digest stands for all that decides a verdict.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails
from rich.markup import escape

from agents.documents import located_in, problems, read_document, validated
from agents.engines.base import Engine
from agents.engines.vllm_settings import engine_environment
from agents.errors import EngineError, InputError, nearest
from agents.judges.base import Judge
from agents.judges.rubric import RubricJudge
from agents.judges.rubrics import load_rubric
from agents.judges.safety import SafetyJudge
from agents.models import resolve_model
from agents.packs import Pack
from agents.records import Dialogue
from sim import signals
from sim.config import PoolConfig
from sim.engines import check_endpoint, check_pool, make_engine, vllm_settings
from sim.grid import digest
from sim.judging.rejudge import Counts, Seat, can_be_judged, missing, rejudge
from sim.judging.verdicts import FOLDER, VerdictStore
from sim.meters import Meter, MeteredEngine
from sim.progress import Teller
from sim.section import Positive, Section
from sim.storage.files import Where, locate
from sim.storage.kept import read_inputs
from sim.storage.store import RunStore

_DECIDES_NOTHING = {
    *("roles", "replicas", "max_replicas", "shares", "cpus", "gpus", "max_num_seqs"),
    *("kv_cache_gib", "gpu_memory_utilization"),
    *("compile", "api_key_env", "timeout_seconds", "max_retries", "max_concurrency", "price_per_million"),
    *("price_per_million_cached", "rate_limit_seconds"),
    *("latency_seconds", "fail_every", "slots"),
}
"""Settings of a pool that may change before a panel goes on."""


class PanelJudge(Section):
    """One judge: a rubric with a model, a trained scorer, or the rules."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Verdicts are by `rubric:NAME` or `scorer:NAME`. With the name of a judge of the run they replace that one's."""
    rubric: str = ""
    """Name of a shipped rubric or path of a YAML rubric; needs `pool`."""
    pool: PoolConfig | None = None
    """The engine that judges: `engine`, `model` and what else it needs. Roles, replicas and shares are not used."""
    votes: Positive = 2
    max_tokens: Positive = 256
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.6
    scorer: str = ""
    """Folder of a trained scorer."""
    rules: bool = False
    """The rules for whole dialogues anew (`rules:safety`)."""

    @property
    def judge(self) -> str:
        """The name that its verdicts carry."""
        return "rules:safety" if self.rules else f"{'rubric' if self.rubric else 'scorer'}:{self.name}"


class Panel(Section):
    """Who judges."""

    judges: Annotated[tuple[PanelJudge, ...], Field(min_length=1)]
    in_flight: Positive = 16
    """Dialogues judged at once."""

    def digest(self) -> str:
        """A digest of everything that decides a verdict: another one is another panel."""
        judges = self.model_dump(mode="json", exclude={"judges": {"__all__": {"pool": _DECIDES_NOTHING}}})["judges"]
        rubrics = [asdict(load_rubric(one.rubric)) for one in self.judges if one.rubric]
        scorers = [_scorer_facts(Path(one.scorer).expanduser()) for one in self.judges if one.scorer]
        return digest(judges, rubrics, scorers)


def load_panel(path: Path) -> Panel:
    """Reads a panel file. Raises InputError with file, key and value."""
    raw = read_document(path, f"panel {str(path)!r}")
    if not isinstance(raw, dict):
        raise InputError(
            f"{path}: expected the key `judges:`, found {type(raw).__name__}; docs/replay.md shows a panel"
        )
    try:
        panel = validated(Panel, raw)
    except ValidationError as error:
        raise InputError("\n".join(f"{path}: {_explain(detail, path)}" for detail in problems(error))) from error
    for place, one in enumerate(panel.judges):
        _check(one, f"{path}: judges.{place}")
    names = Counter(one.judge for one in panel.judges)
    if twice := [name for name, count in names.items() if count > 1]:
        raise InputError(f"{path}: judges: two are {twice[0]!r}; give each another name, or their verdicts mix")
    return panel


def _explain(detail: ErrorDetails, path: Path) -> str:
    place = list(detail["loc"])
    end = located_in(path, detail)
    key = ".".join(str(part) for part in place)
    if detail["type"] != "extra_forbidden":
        return f"{key}: {detail['msg']} (got {str(detail.get('input'))[:80]!r}){end}"
    sections: dict[str, type[BaseModel]] = {"judges": PanelJudge, "pool": PoolConfig}
    within = [sections[part] for part in place[:-1] if isinstance(part, str) and part in sections]
    section = within[-1] if within else Panel
    return f"{key}: unknown key; {nearest(str(place[-1]), section.model_fields)}{end}"


def _check(one: PanelJudge, where: str) -> None:
    given = [key for key in ("rubric", "scorer", "rules") if getattr(one, key)]
    if len(given) != 1:
        raise InputError(f"{where}: {' and '.join(given) or 'no kind'} given; a judge has one of rubric, scorer, rules")
    if one.scorer and not (Path(one.scorer).expanduser() / "scorer.json").is_file():
        raise InputError(f"{where}.scorer: no scorer in {one.scorer!r} (scorer.json is missing); give a trained one")
    if not one.rubric:
        if one.pool is not None:
            raise InputError(f"{where}.pool: a judge by {given[0]} asks no engine; leave it out")
        return
    try:
        load_rubric(one.rubric)
    except InputError as error:
        raise InputError(f"{where}.rubric: {error}") from error
    if one.pool is None:
        raise InputError(f"{where}.pool: missing; name the engine and the model that judge by {one.rubric!r}")
    if one.pool.engine in ("vllm", "openai") and not one.pool.model:
        raise InputError(f"{where}.pool.model: empty; name the model that judges")
    with _placed(one.name, f"{where}."):
        check_pool(one.name, one.pool)


@contextmanager
def _placed(name: str, where: str) -> Iterator[None]:
    """Says of a pool's error where the pool stands in the panel file."""
    try:
        yield
    except InputError as error:
        raise InputError(str(error).replace(f"pools.{name}.", f"{where}pool.")) from error


def _scorer_facts(folder: Path) -> Any:
    from trainers.scorer.scorer import read_facts  # torch is only imported where a scorer judges

    return read_facts(folder)["files"]


@asynccontextmanager
async def seated(panel: Panel, meter: Meter) -> AsyncIterator[list[Seat]]:
    """The judges of a panel with their engines started; equal pools share one. Engines are closed at the end."""
    engines: list[tuple[PoolConfig, Engine]] = []
    try:
        for one in panel.judges:
            if one.pool is not None and all(pool != one.pool for pool, _ in engines):
                engines.append((one.pool, await _start(one)))
        yield [Seat(one.judge, _judge(one, engines, meter)) for one in panel.judges]
    finally:
        for _, engine in engines:
            await engine.close()


async def _start(one: PanelJudge) -> Engine:
    assert one.pool is not None
    if one.pool.engine == "vllm":
        model = resolve_model(one.pool.model)
        os.environ.update(engine_environment(vllm_settings(one.pool, model)))
        return await make_engine(one.pool, model)
    if one.pool.engine == "openai":
        with _placed(one.name, f"judge {one.name!r}: "):
            await asyncio.to_thread(check_endpoint, one.name, one.pool, one.pool.model)
    return await make_engine(one.pool, one.pool.model)


def _judge(one: PanelJudge, engines: Sequence[tuple[PoolConfig, Engine]], meter: Meter) -> Judge:
    if one.rules:
        return SafetyJudge()
    if one.scorer:
        from trainers.scorer.judge import ScorerJudge  # as above
        from trainers.scorer.scorer import load_scorer

        return ScorerJudge(load_scorer(Path(one.scorer).expanduser()))
    engine = MeteredEngine(next(engine for pool, engine in engines if pool == one.pool), meter)
    rubric = load_rubric(one.rubric)
    return RubricJudge(engine, rubric, votes=one.votes, max_tokens=one.max_tokens, temperature=one.temperature)


def judge_run(folder: Where, panel: Path, teller: Teller) -> dict[str, Any]:
    """Judges the dialogues of a run by a panel, or goes on where an earlier call stopped.

    Args:
        folder: the run folder.
        panel: the panel file.
        teller: told of progress.

    Returns:
        `panel`, `folder` (of the verdicts), `n_dialogues`, `n_passed_over` (failed, or without a tutor turn),
        `n_planned` (pairs of a dialogue and a judge), `n_done`, `n_failed`, `n_not_tried`, `why` (the first failure),
        `judges` (`judge`, `n` dialogues, `n_verdicts`, `n_invalid`), `prompt_tokens`, `completion_tokens`, `seconds`.

    Raises:
        InputError: the panel, or the run folder, is none.
        EngineError: nothing could be judged.
    """
    judging = load_panel(panel)
    run = locate(folder)
    if not (run / "config.yaml").is_file():
        raise InputError(f"{run}: not a run folder (no config.yaml); run folders lie under runs/")
    kept = RunStore(run)
    with kept.held(lambda text: teller.say(escape(text))):
        return _judge_run(judging, panel, kept, teller)


def _judge_run(judging: Panel, panel: Path, kept: RunStore, teller: Teller) -> dict[str, Any]:
    run, dialogues, names, meter = kept.folder, kept.dialogues(), [one.judge for one in judging.judges], Meter()
    for note in kept.passed_over():
        teller.say(escape(note))
    store = VerdictStore(run / FOLDER / f"{panel.stem}-{judging.digest()}", names, guard=kept.check)
    begun = time.monotonic()
    counts = Counts(len(names) * sum(map(can_be_judged, dialogues)))
    if missing(dialogues, names, store):
        counts = signals.run(_judged(judging, dialogues, store, meter, teller, read_inputs(run).pack))
    else:
        counts.stored = counts.total
    _tell(panel.stem, counts, teller)
    if counts.failed and not counts.judged + counts.stored:
        raise EngineError(f"panel {panel.stem!r}: nothing could be judged; the first failure: {counts.why}")
    return {
        "panel": panel.stem,
        "folder": store.folder.relative_to(run),
        "n_dialogues": len(dialogues),
        "n_passed_over": len(dialogues) - sum(map(can_be_judged, dialogues)),
        "n_planned": counts.total,
        "n_done": counts.stored + counts.judged,
        "n_failed": counts.failed,
        "n_not_tried": counts.not_tried,
        "why": counts.why,
        "judges": [_figures(name, store) for name in names],
        "prompt_tokens": meter.prompt_tokens,
        "completion_tokens": meter.completion_tokens,
        "seconds": time.monotonic() - begun,
    }


async def _judged(
    panel: Panel,
    dialogues: Sequence[Dialogue],
    store: VerdictStore,
    meter: Meter,
    teller: Teller,
    packs: Callable[[str], Pack],
) -> Counts:
    names = [one.judge for one in panel.judges]
    total = len(names) * sum(map(can_be_judged, dialogues))
    async with seated(panel, meter) as seats:
        with teller.counting("judging", total, total - len(missing(dialogues, names, store))) as tell:
            return await rejudge(
                dialogues,
                seats,
                store=store,
                in_flight=panel.in_flight,
                tell=lambda done, _: tell(done, meter.snapshot()),
                packs=packs,
            )


def _tell(name: str, counts: Counts, teller: Teller) -> None:
    teller.say(f"panel {name!r}: {counts.judged} judgements given, {counts.stored} were there already")
    if left := counts.failed + counts.not_tried:
        teller.say(
            f"{left} of {counts.total} judgements are missing ({counts.failed} failed, {counts.not_tried} not tried); "
            f"these dialogues keep their earlier verdicts until the same command is given again. "
            f"The first failure: {escape(counts.why)}"
        )


def _figures(judge: str, store: VerdictStore) -> dict[str, Any]:
    given = [one for one in store.judgements() if one.judge == judge]
    verdicts = [verdict for one in given for verdict in one.verdicts]
    invalid = sum(verdict.kind == "invalid" for verdict in verdicts)
    return {"judge": judge, "n": len(given), "n_verdicts": len(verdicts), "n_invalid": invalid}
