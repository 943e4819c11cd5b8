"""What the terminal shows below a comparison: whose settings they are, a tutorial's own form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table

from .console import show
from .origin import Origin

__all__ = ["faithful_tables", "show_origin"]

ROWS = (
    ("Next bar: RMSE", ("forecast", "rmse"), "{:.4g}"),
    ("Next bar: naive RMSE", ("forecast", "naive_rmse"), "{:.4g}"),
    ("Next bar: MASE", ("forecast", "mase"), "{:.3f}"),
    ("Right calls, traded move", ("traded", "accuracy"), "{:.1%}"),
    ("  its commoner side", ("traded", "base_rate"), "{:.1%}"),
    ("Right calls, own label", ("label", "accuracy"), "{:.1%}"),
    ("  its commoner side", ("label", "base_rate"), "{:.1%}"),
    ("Net total return", ("total_return",), "{:.1%}"),
    ("Net Sharpe ratio", ("sharpe",), "{:.2f}"),
)
"""What is shown of both forms: its name, where it is found, and how it is written."""

NO_VERDICT = (
    "The tutorial's own form never enters a verdict: its figures stand here, and in no table above."
)


def show_origin(origin: Origin, faithful: Mapping[str, Any] | None) -> None:
    """Print a search and a recipe's notes, where there are such, and its own form's figures."""
    if found := origin.search:
        best = found.trials[found.number]
        params = ", ".join(f"{name} = {_plain(value)}" for name, value in best["params"].items())
        show(
            f"Search on {found.symbol} before the first test: of {len(found.trials)} trials number"
            f" {found.number} had the least validation loss, {found.validation_loss:.6g}: {params}."
        )
    if faithful:
        for table in faithful_tables(faithful):
            show(table)
        for name, meaning in faithful["flaws"].items():
            show(f"Flaw {name}: {meaning}.")
        if not faithful["flaws"]:
            show("No flaw of its own form is known to be a leak; it calls another move.")
    for note in origin.recipe.notes if origin.recipe else ():
        show(f"The tutorial: {note}")
    if faithful:
        show(NO_VERDICT)


def faithful_tables(facts: Mapping[str, Any]) -> Iterator[Table]:
    """Yield for each symbol the figures of the honest form, of the tutorial's, and between them."""
    for symbol, forms in facts["symbols"].items():
        title = f"{symbol}: what the tutorial's own form shows, same test bars"
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("", no_wrap=True)
        for header in ("Honest", "Tutorial's own", "Difference"):
            table.add_column(header, justify="right", no_wrap=True)
        for label, place, form in ROWS:
            pair = [_at(forms[kind], place) for kind in ("honest", "own")]
            if place[0] == "forecast" and pair == [None, None]:
                continue
            table.add_row(label, *(_text(value, form) for value in pair), _gap(pair, form))
        table.caption = _caption(forms)
        table.caption_justify = "left"
        yield table


def _at(figures: Mapping[str, Any], place: Sequence[str]) -> float | None:
    value: Any = figures
    for name in place:
        value = None if value is None else value[name]
    return value


def _text(value: float | None, form: str) -> str:
    return "n/a" if value is None else form.format(value)


def _gap(pair: Sequence[float | None], form: str) -> str:
    honest, own = pair
    if honest is None or own is None:
        return "n/a"
    return form.replace("{:", "{:+").format(own - honest)


def _caption(forms: Mapping[str, Any]) -> str:
    """Return which move and which price each form is about."""
    said: list[str] = []
    for kind, name in (("honest", "Honest"), ("own", "own")):
        figures = forms[kind]
        price = f"next {figures['field']}; " if figures["forecast"] else ""
        until = f"{figures['horizon']} bars" if figures["horizon"] > 1 else "1 bar"
        traded = figures["target"] == "open"
        since = "the next" if traded else f"this bar's {figures['field']}, before any order"
        since += f" {figures['field']}" if traded else ""
        said.append(f"{name}: {price}calls {until} from {since}")
    return ". ".join(said) + "."


def _plain(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
