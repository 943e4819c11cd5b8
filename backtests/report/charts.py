"""The figures of the evidence: leads, luck, costs, calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

from ..common import LABELS, PLACEBOS
from .figures import (
    COLOURS,
    DASHES,
    DOWN,
    INK,
    QUIET,
    UP,
    figure_html,
    label,
    new_figure,
    rounded,
)

__all__ = ["calibration_figure", "costs_figure", "forest_figure", "luck_figure"]

MARKS = {
    "beats": {"color": UP, "symbol": "circle"},
    "cannot tell": {"color": "#6B7280", "symbol": "diamond"},
    "does not beat": {"color": DOWN, "symbol": "square"},
}
"""By verdict; told apart by shape too."""

APART = 0.24
"""How far below a pair's range its bootstrap range stands, in rows."""


def forest_figure(
    pairs: Sequence[Mapping[str, Any]],
    bands: Mapping[str, Mapping[str, Any]],
    margin: float,
    div_id: str,
) -> str:
    """Return the lead over each baseline with its range, first pair on top.

    A thin line below the bar is the range by bootstrap; the vertical lines stand at 0 and `margin`.
    """
    figure = new_figure()
    for word, marker in MARKS.items():
        rows = [i for i, pair in enumerate(pairs) if pair["verdict"] == word]
        if rows:
            _add_leads(figure, pairs, rows, word, marker)
    ends = [0.0, margin, *(end for pair in pairs for end in pair["interval"])]
    for i, pair in enumerate(pairs):
        if band := bands.get(pair["baseline"]):
            _add_span(figure, band["low"], band["high"], i + APART, QUIET, 1.5)
            ends += [band["low"], band["high"]]
    figure.add_vline(x=0, line={"color": INK, "width": 1})
    figure.add_vline(x=margin, line={"color": INK, "width": 1, "dash": "dash"})
    edge = 0.05 * (max(ends) - min(ends))
    figure.update_xaxes(title_text="Lead in Sharpe ratio", zeroline=False)
    figure.update_xaxes(range=rounded([min(ends) - edge, max(ends) + edge]))
    _name_rows(figure, [LABELS[pair["baseline"]] for pair in pairs])
    return figure_html(figure, div_id, height=110 + 38 * len(pairs))


def _add_leads(
    figure: Any,
    pairs: Sequence[Mapping[str, Any]],
    rows: Sequence[int],
    word: str,
    marker: Mapping[str, Any],
) -> None:
    leads = [pairs[i]["difference"] for i in rows]
    lows, highs = zip(*(pairs[i]["interval"] for i in rows), strict=True)
    figure.add_scatter(
        x=rounded(leads),
        y=list(rows),
        error_x={
            "array": rounded(high - lead for high, lead in zip(highs, leads, strict=True)),
            "arrayminus": rounded(lead - low for low, lead in zip(lows, leads, strict=True)),
            "color": marker["color"],
            "thickness": 3,
            "width": 0,
        },
        mode="markers",
        name=word,
        marker=dict(marker) | {"size": 11},
        hovertemplate="%{x:+.2f}<extra></extra>",
    )


def luck_figure(
    evidence: Mapping[str, Any],
    own: float | None,
    symbols: Mapping[str, Mapping[str, Any]],
    div_id: str,
) -> str:
    """Return how the Sharpe ratios of random callers and of training seeds spread.

    A thin line goes from the lowest to the highest, a thick one from mean - sd to mean + sd; a dot
    is one seed of one symbol, a diamond the mean of its seeds' probabilities. `own` is the LSTM's
    own ratio, the vertical line.
    """
    figure = new_figure()
    spreads = {"Random callers": evidence["random"]["sharpe"], "Seeds": evidence["seeds"]["sharpe"]}
    rows = {name: spread for name, spread in spreads.items() if spread is not None}
    colours = {"Random callers": QUIET, "Seeds": COLOURS["lstm"]}
    for i, (name, spread) in enumerate(rows.items()):
        _add_spread(figure, spread, i, colours[name])
    for i, part in enumerate(symbols.values(), len(rows)):
        _add_seeds(figure, part, i)
    figure.add_vline(x=0.0 if own is None else round(own, 6), line={"color": UP, "width": 2})
    figure.update_layout(showlegend=False)
    figure.update_xaxes(title_text="Sharpe ratio")
    _name_rows(figure, [*rows, *map(label, symbols)])
    return figure_html(figure, div_id, height=90 + 34 * (len(rows) + len(symbols)))


def _add_spread(figure: Any, spread: Mapping[str, Any], row: int, colour: str) -> None:
    _add_span(figure, spread["min"], spread["max"], row, colour, 1.5)
    if spread["sd"] is not None:
        low, high = spread["mean"] - spread["sd"], spread["mean"] + spread["sd"]
        _add_span(figure, low, high, row, colour, 9)
    figure.add_scatter(
        x=rounded([spread["median"]]),
        y=[row],
        mode="markers",
        marker={"symbol": "line-ns", "size": 18, "line": {"width": 2, "color": INK}},
        hovertemplate="median %{x:.2f}<extra></extra>",
    )


def _add_seeds(figure: Any, part: Mapping[str, Any], row: int) -> None:
    seeds = rounded(ratio for ratio in part["seeds"] if ratio is not None)
    mean = part["strategies"]["lstm"]["sharpe"]
    figure.add_scatter(
        x=seeds,
        y=[row] * len(seeds),
        mode="markers",
        marker={"size": 9, "color": COLOURS["lstm"], "opacity": 0.5},
        hovertemplate="seed %{x:.2f}<extra></extra>",
    )
    if mean is not None:
        figure.add_scatter(
            x=rounded([mean]),
            y=[row],
            mode="markers",
            marker={"size": 12, "symbol": "diamond-open", "color": INK, "line": {"width": 2}},
            hovertemplate="together %{x:.2f}<extra></extra>",
        )


def costs_figure(costs: Sequence[Mapping[str, Any]], paid: float, div_id: str) -> str:
    """Return the Sharpe ratio of every strategy against the cost a side; `paid` is marked."""
    figure = new_figure()
    for name in (name for name in LABELS if name in costs[0]["strategies"]):
        points = [(level["cost_bps"], level["strategies"][name]["sharpe"]) for level in costs]
        known = [(cost, ratio) for cost, ratio in points if ratio is not None]
        figure.add_scatter(
            x=rounded(cost for cost, _ in known),
            y=rounded(ratio for _, ratio in known),
            name=LABELS[name],
            mode="lines+markers",
            visible="legendonly" if name in PLACEBOS else True,
            marker={"size": 8 if name == "lstm" else 5},
            line={
                "color": COLOURS[name],
                "width": 3 if name == "lstm" else 1.4,
                "dash": DASHES.get(name, "solid"),
            },
        )
    figure.add_vline(x=paid, line={"color": INK, "width": 1, "dash": "dot"})
    figure.update_xaxes(title_text="Cost in basis points a side")
    figure.update_yaxes(title_text="Sharpe ratio", hoverformat=".2f")
    return figure_html(figure, div_id, height=420)


def calibration_figure(bins: Mapping[str, Sequence[Mapping[str, Any]]], div_id: str) -> str:
    """Return by symbol the share of bars that went up against the probability called."""
    figure = new_figure()
    ends = [bin_[key] for found in bins.values() for bin_ in found for key in ("score", "up")]
    figure.add_scatter(
        x=rounded([min(ends), max(ends)]),
        y=rounded([min(ends), max(ends)]),
        name="What was said came true",
        mode="lines",
        line={"color": INK, "width": 1, "dash": "dash"},
        hoverinfo="skip",
    )
    palette = cycle(["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"])
    symbols = cycle(["circle", "square", "diamond", "triangle-up", "cross"])
    for (name, found), colour, mark in zip(bins.items(), palette, symbols, strict=False):
        figure.add_scatter(
            x=rounded(bin_["score"] for bin_ in found),
            y=rounded(bin_["up"] for bin_ in found),
            name=label(name),
            mode="lines+markers",
            marker={"size": 8, "symbol": mark},
            line={"color": colour, "width": 1},
        )
    figure.update_xaxes(title_text="Probability of up, as called", tickformat=".0%")
    figure.update_yaxes(title_text="Went up", tickformat=".0%")
    return figure_html(figure, div_id, height=400)


def _add_span(figure: Any, low: float, high: float, row: float, colour: str, width: float) -> None:
    figure.add_scatter(
        x=rounded([low, high]),
        y=[row, row],
        mode="lines",
        line={"color": colour, "width": width},
        hovertemplate="%{x:+.2f}<extra></extra>",
        showlegend=False,
    )


def _name_rows(figure: Any, names: Sequence[str]) -> None:
    """Name the rows 0, 1, ... of a figure, from the top."""
    figure.update_yaxes(
        tickvals=list(range(len(names))), ticktext=list(names), range=[len(names) - 0.4, -0.6]
    )
