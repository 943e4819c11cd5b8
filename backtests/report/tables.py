"""How the report writes numbers, and its tables of measures and settings, all as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ..common import LABELS, PLACEBOS
from ..metrics import METRICS
from .words import PLACEBO_NOTES

if TYPE_CHECKING:
    from ..result import Result

__all__ = [
    "NOT_DEFINED",
    "Line",
    "Table",
    "amount",
    "count",
    "day",
    "number",
    "percent",
    "refusals",
    "setting_rows",
    "short",
    "signed",
    "strategy_table",
    "value_text",
]

NOT_DEFINED = "n/a"
HUGE = 1e9
"""From here on, powers of ten are easier to read than digits."""

_FORMATS = {
    "fraction": "z.1%",
    "ratio": "z,.2f",
    "times": "z,.2f",
    "basis": "z,.0f",
    "account": "z,.0f",
    "bars": ",.0f",
    "count": ",.0f",
}
"""Format by the first word of a measure's unit."""

_UNITS = {
    "fraction": "",
    "fraction per year": "a year",
    "ratio, annualised": "annual",
    "ratio": "",
    "fraction of bars": "of bars",
    "fraction of trades": "of trades",
    "times equity per year": "times equity a year",
    "basis points per side": "bps a side",
    "account currency": "currency",
    "count": "",
}
"""What stands below a measure's name."""


class Line(NamedTuple):
    """One row of a table: its name, its cells, and a remark below the name."""

    label: str
    cells: Sequence[str]
    note: str = ""
    lstm: bool = False
    """Whether it is the row that the page is about."""
    looks: Sequence[str] = ()
    """By cell the name of its colour; none at all is no colour."""


class Table(NamedTuple):
    """Heads, each with a unit, and one or more groups of rows with a line between them.

    The first `texts` cells of a row are words, the rest numbers, which stand to the right.
    """

    head: Sequence[tuple[str, str]]
    groups: Sequence[Sequence[Line]]
    texts: int = 0


def value_text(value: float | None, unit: str) -> str:
    """Return a measure as text, by its unit."""
    if value is None:
        return NOT_DEFINED
    shown = _FORMATS[unit.split()[0].rstrip(",")]
    if abs(value) >= (HUGE / 100 if shown.endswith("%") else HUGE):
        return f"{value * 100:.1e}%" if shown.endswith("%") else f"{value:.1e}"
    if shown.endswith("%") and abs(value) >= 10:
        shown = ",.0%"
    return format(value, shown)


def percent(value: float | None) -> str:
    """Return a fraction as a percentage."""
    return value_text(value, "fraction")


def count(value: float | None) -> str:
    """Return a whole number with thousands separators."""
    return value_text(value, "count")


def number(value: float | None, digits: int = 2) -> str:
    """Return a number with so many decimals."""
    return NOT_DEFINED if value is None else f"{value:z.{digits}f}"


def signed(value: float | None) -> str:
    """Return a difference: with two decimals and its sign."""
    return NOT_DEFINED if value is None else f"{value:+z.2f}"


def amount(value: float) -> str:
    """Return a number with thousands separators and no needless decimals."""
    return f"{value:z,.4f}".rstrip("0").rstrip(".")


def short(digest: str) -> str:
    """Return the start of a digest: enough to tell files apart."""
    return digest[:12]


def day(date: object) -> str:
    """Return a date as text, without the time at midnight."""
    return str(date).removesuffix(" 00:00:00").removesuffix("T00:00:00")


def strategy_table(strategies: Mapping[str, Mapping[str, float | None]]) -> Table:
    """Return a row for each strategy, placebos last, and a column for each measure they have."""
    measures = [metric for metric in METRICS if metric.name in strategies["lstm"]]

    def line(name: str) -> Line:
        values = [value_text(strategies[name].get(m.name), m.unit) for m in measures]
        return Line(LABELS[name], values, PLACEBO_NOTES.get(name, ""), name == "lstm")

    names = [name for name in LABELS if name in strategies]
    head = [("Strategy", "")] + [(m.label, _UNITS.get(m.unit, m.unit)) for m in measures]
    real = [line(name) for name in names if name not in PLACEBOS]
    return Table(head, [real, [line(name) for name in names if name in PLACEBOS]])


def refusals(runs: Mapping[str, Result]) -> Table:
    """Return strategy, date, size and status of every refused order."""
    rows = [
        Line(LABELS[name], [day(date), "n/a" if size != size else amount(size), status])
        for name in LABELS
        if name in runs
        for date, size, status in runs[name].rejected[["date", "size", "status"]].to_numpy()
    ]
    return Table([(text, "") for text in ("Strategy", "Date", "Size", "Status")], [rows], 1)


def setting_rows(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield name and value of every setting but folds and origin, groups as ``group.name``."""
    for name, value in sorted(settings.items()):
        if name in ("folds", "origin"):
            continue
        if isinstance(value, Mapping):
            yield from setting_rows(cast("Mapping[str, Any]", value), f"{prefix}{name}.")
        else:
            yield prefix + name, _setting(value)


def _setting(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        items = list(cast("Iterable[Any]", value))
        if not items:
            return "none"
        return ", ".join(
            "/".join(map(str, cast("Iterable[Any]", item)))
            if isinstance(item, list | tuple)
            else str(item)
            for item in items
        )
    return str(value)
