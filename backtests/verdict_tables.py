"""What the terminal shows of a comparison: the table, the pairs, the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from .common import LABELS, PLACEBOS
from .console import say, show

if TYPE_CHECKING:
    from .comparison import Comparison

__all__ = ["comparison_tables", "show_comparison"]

COLUMNS = (
    ("total_return", "Return", "{:.1%}"),
    ("cagr", "CAGR", "{:.1%}"),
    ("volatility", "Volat.", "{:.1%}"),
    ("sharpe", "Sharpe", "{:.2f}"),
    ("max_drawdown", "Max DD", "{:.1%}"),
    ("exposure", "In mkt", "{:.1%}"),
    ("trades", "Trades", "{:d}"),
    ("rejected_orders", "Ref.", "{:d}"),
)


FORECASTS = (
    ("rmse", "RMSE", "{:.4g}"),
    ("naive_rmse", "Naive", "{:.4g}"),
    ("mase", "MASE", "{:.2f}"),
    ("theils_u", "U", "{:.2f}"),
    ("hit_rate", "Right", "{:.1%}"),
    ("base_rate", "Base", "{:.1%}"),
)


def show_comparison(done: Comparison) -> None:
    """Print the tables of a comparison, its verdict, and where its files are."""
    for table in comparison_tables(done.summary):
        show(table)
    for line in _lines(done.summary):
        show(line)
    if done.trials > done.summary["trials"]:
        show(
            f"Since then: {done.trials} configurations were tried on these days by now; the figures"
            f" above are corrected for {done.summary['trials']}."
        )
    report = done.folder / "report.html"
    say(f"{'Found finished' if done.resumed else 'Written'}: {report}")


def comparison_tables(summary: Mapping[str, Any]) -> Iterator[Table]:
    """Yield the table of all symbols, or of each when they have no sensible mean; then pairs."""
    experiment, symbols = summary["experiment"], summary["symbols"]
    cost = f"net of {experiment['cost_bps']:g} bps a side"
    if summary["equal_weight"] is None or len(symbols) == 1:
        for symbol in experiment["symbols"]:
            bars = symbols[symbol]["bars"]
            dates = f"{bars['test_first'][:10]} to {bars['test_last'][:10]}"
            title = f"{symbol}, {dates} ({bars['test_bars']} bars), {cost}"
            yield _strategy_table(title, symbols[symbol]["strategies"])
    else:
        title = f"All {len(symbols)} symbols in equal weight, {_dates(summary)}, {cost}"
        yield _strategy_table(title, summary["equal_weight"])
    for symbol in experiment["symbols"]:
        if "forecasts" in symbols[symbol]:
            yield _forecast_table(symbol, symbols[symbol]["forecasts"])
    if summary["evidence"] is not None:
        yield _pairs_table(summary["evidence"]["verdict"]["pairs"])


def _dates(summary: Mapping[str, Any]) -> str:
    bars = [part["bars"] for part in summary["symbols"].values()]
    first, last = min(b["test_first"] for b in bars), max(b["test_last"] for b in bars)
    return f"{first[:10]} to {last[:10]}"


def _strategy_table(title: str, strategies: Mapping[str, Mapping[str, Any]]) -> Table:
    table = _table(title, "Strategy")
    columns = [column for column in COLUMNS if column[0] in strategies["lstm"]]
    for _, header, _ in columns:
        table.add_column(header, justify="right", no_wrap=True)
    shown = [name for name in LABELS if name in strategies]
    last = [name for name in shown if name not in PLACEBOS][-1]
    for name in shown:
        if name == next(iter(PLACEBOS)):
            table.add_section()
        cells = (_text(strategies[name][key], form) for key, _, form in columns)
        table.add_row(LABELS[name], *cells, end_section=name == last)
    table.caption = (
        "In mkt: share of bars with a position. Ref.: refused orders. Below the line: impossible,"
        " wrong or empty on purpose."
    )
    return table


def _forecast_table(symbol: str, facts: Mapping[str, Any]) -> Table:
    """Return the errors of all forecasters beside the naive forecast's, first column ahead."""
    field, ahead = facts["columns"][0]
    bars = "the next bar" if ahead == 1 else f"{ahead} bars ahead"
    table = _table(f"Forecasts of {symbol}, {field} of {bars}, beside today's price", "Forecaster")
    last = next(iter(facts["quality"].values()))["steps"][-1]["ahead"]
    headers = [header for _, header, _ in FORECASTS]
    headers += [f"MASE at {last}"] if last > ahead else []
    for header in headers:
        table.add_column(header, justify="right", no_wrap=True)
    for name in sorted(facts["quality"], key=lambda name: name != "lstm"):
        found = facts["quality"][name]
        cells = [_text(found[key], form) for key, _, form in FORECASTS]
        cells += [_text(found["steps"][-1]["mase"], "{:.2f}")] if last > ahead else []
        table.add_row(facts["labels"][name], *cells)
    table.caption = (
        "Right: the sign from today's price, which no order earns. U: the error over the naive"
        " one's; MASE: over the naive one's on the training bars, where prices may have been lower."
    )
    if last > ahead:
        table.caption += f" MASE at {last}: of the forecast {last} bars ahead."
    return table


def _pairs_table(pairs: list[Mapping[str, Any]]) -> Table:
    table = _table("Lead of the LSTM in annual Sharpe ratio", "Over")
    for header in ("Lead", "90 % range", "Could show", "Verdict"):
        table.add_column(header, justify="left" if header == "Verdict" else "right", no_wrap=True)
    for pair in pairs:
        low, high = pair["interval"]
        table.add_row(
            pair["label"],
            f"{pair['difference']:+.2f}",
            f"{low:+.2f} to {high:+.2f}",
            f"{pair['detectable']:.2f}",
            pair["verdict"],
        )
    table.caption = "Could show: the lead that would have shown in four of five such histories."
    return table


def _table(title: str, first: str) -> Table:
    # Narrow enough for a terminal of 80 columns.
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
    table.caption_justify = "left"
    table.add_column(first, no_wrap=True)
    return table


def _lines(summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield the sentences below the tables, the verdict last."""
    experiment = summary["experiment"]
    folds, seeds = len(experiment["folds"]), experiment["seeds"]
    for symbol in experiment["symbols"]:
        calls = summary["symbols"][symbol]["calls"]
        if calls["calls"]:
            commoner = max(calls["base_rate"], 1 - calls["base_rate"])
            yield (
                f"{symbol}: {calls['accuracy']:.1%} of {calls['calls']} calls came true; always"
                f" calling the commoner way would have scored {commoner:.1%}."
            )
        else:
            yield f"{symbol}: the LSTM made no calls."
        said = summary["symbols"][symbol].get("forecasts", {}).get("sentences", {})
        if "lstm" in said:
            yield f"{symbol}, the LSTM's forecast: {said['lstm']}"
    for caution in summary["cautions"]:
        yield f"Caution: {caution}"
    how = "the given model" if experiment["model_sha256"] else f"seeds a fold: {seeds}"
    yield (
        f"Walk-forward: {folds} fold{'s' * (folds > 1)}, {how}; decided at the close, filled at the"
        f" next open. LSTM configurations tried on these days: {summary['trials']}."
    )
    if summary["evidence"] is None:
        yield f"Verdict: none for all symbols together: {summary['obstacle']}."
        return
    verdict = summary["evidence"]["verdict"]
    for name, twin in verdict["dropped"].items():
        yield f"{LABELS[name]} had the returns of {LABELS[twin]}: the two are counted once."
    halves = summary["evidence"]["halves"]
    if halves["decayed"]:
        yield f"{halves['sentence'][0].upper()}{halves['sentence'][1:]}."
    yield f"Verdict: {verdict['sentence']}."


def _text(value: float | None, form: str) -> str:
    if value is None:
        return "n/a"
    # Only perfect foresight gets there: decimals would push other columns off the terminal.
    if form.endswith("%}") and abs(value) >= 1e6:
        return f"{value:.0e}"
    return f"{value:.0%}" if form.endswith("%}") and abs(value) >= 100 else form.format(value)
