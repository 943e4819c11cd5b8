"""What the terminal shows: tables, progress, and errors in one line."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from ..training.fit import Epoch
    from .comparison import Comparison, Step

__all__ = [
    "Steps",
    "TrainingProgress",
    "calls_table",
    "facts_table",
    "say",
    "show",
    "show_comparison",
    "show_warning",
    "warn",
]

COLUMNS = (
    ("total_return", "Return", "percent"),
    ("cagr", "CAGR", "percent"),
    ("volatility", "Volat.", "percent"),
    ("sharpe", "Sharpe", "number"),
    ("max_drawdown", "Max DD", "percent"),
    ("exposure", "In mkt", "percent"),
    ("trades", "Trades", "count"),
    ("costs_paid", "Costs", "money"),
    ("rejected_orders", "Refused", "count"),
)


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


def show_comparison(done: Comparison) -> None:
    """Print the tables of a comparison, what to think of them, and where its files are."""
    from .common import STRATEGIES

    for table in _comparison_tables(done.summary, STRATEGIES):
        show(table)
    experiment = done.summary["experiment"]
    show(
        f"EMA cross of {experiment['ema_fast']} and {experiment['ema_slow']} bars, momentum over"
        f" {experiment['momentum_period']}; decided at the close, filled at the next open."
    )
    for caution in done.summary["cautions"]:
        show(f"Caution: {caution}")
    show(done.summary["caution"])
    report = done.folder / "report.html"
    if not report.is_file():
        say("No report.html: pip install 'nextbar[compare]', then run this again.")
    where = report if report.is_file() else done.folder
    say(f"{'Found finished' if done.resumed else 'Written'}: {where}")


def _comparison_tables(summary: Mapping[str, Any], labels: Mapping[str, str]) -> list[Table]:
    """Return one table for each symbol of a comparison and, for several, one for all."""
    tables: list[Table] = []
    for symbol in summary["experiment"]["symbols"]:
        part = summary["symbols"][symbol]
        bars = part["bars"]
        title = (
            f"{symbol}, {bars['test_first'][:10]} to {bars['test_last'][:10]}"
            f" ({bars['test_bars']} bars), net of {summary['experiment']['cost_bps']:g} bps a side"
        )
        tables.append(_strategy_table(title, part["strategies"], labels))
        tables[-1].caption = _calls_line(part["calls"])
    if "equal_weight" in summary:
        title = f"All {len(summary['symbols'])} symbols in equal weight"
        tables.append(_strategy_table(title, summary["equal_weight"], labels))
        tables[-1].caption = "Rebalanced every bar."
    return tables


def _calls_line(calls: Mapping[str, Any]) -> str:
    if not calls["rows"]:
        return "The LSTM made no calls."
    return (
        f"LSTM calls: {calls['accuracy']:.1%} of {calls['rows']} came true; always calling the"
        f" commoner way would have scored {calls['base_rate']:.1%}."
    )


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
    columns = ("symbol", "call", "probability", "last_bar", "bars_since_train_end")
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


def _strategy_table(
    title: str, strategies: Mapping[str, Mapping[str, Any]], labels: Mapping[str, str]
) -> Table:
    # Narrow enough for a terminal of 80 columns.
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
    table.caption_justify = "left"
    table.add_column("Strategy", no_wrap=True)
    columns = [column for column in COLUMNS if column[0] in strategies["lstm"]]
    for _, header, _ in columns:
        table.add_column(header, justify="right", no_wrap=True)
    for name, label in labels.items():
        table.add_row(label, *(_text(strategies[name][key], kind) for key, _, kind in columns))
    return table


def _text(value: float | None, kind: str) -> str:
    if value is None:
        return "n/a"
    formats = {"percent": "{:.1%}", "number": "{:.2f}", "count": "{:d}", "money": "{:,.0f}"}
    return formats[kind].format(value)


class TrainingProgress:
    """A line a training: epoch, loss, validation accuracy, time left. Silent when piped."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("epoch {task.completed}/{task.total}"),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, Any] = {}
        self._last: dict[str, int] = {}

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


class Steps(TrainingProgress):
    """The progress of a comparison: call it with each of its steps."""

    def __call__(self, step: Step) -> None:
        """Show one step; backtests take no time worth showing."""
        if step.epoch is not None:
            self.epoch(step.symbol, step.epoch)
        elif step.what == "model":
            self.trained(step.symbol)
