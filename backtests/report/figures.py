"""The figures of the report, each a piece of HTML that needs plotly.js on the page.

No text from outside gets into a figure: names of symbols stand in the headings of the page.
"""
# plotly carries no type information: only the reports about that are switched off.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import plotly.io as pio
from plotly.offline import get_plotlyjs
from plotly.subplots import make_subplots

from ..common import STRATEGIES
from ..result import Result

__all__ = ["COLOURS", "calls_figure", "equity_figure", "loss_figure", "plotly_js"]

# Okabe and Ito's palette: told apart with any kind of colour vision.
COLOURS = {"lstm": "#0072B2", "ema": "#E69F00", "momentum": "#009E73", "buy_and_hold": "#444444"}
"""Each strategy has the same colour everywhere."""

UP, DOWN = "#0072B2", "#D55E00"
INK, QUIET, GRID = "#1F2328", "#8A8F98", "#E4E7EB"
SIDES = {-1: "short", 0: "flat", 1: "long"}
_DASHES = {"buy_and_hold": "5px,5px"}


def plotly_js() -> str:
    """Return the script that draws the figures, to stand on the page once, before them."""
    return str(get_plotlyjs())


def equity_figure(equity: Mapping[str, pd.Series[float]], div_id: str) -> str:
    """Return the equity of every strategy, 100 % at the start, above the drawdowns."""
    figure = _panels([0.68, 0.32])
    # The LSTM's broad line comes first: where lines coincide, the others show on top of it.
    for name, label in STRATEGIES.items():
        series = equity[name]
        dates, drawdown = _dates(series.index), series / series.cummax() - 1
        style = {
            "name": label,
            "legendgroup": name,
            "line": {
                "color": COLOURS[name],
                "width": 3.2 if name == "lstm" else 1.4,
                "dash": _DASHES.get(name, "solid"),
            },
        }
        figure.add_scatter(x=dates, y=_rounded(series / series.iloc[0]), **style, row=1, col=1)
        figure.add_scatter(x=dates, y=_rounded(drawdown), **style, showlegend=False, row=2, col=1)
    figure.update_yaxes(tickformat=".0%", hoverformat=".1%")
    figure.update_yaxes(title_text="Equity", row=1, col=1)
    figure.update_yaxes(title_text="Drawdown", row=2, col=1)
    return _html(figure, div_id, height=520)


def calls_figure(result: Result, div_id: str) -> str:
    """Return the price with the turns of a strategy, above a strip of what it held."""
    figure = _panels([0.8, 0.2])
    dates, side = _dates(result.close.index), result.direction
    line = {"color": QUIET, "width": 1.3}
    figure.add_scatter(x=dates, y=_rounded(result.close), name="Close", line=line, row=1, col=1)
    before = side.shift(fill_value=0)
    _add_marks(figure, result, side > before, "Turns up", {"symbol": "triangle-up", "color": UP})
    _add_marks(
        figure, result, side < before, "Turns down", {"symbol": "triangle-down", "color": DOWN}
    )
    long, short = result.position > 0, result.position < 0
    _add_strip(figure, dates, long * 1, "Holds long", UP)
    _add_strip(figure, dates, short * -1, "Holds short", DOWN)
    # Marks would make the axis longer than that of the figure above.
    figure.update_xaxes(range=[dates[0], dates[-1]])
    figure.update_yaxes(title_text="Close", row=1, col=1)
    ticks = list(SIDES) if short.any() else [0, 1]
    labels = {"tickvals": ticks, "ticktext": [SIDES[tick] for tick in ticks]}
    figure.update_yaxes(**labels, range=[1.1 * ticks[0], 1.1], row=2, col=1)
    return _html(figure, div_id, height=460, hovermode="closest")


def _add_marks(
    figure: Any, result: Result, where: pd.Series[bool], name: str, marker: dict[str, Any]
) -> None:
    close, side = result.close[where], result.direction[where]
    if close.empty:
        return
    figure.add_scatter(
        x=_dates(close.index),
        y=_rounded(close),
        text=[SIDES[value] for value in side],
        hovertemplate="%{x}: to %{text}",
        name=name,
        mode="markers",
        marker=marker | {"size": 8},
        row=1,
        col=1,
    )


def _add_strip(figure: Any, dates: list[str], side: pd.Series[int], name: str, colour: str) -> None:
    if not side.any():
        return
    figure.add_scatter(
        x=dates,
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


def loss_figure(history: Iterable[Mapping[str, Any]], best_epoch: int, div_id: str) -> str:
    """Return training and validation loss by epoch."""
    epochs = list(history)
    numbers = [epoch["number"] for epoch in epochs]
    figure = go.Figure()
    for key, name, colour in (
        ("loss", "Training", QUIET),
        ("validation_loss", "Validation", COLOURS["lstm"]),
    ):
        losses = _rounded(epoch[key] for epoch in epochs)
        line = {"color": colour, "width": 2}
        figure.add_scatter(x=numbers, y=losses, name=name, mode="lines+markers", line=line)
    figure.add_vline(x=best_epoch, line={"color": INK, "width": 1, "dash": "dot"})
    # What always answering 50 % comes to.
    figure.add_hline(y=round(math.log(2), 6), line={"color": DOWN, "width": 1, "dash": "dash"})
    figure.update_xaxes(title_text="Epoch")
    figure.update_yaxes(title_text="Loss (cross-entropy)")
    return _html(figure, div_id, height=300)


def _panels(heights: list[float]) -> Any:
    """Return a figure of panels above each other that are zoomed together."""
    return make_subplots(
        len(heights), 1, shared_xaxes=True, row_heights=heights, vertical_spacing=0.05
    )


def _html(figure: Any, div_id: str, height: int, hovermode: str = "x unified") -> str:
    figure.update_layout(
        template="none",
        height=height,
        hovermode=hovermode,
        font={"family": "system-ui, sans-serif", "size": 13, "color": INK},
        margin={"l": 64, "r": 12, "t": 40, "b": 44},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        paper_bgcolor="white",
        plot_bgcolor="white",
    )
    figure.update_xaxes(gridcolor=GRID, zeroline=False)
    figure.update_yaxes(gridcolor=GRID, zeroline=False, automargin=True)
    config = {"responsive": True, "displayModeBar": False}
    return pio.to_html(
        figure,
        config=config,
        include_plotlyjs=False,
        full_html=False,
        div_id=div_id,
        default_height=f"{height}px",
    )


def _dates(index: pd.Index) -> list[str]:
    """Return dates as text, without the time where every bar is at midnight."""
    return [str(date) for date in index.astype(str)]


def _rounded(values: Iterable[float]) -> list[float]:
    """Return `values` to six digits: finer than any screen, and half the bytes."""
    return [float(f"{value:.6g}") for value in values]
