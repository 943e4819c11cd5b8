"""What every figure of the report is made with: the only module that imports plotly.

A figure becomes a piece of HTML that needs plotly.js on the page. Text from outside, such as the
name of a symbol, goes through `label` before it enters one.
"""
# plotly carries no type information: only the reports about that are switched off.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
import plotly.io as pio
from plotly.offline import get_plotlyjs
from plotly.subplots import make_subplots

__all__ = [
    "COLOURS",
    "DASHES",
    "DOWN",
    "GRID",
    "INK",
    "QUIET",
    "UP",
    "dates",
    "figure_html",
    "label",
    "new_figure",
    "plotly_js",
    "rounded",
]

# Okabe and Ito's palette: told apart with any kind of colour vision, the rest by their dashes.
COLOURS = {
    "lstm": "#0072B2",
    "ema": "#E69F00",
    "momentum": "#009E73",
    "mean": "#56B4E9",
    "reversal": "#D55E00",
    "majority": "#CC79A7",
    "logistic": "#8C5A00",
    "buy_and_hold": "#1F2328",
    "volatility": "#6B7280",
    "random": "#9AA1AB",
    "rival_average": "#E69F00",
    "rival_ema_forecast": "#009E73",
    "rival_linear": "#56B4E9",
    "rival_knn": "#D55E00",
    "rival_arima": "#8C5A00",
    "rival_prophet": "#6B7280",
    "foresight": "#B89B00",
    "inverted": "#D55E00",
    "shuffled": "#CC79A7",
}
"""Each strategy has the same colour everywhere."""

DASHES = {
    "mean": "dash",
    "reversal": "dot",
    "majority": "dash",
    "logistic": "dashdot",
    "buy_and_hold": "5px,4px",
    "random": "dot",
    "rival_average": "dot",
    "rival_ema_forecast": "dot",
    "rival_linear": "dot",
    "rival_knn": "dash",
    "rival_arima": "dot",
    "rival_prophet": "dot",
    "foresight": "dot",
    "inverted": "dashdot",
    "shuffled": "dot",
}
"""Lines that are not solid."""

UP, DOWN = "#0072B2", "#D55E00"
INK, QUIET, GRID = "#1F2328", "#8A8F98", "#E4E7EB"


def plotly_js() -> str:
    """Return the script that draws the figures, to stand on the page once, before them."""
    return str(get_plotlyjs())


def new_figure(heights: Sequence[float] = (1.0,)) -> Any:
    """Return a figure of panels above each other that are zoomed together."""
    return make_subplots(
        len(heights), 1, shared_xaxes=True, row_heights=list(heights), vertical_spacing=0.05
    )


def figure_html(figure: Any, div_id: str, height: int, hovermode: str = "closest") -> str:
    """Return a figure in the style of the page."""
    figure.update_layout(
        template="none",
        height=height,
        hovermode=hovermode,
        font={"family": "system-ui, sans-serif", "size": 13, "color": INK},
        margin={"l": 56, "r": 14, "t": 12, "b": 44},
        legend={"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom", "font": {"size": 12}},
        paper_bgcolor="white",
        plot_bgcolor="white",
    )
    figure.update_xaxes(gridcolor=GRID, zeroline=False, automargin=True)
    figure.update_yaxes(gridcolor=GRID, zeroline=False, automargin=True)
    return pio.to_html(
        figure,
        config={"responsive": True, "displayModeBar": False},
        include_plotlyjs=False,
        full_html=False,
        div_id=div_id,
        default_height=f"{height}px",
    )


def label(text: str) -> str:
    """Return text from outside so that plotly shows it as it is, not as markup."""
    return html.escape(text, quote=False)


def dates(index: pd.Index) -> list[str]:
    """Return dates as text, without the time where every bar is at midnight."""
    return [str(date) for date in index.astype(str)]


def rounded(values: Iterable[float]) -> list[float]:
    """Return `values` to six digits: finer than any screen, and half the bytes."""
    return [float(f"{value:.6g}") for value in values]
