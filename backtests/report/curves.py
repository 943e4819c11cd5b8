"""The figures over time: equity and drawdown, the calls on the price, the loss of a training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from ..common import LABELS
from ..result import Result
from .figures import (
    COLOURS,
    DASHES,
    DOWN,
    INK,
    QUIET,
    UP,
    dates,
    figure_html,
    new_figure,
    rounded,
)

__all__ = ["SHOWN", "calls_figure", "equity_figure", "loss_figure"]

SHOWN = ("lstm", "ema", "momentum", "buy_and_hold")
"""Lines that are drawn at first: the rest waits in the legend, or nothing could be read."""

LOSSES = {
    "direction": "cross-entropy",
    "forecast": "squared error, scaled",
    "position": "minus the Sharpe ratio of a bar",
}
"""What each head is trained on."""

SIDES = {-1: "short", 0: "flat", 1: "long"}


def equity_figure(equity: Mapping[str, pd.Series[float]], folds: Sequence[str], div_id: str) -> str:
    """Return every account on a log scale, 1 at the start, above the drawdowns.

    `folds` are the dates on which the test of a fold starts; all but the first are marked. An
    account that is lost is drawn up to there.
    """
    figure = new_figure([0.68, 0.32])
    # The LSTM's broad line comes first: where lines coincide, the others show on top of it.
    for name in LABELS:
        if name in equity:
            _add_account(figure, name, equity[name])
    for start in folds[1:]:
        figure.add_vline(x=start, line={"color": QUIET, "width": 1, "dash": "dot"})
    figure.update_yaxes(
        type="log", dtick="D2", tickformat="~g", title_text="Account, log scale", row=1, col=1
    )
    figure.update_yaxes(tickformat=".0%", hoverformat=".1%", title_text="Drawdown", row=2, col=1)
    figure.update_yaxes(hoverformat=".2f", row=1, col=1)
    return figure_html(figure, div_id, height=560, hovermode="x unified")


def _add_account(figure: Any, name: str, series: pd.Series[float]) -> None:
    lost = (series <= 0).to_numpy()
    if lost.any():
        series = series.iloc[: int(lost.argmax())]
    when, drawdown = dates(series.index), series / series.cummax() - 1
    style: dict[str, Any] = {
        "name": LABELS[name],
        "legendgroup": name,
        "mode": "lines",
        "visible": True if name in SHOWN else "legendonly",
        "line": {
            "color": COLOURS[name],
            "width": 3 if name == "lstm" else 1.4,
            "dash": DASHES.get(name, "solid"),
        },
    }
    figure.add_scatter(x=when, y=rounded(series / series.iloc[0]), **style, row=1, col=1)
    figure.add_scatter(x=when, y=rounded(drawdown), **style, showlegend=False, row=2, col=1)


def calls_figure(result: Result, folds: Sequence[str], div_id: str) -> str:
    """Return the price with the turns of a strategy, above a strip of what it held."""
    figure = new_figure([0.8, 0.2])
    when, side = dates(result.close.index), result.direction
    line = {"color": QUIET, "width": 1.3}
    figure.add_scatter(x=when, y=rounded(result.close), name="Close", line=line, row=1, col=1)
    before = side.shift(fill_value=0)
    _add_marks(figure, result, side > before, "Turns up", {"symbol": "triangle-up", "color": UP})
    _add_marks(
        figure, result, side < before, "Turns down", {"symbol": "triangle-down", "color": DOWN}
    )
    long, short = result.position > 0, result.position < 0
    _add_strip(figure, when, long * 1, "Holds long", UP)
    _add_strip(figure, when, short * -1, "Holds short", DOWN)
    for start in folds[1:]:
        figure.add_vline(x=start, line={"color": QUIET, "width": 1, "dash": "dot"})
    # Marks would make the axis longer than that of the figure above.
    figure.update_xaxes(range=[when[0], when[-1]])
    figure.update_yaxes(title_text="Close", row=1, col=1)
    ticks = list(SIDES) if short.any() else [0, 1]
    labels = {"tickvals": ticks, "ticktext": [SIDES[tick] for tick in ticks]}
    figure.update_yaxes(**labels, range=[1.1 * ticks[0], 1.1], row=2, col=1)
    return figure_html(figure, div_id, height=420)


def _add_marks(
    figure: Any, result: Result, where: pd.Series[bool], name: str, marker: dict[str, Any]
) -> None:
    close, side = result.close[where], result.direction[where]
    if close.empty:
        return
    figure.add_scatter(
        x=dates(close.index),
        y=rounded(close),
        text=[SIDES[value] for value in side],
        hovertemplate="%{x}: to %{text}",
        name=name,
        mode="markers",
        marker=marker | {"size": 6},
        row=1,
        col=1,
    )


def _add_strip(figure: Any, when: list[str], side: pd.Series[int], name: str, colour: str) -> None:
    if not side.any():
        return
    figure.add_scatter(
        x=when,
        y=[int(value) for value in side],
        name=name,
        mode="lines",
        fill="tozeroy",
        fillcolor=colour,
        line={"shape": "hv", "width": 0},
        hoverinfo="skip",
        row=2,
        col=1,
    )


def loss_figure(
    history: Iterable[Mapping[str, Any]], best_epoch: int, head: str, div_id: str
) -> str:
    """Return training and validation loss by epoch; what the loss is depends on the `head`."""
    epochs = list(history)
    numbers = [epoch["number"] for epoch in epochs]
    figure = new_figure()
    for key, name, colour in (
        ("loss", "Training", QUIET),
        ("validation_loss", "Validation", COLOURS["lstm"]),
    ):
        losses = rounded(epoch[key] for epoch in epochs)
        line = {"color": colour, "width": 2}
        figure.add_scatter(x=numbers, y=losses, name=name, mode="lines+markers", line=line)
    figure.add_vline(x=best_epoch, line={"color": INK, "width": 1, "dash": "dot"})
    idle = {"direction": round(math.log(2), 6), "position": 0.0}.get(head)
    if idle is not None:
        figure.add_hline(y=idle, line={"color": DOWN, "width": 1, "dash": "dash"})
    figure.update_xaxes(title_text="Epoch")
    figure.update_yaxes(title_text=f"Loss ({LOSSES[head]})")
    return figure_html(figure, div_id, height=280)
