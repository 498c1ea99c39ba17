"""Which form of belief probe a run uses: the one that the check of its student's model chose, or none.

`tutorloop check --probes` measures every form against negative controls on a model (`sim.probe_check`) and keeps what
it found under the user's cache; what was measured on the embedded models ships in `sim/data/probe_checks`. A config is
settled by that when it is read: `probes.form: auto` becomes the form that was chosen for its model and its packs'
languages. Where none is valid, or nobody checked, it becomes `none`: belief, gain, transfer and what follows from them
are not measured, and no part of a reward or gate.

Invariant: a gain that is measured was measured by a form that passed its check on that model, or the config says aloud
that it did not (`probes.unchecked`). An engine without a model (`scripted`) has nothing to check.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from agents.errors import InputError, nearest
from agents.models import cache_root
from agents.packs import load_pack
from agents.probes import FORMS
from sim.config import Config, PoolConfig

VERSION = 1
"""Of what a check measures; one of another version is not read."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What one form heard of each lesson: by lesson the mean change of the belief in the right option against no lesson
    at all, with its 95% interval over items."""

    form: str
    gains: dict[str, tuple[float, float, float]]
    fails: tuple[str, ...]
    """Why the form is not valid on this model; empty: it is."""
    transfer_fails: tuple[str, ...]
    """Why it is not valid for the transfer question."""


@dataclass(frozen=True, slots=True)
class ProbeCheck:
    """What a check found on one model in one language."""

    model: str
    language: str
    items: int
    forms: tuple[Heard, ...]
    chosen: tuple[str, ...]
    """The valid forms, the best first."""
    command: str
    date: str
    machine: str
    version: int = VERSION

    def heard(self, form: str) -> Heard | None:
        """What a form heard, or None where it was not measured."""
        return next((one for one in self.forms if one.form == form), None)


_CHECK = TypeAdapter(ProbeCheck)


def model_key(pool: PoolConfig, model: str) -> str:
    """What a model's check is kept under: its name; for a folder also what lies in it, for an endpoint also where."""
    known = ""
    path = Path(model).expanduser()
    if pool.engine == "openai":
        known = pool.base_url
    elif (path / "config.json").is_file():
        digest = hashlib.sha256((path / "config.json").read_bytes())
        for file in sorted(path.glob("*.safetensors")):
            with file.open("rb") as weights:
                digest.update(weights.read(1 << 20) + str(file.stat().st_size).encode())
        known, model = digest.hexdigest(), path.name
    name = re.sub(r"[^A-Za-z0-9._-]+", "--", model)
    return f"{name}-{hashlib.sha256(known.encode()).hexdigest()[:8]}" if known else name


def checks_folder() -> Path:
    """Where the checks of this user's models are kept."""
    return cache_root() / "probe-checks"


def keep_check(check: ProbeCheck, key: str) -> Path:
    """Keeps a check for the runs to come; returns its file."""
    place = checks_folder() / f"{key}-{check.language}.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    scratch = place.with_suffix(f".{os.getpid()}")
    scratch.write_bytes(_CHECK.dump_json(check, indent=1))
    scratch.replace(place)
    return place


def find_check(key: str, language: str) -> ProbeCheck | None:
    """The check of a model in a language: this user's own, else the one that ships; None where nobody made one.

    Raises:
        InputError: the file is damaged.
    """
    own = checks_folder() / f"{key}-{language}.json"
    shipped = files("sim") / "data" / "probe_checks" / f"{key}-{language}.json"
    for place in (own, shipped):
        if not place.is_file():
            continue
        try:
            known: dict[str, Any] = json.loads(place.read_bytes())
            if known.get("version") == VERSION:
                return _CHECK.validate_python(known)
        except (OSError, ValueError, AttributeError, ValidationError) as error:
            raise InputError(f"{place}: no check of a belief probe ({str(error)[:120]}); delete the file") from error
    return None


def settled(config: Config) -> Config:
    """The config with the form that its student's model allows; everything else of `probes` off where that is none.

    Raises:
        InputError: an unknown form.
    """
    probes = config.probes
    if config.kind not in ("run", "loop"):
        return config
    if probes.form not in ("auto", "none", *FORMS):
        raise InputError(f"probes.form: {probes.form!r}; {nearest(probes.form, ('auto', 'none', *FORMS))}")
    pool = next((name for name, one in config.pools.items() if "student" in one.roles), "")
    valued = probes.candidate != "none" and config.dialogue.candidates > 1
    asks = probes.question or probes.transfer or probes.turn or valued or probes.form == "none"
    if not pool or config.pools[pool].engine == "scripted" or not asks:
        return config  # a config without a student is told so where pools are checked
    form, transfer, says = _allowed(config, model_key(config.pools[pool], config.model_of(pool)))
    changed: dict[str, Any] = {"form": form, "transfer": probes.transfer and transfer, "says": says}
    if form == "none":
        changed |= {"question": False, "transfer": False, "turn": False, "candidate": "none", "echo": False}
    return config.model_copy(update={"probes": probes.model_copy(update=changed)})


def _allowed(config: Config, key: str) -> tuple[str, bool, str]:
    """The form, whether it holds for the transfer question, and what is to be said of it."""
    probes, model = config.probes, config.model_of(config.pool_of("student"))
    if probes.form == "none":
        return "none", False, probes.says or "belief and gain are not measured: probes.form is none"
    checks = {language: find_check(key, language) for language in _languages(config)}
    missing = [language for language, check in checks.items() if check is None]
    found = [check for check in checks.values() if check is not None]
    if probes.unchecked:
        if probes.form == "auto":
            raise InputError("probes.unchecked: name the form that is to be used unchecked in probes.form")
        return probes.form, True, _warning(probes.form, model, missing, found)
    if missing:
        return (
            "none",
            False,
            f"belief and gain are not measured: no form of the belief probe was checked on {model} in "
            f"{', '.join(missing)}; `tutorloop check CONFIG --probes` does it, and runs then use what it chooses",
        )
    valid = [form for form in found[0].chosen if all(form in one.chosen for one in found)]
    form = (valid[0] if valid else "") if probes.form == "auto" else (probes.form if probes.form in valid else "")
    if not form:
        tried = "no form of the belief probe" if probes.form == "auto" else f"{probes.form}: the form"
        return (
            "none",
            False,
            f"belief and gain are not measured: {tried} heard what is said rather than its words on {model} "
            f"({found[0].items} items; `tutorloop check CONFIG --probes` shows the table)",
        )
    heard = [one.heard(form) for one in found]
    transfer = all(one is not None and not one.transfer_fails for one in heard)
    lacks = "" if transfer or not probes.transfer else "; it is not valid for the transfer question, which is left out"
    return form, transfer, f"belief is measured by {form}, which passed its check on {model}{lacks}"


def _warning(form: str, model: str, missing: list[str], found: list[ProbeCheck]) -> str:
    failed = [one for one in found if form not in one.chosen]
    if failed:
        heard = failed[0].heard(form)
        why = heard.fails[0] if heard and heard.fails else "it was not measured"
        return f"UNCHECKED: belief is measured by {form}, which failed its check on {model}: {why}"
    if missing:
        return f"UNCHECKED: belief is measured by {form}, which nobody checked on {model}"
    return f"belief is measured by {form}, which passed its check on {model}"


def _languages(config: Config) -> tuple[str, ...]:
    return tuple(dict.fromkeys(item.language for name in config.packs for item in load_pack(name).items))
