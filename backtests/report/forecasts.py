"""The forecasts of a symbol: the tables of their errors, and which figures are drawn of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from ..forecasting import Forecasts
from .forecast_figures import (
    ZOOMED,
    evolution_figure,
    fan_figure,
    steps_figure,
    thinning,
    truth_figure,
)
from .tables import NOT_DEFINED, Line, Table, number, percent

__all__ = ["forecast_section"]


def forecast_section(
    facts: Mapping[str, Any] | None, pictures: Forecasts | None, number: int
) -> dict[str, Any] | None:
    """Return what the template shows of a symbol's forecasts; None when it has none.

    Parameters
    ----------
    facts : mapping or None
        The part ``forecasts`` of the symbol in ``results.json``.
    pictures : Forecasts or None
        What the figures are drawn from; without it there are tables only.
    number : int
        Of the symbol on the page.
    """
    if facts is None:
        return None
    names = _ordered(facts["labels"], facts["quality"])
    columns = [(str(field), int(ahead)) for field, ahead in facts["columns"]]
    return {
        "column": _column_text(columns[0]),
        "note": facts["move_note"],
        "sentences": [
            (facts["labels"][name], facts["sentences"][name])
            for name in names
            if name in facts["sentences"]
        ],
        "table": _quality_table(facts, names),
        "steps": _steps_table(facts["quality"][names[0]]["steps"], columns),
        "zoomed": ZOOMED,
        "thinning": None if pictures is None else thinning(len(pictures.dates)),
        "fields": [] if pictures is None else _fields(facts, names, pictures, number),
        "evolution": None if pictures is None else _evolution(pictures, number),
    }


def _ordered(labels: Mapping[str, str], quality: Mapping[str, Any]) -> list[str]:
    """Return the forecasters by name, the LSTM first: a mapping read from a file has no order."""
    return sorted(quality, key=lambda name: (name != "lstm", labels[name], name))


def _column_text(column: tuple[str, int]) -> str:
    field, ahead = column
    return f"{field}, {ahead} bar{'s' if ahead > 1 else ''} ahead"


def _quality_table(facts: Mapping[str, Any], names: Sequence[str]) -> Table:
    head = [
        ("Forecaster", ""), ("Bars", ""), ("RMSE", "price"), ("Naive RMSE", "price"),
        ("MASE", ""), ("Theil's U", ""), ("Hit rate", "sign of the move"),
        ("Base rate", "commoner sign"), ("Late", ""),
    ]  # fmt: skip
    rows: list[Line] = []
    for name in names:
        found = facts["quality"][name]
        late = {None: NOT_DEFINED, True: "yes", False: "no"}[found["late"]]
        cells = [
            f"{found['bars']:,}", _price(found["rmse"]), _price(found["naive_rmse"]),
            number(found["mase"], 3), number(found["theils_u"], 3), percent(found["hit_rate"]),
            percent(found["base_rate"]), late,
        ]  # fmt: skip
        rows.append(Line(facts["labels"][name], cells, lstm=name == "lstm"))
    return Table(head, [rows])


def _steps_table(
    steps: Sequence[Mapping[str, Any]], columns: Sequence[tuple[str, int]]
) -> Table | None:
    """Return the error of every column; None when the table before says it all."""
    if len(columns) < 2:
        return None
    head = [("Price", ""), ("RMSE", "price"), ("Naive RMSE", "price"), ("MASE", "")]
    rows = [
        Line(
            _column_text(column),
            [_price(step["rmse"]), _price(step["naive_rmse"]), number(step["mase"], 3)],
        )
        for column, step in zip(columns, steps, strict=True)
    ]
    return Table(head, [rows])


def _price(value: float | None) -> str:
    """Return an error in units of the price to four digits or more: a yen and a euro differ."""
    if value is None:
        return NOT_DEFINED
    whole = math.floor(math.log10(value)) if value > 0 else 3
    return f"{value:,.{min(max(3 - whole, 0), 12)}f}"


def _fields(
    facts: Mapping[str, Any], names: Sequence[str], pictures: Forecasts, number: int
) -> list[dict[str, Any]]:
    """Return the figures of each price field; those of many steps where there are such."""
    found: list[dict[str, Any]] = []
    for i, field in enumerate(dict.fromkeys(field for field, _ in pictures.columns)):
        of_field = [j for j, column in enumerate(pictures.columns) if column[0] == field]
        several = len(of_field) > 2
        steps = {
            facts["labels"][name]: [facts["quality"][name]["steps"][j] for j in of_field]
            for name in names
        }
        end = f"{number}-{i}"
        found.append(
            {
                "name": field,
                "column": _column_text(pictures.columns[of_field[0]]),
                "truth": Markup(truth_figure(pictures, of_field[0], f"forecast-truth-{end}")),
                "steps": Markup(steps_figure(steps, f"forecast-steps-{end}")) if several else None,
                "fan": Markup(fan_figure(pictures, of_field, f"forecast-fan-{end}"))
                if several
                else None,
            }
        )
    return found


def _evolution(pictures: Forecasts, number: int) -> Markup | None:
    actual = pictures.validation_actual
    if actual is None or not pictures.snapshots:
        return None
    field = pictures.columns[0][0]
    return Markup(evolution_figure(pictures.snapshots, actual, field, f"forecast-epochs-{number}"))
