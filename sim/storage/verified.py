"""What `tutorloop verify` found: the findings, and how they are shown."""

from __future__ import annotations

from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape

from sim.storage.part import Row

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    what: str
    """A file or a part of the run."""
    problem: str
    advice: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found in a run folder."""

    folder: str
    parts: int
    dialogues: int
    failed: int
    """Dialogues that are stored with an error; they count as stored."""
    planned: int | None
    """Dialogues the config asks for, of a loop those of the rounds that began; None where that cannot be told."""
    steps: int
    adapters: int
    verdicts: int
    findings: tuple[Finding, ...]
    put_aside: tuple[str, ...] = ()
    """Parts that were found damaged when the run went on; their dialogues were held again."""

    @property
    def whole(self) -> bool:
        """Whether nothing is damaged or missing."""
        return not self.findings


@dataclass(slots=True)
class Gathered:
    """What is gathered on the way."""

    findings: list[Finding] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    """Of each stored dialogue `id` and `failure` only."""

    def add(self, what: str, problem: str, advice: str) -> None:
        self.findings.append(Finding(what, problem, advice))


def show_verified(found: Verified, console: Console) -> int:
    """Prints what was found; returns the exit code: 0 whole, 1 damaged or incomplete."""
    planned = "-" if found.planned is None else found.planned
    console.print(
        f"{escape(found.folder)}: {found.dialogues} dialogues of {planned} in {found.parts} parts, {found.failed} of "
        f"them failed; {found.steps} steps, {found.adapters} adapters, {found.verdicts} judgements of panels"
    )
    for finding in found.findings[:_SHOWN]:
        console.print(f"[bold red]{escape(finding.what)}[/] {escape(finding.problem)}")
        console.print(f"  {escape(finding.advice)}")
    if len(found.findings) > _SHOWN:
        console.print(f"and {len(found.findings) - _SHOWN} more of the kind")
    for name in found.put_aside:
        console.print(f"[yellow]{escape(name)} was put aside earlier; its dialogues are counted above or missing[/]")
    console.print("[green]whole[/]" if found.whole else f"[bold red]not whole[/]: {len(found.findings)} findings")
    return 0 if found.whole else 1
