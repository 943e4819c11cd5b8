"""The page: sections in order, put together from tables, figures and the template."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from ..common import STRATEGIES, pooled_returns
from ..result import Result
from . import figures, tables

__all__ = ["render_page"]


def render_page(content: Mapping[str, Any], results: Mapping[str, Mapping[str, Result]]) -> str:
    """Return the whole page; see `render`."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        amount=tables.amount, day=tables.day, percent=tables.percent, short=tables.short
    )
    template = environment.from_string(
        Path(__file__).with_name("report.html").read_text(encoding="utf-8")
    )
    # In the order asked for: that of a mapping read from a file is another.
    symbols = {symbol: content["symbols"][symbol] for symbol in content["experiment"]["symbols"]}
    bars = [facts["bars"] for facts in symbols.values()]
    return (
        template.render(
            content=content,
            experiment=content["experiment"],
            symbols=symbols,
            strategies=[(label, figures.COLOURS[name]) for name, label in STRATEGIES.items()],
            test_first=min(facts["test_first"] for facts in bars),
            test_last=max(facts["test_last"] for facts in bars),
            pooled=_pooled(content, results) if "equal_weight" in content else None,
            sections=[
                _section(symbol, number, facts, results[symbol])
                for number, (symbol, facts) in enumerate(symbols.items())
            ],
            settings=list(tables.setting_rows(content["experiment"])),
            plotly_js=Markup(figures.plotly_js()),
        )
        + "\n"
    )


def _pooled(
    content: Mapping[str, Any], results: Mapping[str, Mapping[str, Result]]
) -> dict[str, Any]:
    equity = {name: (1 + pooled_returns(results, name)).cumprod() for name in STRATEGIES}
    return {
        "metrics": tables.metric_rows(content["equal_weight"]),
        "equity": Markup(figures.equity_figure(equity, "equity-all")),
    }


def _section(
    symbol: str, number: int, facts: Mapping[str, Any], runs: Mapping[str, Result]
) -> dict[str, Any]:
    """Return what the template shows of one symbol; figures are numbered, as names may repeat."""
    model = facts["model"]
    equity = {name: result.equity for name, result in runs.items()}
    loss = None
    if "history" in model:
        loss = figures.loss_figure(model["history"], model["best_epoch"], f"loss-{number}")
    return {
        "symbol": symbol,
        "metrics": tables.metric_rows(facts["strategies"]),
        "equity": Markup(figures.equity_figure(equity, f"equity-{number}")),
        "calls": Markup(figures.calls_figure(runs["lstm"], f"calls-{number}")),
        "up_calls": facts["calls"]["up_calls"],
        "facts": tables.model_facts(model),
        "quality": tables.quality_rows(model, facts["calls"]),
        "loss": None if loss is None else Markup(loss),
        "refusals": tables.refusals(runs),
    }
