"""The page: sections in order, put together from tables, figures and the templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from ..common import LABELS, pooled
from ..forecasting import Forecasts
from ..result import Result
from . import charts, curves, figures, findings, fits, tables
from .forecasts import forecast_section
from .headline import headline
from .origin import origin_section
from .templates import template_named
from .words import ABOUT, IDLE

__all__ = ["render_page"]

Results = Mapping[str, Mapping[str, Result]]


def render_page(
    content: Mapping[str, Any], results: Results, forecasts: Mapping[str, Forecasts]
) -> str:
    """Return the whole page; see `render`."""
    # In the order asked for: that of a mapping read from a file is another.
    symbols = {symbol: content["symbols"][symbol] for symbol in content["experiment"]["symbols"]}
    folds = content["experiment"]["folds"]
    starts = [fold["test_start"] for fold in folds]
    mixed = content["evidence"] is not None
    return (
        template_named("report.html").render(
            content=content,
            experiment=content["experiment"],
            symbols=symbols,
            headline=headline(content),
            origin=origin_section(content["experiment"]["origin"]),
            mix=_mix(content, symbols, results, starts) if mixed else None,
            calls=_calls(symbols),
            sections=[
                _section(symbol, number, facts, results[symbol], folds, not mixed)
                | {
                    "forecasts": forecast_section(
                        facts.get("forecasts"), forecasts.get(symbol), number
                    )
                }
                for number, (symbol, facts) in enumerate(symbols.items())
            ],
            folds=fits.folds_table(folds),
            about=[(LABELS[name], ABOUT[name]) for name in LABELS if name in _taking_part(symbols)],
            settings=list(tables.setting_rows(content["experiment"])),
            plotly_js=Markup(figures.plotly_js()),
        )
        + "\n"
    )


def _taking_part(symbols: Mapping[str, Mapping[str, Any]]) -> set[str]:
    return {name for facts in symbols.values() for name in facts["strategies"]}


def _mix(
    content: Mapping[str, Any],
    symbols: Mapping[str, Mapping[str, Any]],
    results: Results,
    starts: Sequence[str],
) -> dict[str, Any]:
    """Return what the template shows of all symbols in equal weight, and of the evidence."""
    evidence, whole = content["evidence"], content["equal_weight"]
    verdict = evidence["verdict"]
    pairs, margin = findings.sorted_pairs(verdict), verdict["rule"]["margin"]
    costs, paid = evidence["costs"], content["experiment"]["cost_bps"]
    own = whole["lstm"]["sharpe"]
    return {
        "margin": margin,
        "forest": Markup(charts.forest_figure(pairs, evidence["bands"], margin, "forest")),
        "pairs": findings.pairs_table(evidence),
        "strategies": tables.strategy_table(whole),
        "equity": Markup(curves.equity_figure(_accounts(results), starts, "equity-all")),
        "luck_figure": Markup(charts.luck_figure(evidence, own, symbols, "luck-figure")),
        "luck": findings.luck_table(evidence),
        "costs_figure": Markup(charts.costs_figure(costs, paid, "costs-figure")),
        "costs": findings.costs_table(costs),
        "years": findings.years_table(evidence["years"]),
        "regimes": findings.regimes_table(evidence["regimes"]) if evidence["regimes"] else None,
    }


def _accounts(results: Results) -> dict[str, pd.Series[float]]:
    """Return by strategy the account of all symbols in equal weight, 1 at the start."""
    index = {s: pd.DatetimeIndex(runs["lstm"].returns.index) for s, runs in results.items()}
    names = [name for name in LABELS if name in next(iter(results.values()))]
    columns = {
        symbol: np.array([runs[name].returns for name in names], np.float64)
        for symbol, runs in results.items()
    }
    accounts = (1.0 + pooled(columns, index)).cumprod()
    return {name: accounts[i] for i, name in enumerate(names)}


def _calls(symbols: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    calls = {symbol: facts["calls"] for symbol, facts in symbols.items()}
    bins = {symbol: found["calibration"] for symbol, found in calls.items()}
    known = any(bins.values())
    return {
        "table": findings.calls_table(calls),
        "figure": Markup(charts.calibration_figure(bins, "calibration")) if known else None,
    }


def _section(
    symbol: str,
    number: int,
    facts: Mapping[str, Any],
    runs: Mapping[str, Result],
    folds: Sequence[Mapping[str, Any]],
    alone: bool,
) -> dict[str, Any]:
    """Return what the template shows of one symbol; its equity only when there is no mix."""
    starts, models = [fold["test_start"] for fold in folds], facts["models"]
    equity = {name: result.equity for name, result in runs.items()}
    given = "given" in models
    loss = None
    if not given:
        loss = Markup(
            curves.loss_figure(
                models["history"], models["best_epoch"], models["head"], f"loss-{number}"
            )
        )
    return {
        "symbol": symbol,
        "number": number,
        "strategies": tables.strategy_table(facts["strategies"]),
        "equity": Markup(curves.equity_figure(equity, starts, f"equity-{number}"))
        if alone
        else None,
        "calls": Markup(curves.calls_figure(runs["lstm"], starts, f"calls-{number}")),
        "rules": fits.rules_table(facts["rules"], folds),
        "facts": fits.given_facts(models["given"]) if given else fits.trained_facts(models),
        "models": None if given else fits.models_table(models["models"]),
        "loss": loss,
        "idle": "" if given else IDLE[models["head"]],
        "refusals": tables.refusals(runs),
    }
