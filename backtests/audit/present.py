"""How an audit looks on a terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich import box
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from ..console import Drawing
from .findings import CAUTION, AuditReport, Finding, plain

__all__ = ["AuditProgress", "show_report"]

DIGEST = 64
"""Characters of a digest, of which the first few say enough."""


def show_report(report: AuditReport, show: Callable[[Any], None]) -> None:
    """Show the findings with their causes, the checks made, notes, and what it all means."""
    bars = report.bars
    show(
        f"{report.target} ({report.kind}) on {bars['bars']} bars of {bars['symbol']},"
        f" {bars['first']} to {bars['last']}"
    )
    if report.findings:
        show(_findings_table(report.findings))
        causes = {finding.name: finding for finding in report.findings[::-1]}
        for finding in reversed(causes.values()):
            text = f"{finding.name}, in {finding.where}: {finding.title}."
            show(f"{text} Likely: {finding.cause}.")
    show(_checks_table(report))
    for note in report.notes:
        show(note)
    show(_verdict(report))
    show(CAUTION)


def _findings_table(findings: tuple[Finding, ...]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("Grade", "Name", "Check", "First"):
        table.add_column(name, no_wrap=True)
    for name in ("Found", "Other run"):
        table.add_column(name, justify="right", overflow="fold")
    for finding in findings:
        values = map(_text, finding.values)
        table.add_row(finding.grade, finding.name, finding.check, finding.first or "", *values)
    return table


def _checks_table(report: AuditReport) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("Check")
    table.add_column("Judged", justify="right")
    table.add_column("Result")
    for check in report.checks:
        table.add_row(check.name, str(check.runs), check.result)
    return table


def _verdict(report: AuditReport) -> str:
    if report.leaks:
        names = ", ".join(dict.fromkeys(finding.name for finding in report.leaks))
        return f"Leak: {names}. Results of this target are worthless until it is mended."
    if report.findings:
        return "No leak found; what is fragile may be meant so, but deserves a look."
    return "No leak found."


def _text(value: float | str | None) -> str:
    value = plain(value)
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:.5g}"
    text = str(value)
    return text[:12] if len(text) == DIGEST else text[:40]


class AuditProgress(Drawing):
    """A bar with the check under way and the time left."""

    def __init__(self) -> None:
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        self._task = self._progress.add_task("audit", total=None)

    def __call__(self, check: str, done: int, expected: int) -> None:
        """Show the run that begins."""
        self._progress.update(self._task, description=check, completed=done, total=expected)
