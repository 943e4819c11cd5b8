"""What the terminal shows: tables, progress, and errors in one line."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

if TYPE_CHECKING:
    from ..training.fit import Epoch
    from .comparison import Step

__all__ = [
    "Drawing",
    "Steps",
    "TrainingProgress",
    "calls_table",
    "facts_table",
    "say",
    "show",
    "show_warning",
    "warn",
]


def show(renderable: Any) -> None:
    """Print a result on standard output, brackets and colons of names as they are."""
    Console(markup=False, emoji=False, highlight=False).print(renderable)


def say(text: str) -> None:
    """Print one line on standard output, as it is."""
    sys.stdout.write(f"{text}\n")


def warn(text: str) -> None:
    """Print one line on standard error, as it is."""
    sys.stderr.write(f"{text}\n")


def show_warning(message: Warning | str, *_: Any) -> None:
    """Show a warning of the libraries in one line, without the code that gave it."""
    warn(f"warning: {' '.join(str(message).split())}")


def facts_table(title: str, facts: Mapping[str, Any]) -> Table:
    """Return a table of names and values."""
    # Without a frame a digest fits into a line of 80 columns.
    table = Table(title=title, title_justify="left", show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name.replace("_", " "), _plain(value))
    return table


def _plain(value: Any) -> str:
    """Return a value as a person would write it."""
    if isinstance(value, Mapping):
        pairs = cast("Mapping[Any, Any]", value).items()
        return ", ".join(f"{str(key).replace('_', ' ')} {_plain(item)}" for key, item in pairs)
    if isinstance(value, list | tuple):
        items = list(map(_plain, cast("Sequence[Any]", value)))
        return ("\n" if any(", " in item for item in items) else ", ").join(items) or "none"
    if value is None:
        return "n/a"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def calls_table(calls: Sequence[Mapping[str, Any]]) -> Table:
    """Return the newest calls, one a row."""
    columns = ("symbol", "call", "score", "last_bar", "bars_since_train_end")
    rows = [{name.replace("_", " "): call[name] for name in columns} for call in calls]
    return _rows_table("Newest calls, for an order at the next open", rows)


def _rows_table(title: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return a table with a row for each of `rows`, all of the same keys."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for name in rows[0]:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(f"{v:.4f}" if isinstance(v, float) else _plain(v) for v in row.values()))
    return table


class Drawing:
    """Progress on standard error while its body runs; silent when that is no terminal."""

    def __init__(self, *columns: ProgressColumn) -> None:
        console = Console(stderr=True)
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal)

    def __enter__(self) -> Self:
        """Start drawing."""
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop drawing, whatever happened."""
        self._progress.stop()


class TrainingProgress(Drawing):
    """A line a training: epoch, loss, validation accuracy, time left."""

    def __init__(self) -> None:
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("epoch {task.completed}/{task.total}"),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
        )
        self._tasks: dict[str, Any] = {}
        self._last: dict[str, int] = {}

    def epoch(self, symbol: str, epoch: Epoch) -> None:
        """Show a finished epoch."""
        if symbol not in self._tasks:
            self._tasks[symbol] = self._progress.add_task(symbol, total=epoch.of, note="")
        note = f"loss {epoch.loss:.4f}  validation accuracy {epoch.validation_accuracy:.1%}"
        self._last[symbol] = epoch.number
        self._progress.update(self._tasks[symbol], completed=epoch.number, note=note)

    def trained(self, symbol: str) -> None:
        """Show that a training is over, which may be before its last epoch."""
        if symbol in self._tasks:
            self._progress.update(self._tasks[symbol], total=self._last[symbol])


class Steps(Drawing):
    """The progress of a comparison, a bar for each stage: call it with each of its steps."""

    def __init__(self) -> None:
        super().__init__(
            TextColumn("{task.description:10}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TextColumn("{task.fields[what]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        self._tasks: dict[str, Any] = {}

    def __call__(self, step: Step) -> None:
        """Show one step."""
        if step.stage not in self._tasks:
            self._tasks[step.stage] = self._progress.add_task(step.stage, total=step.of, what="")
        self._progress.update(self._tasks[step.stage], completed=step.done, what=step.what)
