"""The figures of forecasts: beside the truth, by bars ahead, fanning out, and while learning."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ...signals.arrays import FloatArray
from ..forecasting import Forecasts, Snapshot
from .figures import COLOURS, DOWN, INK, QUIET, dates, figure_html, label, new_figure, rounded

__all__ = [
    "ZOOMED",
    "evolution_figure",
    "fan_figure",
    "steps_figure",
    "thinning",
    "truth_figure",
]

Rows: TypeAlias = npt.NDArray[np.int64]

LATEST, EARLIER = 500, 1000
"""Bars drawn one by one up to the last, and the most that are drawn of those before."""

ZOOMED = 60
"""Bars in the close view: few enough to see by how many bars two lines are apart."""

ZOOMED_FANS = 250
"""Bars in the close view of forecasts of many steps."""

SPACING, FANS = 50, 60
"""Bars between the starts of drawn forecasts, at least, and the most of them."""

SNAPSHOTS = 6
"""The most epochs that are drawn."""

MARKED = 12
"""Steps up to which each has a mark; more marks would cover the lines."""

OTHERS = ("#E69F00", "#009E73", "#CC79A7", "#D55E00", "#8C5A00")
LINES = ("dash", "dot", "dashdot")
"""Looks of the forecasters beside the LSTM; five colours and three dashes repeat after fifteen."""

EPOCHS = ("#B9D7EA", "#86BDE0", "#4F9FD0", "#0072B2", "#00517E", "#003553")
"""From the first epoch drawn to the last: the later the darker."""


def truth_figure(pictures: Forecasts, column: int, div_id: str) -> str:
    """Return one column of the forecasts over the prices that came true.

    Everything stands at the bar that is forecast. The naive forecast, today's price again, is the
    truth moved to the right; it waits in the legend. A button shows the last bars closely.
    """
    ahead = pictures.columns[column][1]
    rows = _thinned(len(pictures.dates) - ahead)
    when = _taken(dates(pictures.dates), rows + ahead)
    lines = [
        ("Truth", pictures.actual[:, column], {"color": INK, "width": 1.6}, True),
        ("Forecast", pictures.forecast[:, column], {"color": COLOURS["lstm"], "width": 2}, True),
        (
            f"Naive: {ahead} bar{'s' if ahead > 1 else ''} before",
            pictures.naive(column),
            {"color": DOWN, "width": 1, "dash": "dot"},
            "legendonly",
        ),
    ]
    figure = new_figure()
    for name, values, line, visible in lines:
        if values is not None:
            _add_line(figure, when, values[rows], name=name, line=line, visible=visible)
    _add_zoom(figure, when, [pictures.actual[rows, column], pictures.forecast[rows, column]])
    figure.update_yaxes(title_text=label(pictures.columns[column][0].capitalize()))
    return figure_html(figure, div_id, height=420, hovermode="x unified")


def thinning(count: int) -> str | None:
    """Return which of `count` bars are drawn, in words; None when all are."""
    apart = _apart(count)
    return None if apart == 1 else f"one bar in {apart}, and each of the last {LATEST:,}"


def _apart(count: int) -> int:
    return max(math.ceil((count - LATEST) / EARLIER), 1)


def _thinned(count: int) -> Rows:
    """Return which of `count` rows to draw: the latest all, of the earlier ones every n-th.

    Each line is drawn at the same ones, and close by nothing is left out: how late a forecast is
    shows bar by bar only.
    """
    earlier = max(count - LATEST, 0)
    return np.append(np.arange(0, earlier, _apart(count)), np.arange(earlier, max(count, 0)))


def _taken(texts: Sequence[str], rows: Rows) -> list[str]:
    wanted: list[int] = rows.tolist()
    return [texts[row] for row in wanted]


def _add_line(figure: Any, when: Sequence[str], values: FloatArray, **style: Any) -> None:
    """Draw what is known of a line: plotly's own gaps would be no plain JSON."""
    known = np.flatnonzero(np.isfinite(values))
    figure.add_scatter(x=_taken(when, known), y=rounded(values[known]), mode="lines", **style)


def _add_zoom(
    figure: Any, when: Sequence[str], lines: Sequence[FloatArray], bars: int = ZOOMED
) -> None:
    """Add the buttons that show all bars or the last ones, with the prices that these span."""
    close = np.concatenate([values[-bars:] for values in lines])
    close = close[np.isfinite(close)]
    if len(when) <= bars or not len(close):
        return
    edge = 0.05 * float(np.ptp(close))
    axes = {
        "xaxis.range": [when[-bars], when[-1]],
        "yaxis.range": rounded([close.min() - edge, close.max() + edge]),
    }
    every = {"xaxis.autorange": True, "yaxis.autorange": True}
    buttons = [
        {"label": text, "method": "relayout", "args": [change]}
        for text, change in (("All bars", every), (f"Last {bars} bars", axes))
    ]
    menu = {"type": "buttons", "direction": "right", "buttons": buttons}
    # Below the figure: on a narrow screen the legend needs the whole width above it.
    place = {"x": 1, "xanchor": "right", "y": -0.12, "yanchor": "top"}
    figure.update_layout(updatemenus=[menu | place])


def steps_figure(steps: Mapping[str, Sequence[Mapping[str, Any]]], div_id: str) -> str:
    """Return the error of every forecaster, by name, against the bars ahead.

    The naive forecast's is that of the first one's bars.
    """
    figure = new_figure()
    looks = zip(cycle(OTHERS), cycle(LINES), strict=False)
    first = next(iter(steps.values()))
    for name, found in steps.items():
        colour, dash = (COLOURS["lstm"], "solid") if found is first else next(looks)
        line = {"color": colour, "width": 3 if found is first else 1.4, "dash": dash}
        _add_errors(figure, found, "rmse", name=label(name), line=line)
    line = {"color": INK, "width": 1.4, "dash": "5px,4px"}
    _add_errors(figure, first, "naive_rmse", name="Today's price again", line=line)
    figure.update_xaxes(title_text="Bars ahead")
    figure.update_yaxes(title_text="RMSE", rangemode="tozero")
    return figure_html(figure, div_id, height=320)


def _add_errors(figure: Any, steps: Sequence[Mapping[str, Any]], key: str, **style: Any) -> None:
    known = [(step["ahead"], step[key]) for step in steps if step[key] is not None]
    figure.add_scatter(
        x=[ahead for ahead, _ in known],
        y=rounded(error for _, error in known),
        mode="lines+markers" if len(known) <= MARKED else "lines",
        **style,
    )


def fan_figure(pictures: Forecasts, columns: Sequence[int], div_id: str) -> str:
    """Return forecasts of many steps, each as a line from the bar where it was made.

    `columns` are those of one price field. The starts are 50 bars apart, or more in a long history.
    """
    nearest, ahead = columns[0], np.array([pictures.columns[j][1] for j in columns])
    count = len(pictures.dates)
    every, rows, figure = dates(pictures.dates), _thinned(count - int(ahead[0])), new_figure()
    when, line = _taken(every, rows + ahead[0]), {"color": QUIET, "width": 1.3}
    _add_line(figure, when, pictures.actual[rows, nearest], name="Truth", line=line)
    known = np.flatnonzero(np.isfinite(pictures.forecast[:, columns]).any(axis=1))
    apart = SPACING * max(math.ceil(len(known) / SPACING / FANS), 1)
    start = pictures.naive(nearest)
    for i, row in enumerate(known[::apart]):
        inside = row + ahead < count
        places = row + np.append(0, ahead[inside])
        first = np.nan if start is None else start[row]
        values = np.append(first, pictures.forecast[row, columns][inside])
        _add_line(
            figure,
            _taken(every, places),
            values,
            name="Forecast",
            legendgroup="forecast",
            showlegend=i == 0,
            line={"color": COLOURS["lstm"], "width": 1.8},
        )
    _add_zoom(figure, when, [pictures.actual[rows, nearest]], ZOOMED_FANS)
    figure.update_yaxes(title_text=label(pictures.columns[nearest][0].capitalize()))
    return figure_html(figure, div_id, height=380)


def evolution_figure(
    snapshots: Sequence[Snapshot], actual: FloatArray, field: str, div_id: str
) -> str:
    """Return the forecasts of the validation bars at a few epochs, the later the darker."""
    spread = np.linspace(0, len(snapshots) - 1, SNAPSHOTS).round().astype(int)
    places: list[int] = np.unique(spread).tolist()
    rows, figure = _thinned(len(actual)), new_figure()
    line = {"color": INK, "width": 1.4, "dash": "dot"}
    _add_line(figure, dates(snapshots[0].dates[rows]), actual[rows], name="Truth", line=line)
    for colour, place in zip(EPOCHS[-len(places) :], places, strict=True):
        shown = snapshots[place]
        when, line = dates(shown.dates[rows]), {"color": colour, "width": 1.8}
        _add_line(figure, when, shown.forecast[rows], name=f"Epoch {shown.epoch}", line=line)
    figure.update_yaxes(title_text=label(field.capitalize()))
    return figure_html(figure, div_id, height=380)
