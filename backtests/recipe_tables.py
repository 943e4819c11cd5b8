"""What the terminal shows below a comparison: whose settings they are, a tutorial's own form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.table import Table

from .console import say, show
from .faithful_words import NO_LEAK, NO_VERDICT, OWN_FORM, form_rows, moves_text, worth_text
from .origin import Origin

__all__ = ["faithful_table", "show_origin"]


def show_origin(origin: Origin, faithful: Mapping[str, Any] | None) -> None:
    """Print a search and a recipe's notes, where there are such, and its own form's figures."""
    if origin.recipe:
        show(origin.recipe.sentence)
    if found := origin.search:
        best = found.trials[found.number]
        params = ", ".join(f"{name} = {_plain(value)}" for name, value in best["params"].items())
        show(
            f"Search on {found.symbol} before the first test: of {len(found.trials)} trials number"
            f" {found.number} had the least validation loss, {found.validation_loss:.6g}: {params}."
        )
    if faithful:
        for symbol, forms in faithful["symbols"].items():
            show(faithful_table(symbol, forms))
            show(f"{symbol}: {worth_text(forms)}")
        for name, meaning in faithful["flaws"].items():
            show(f"Flaw {name}: {meaning}.")
        if not faithful["flaws"]:
            show(NO_LEAK)
    for note in origin.recipe.notes if origin.recipe else ():
        show(f"The tutorial: {note}")
    if faithful:
        show(NO_VERDICT)
        say(f"With pictures: {faithful['page']}")


def faithful_table(symbol: str, forms: Mapping[str, Any]) -> Table:
    """Return the figures of the honest form, of the tutorial's, and what lies between them."""
    title = f"{symbol}: what the tutorial's own form shows, same test bars"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    for header in ("Honest", OWN_FORM, "Difference"):
        table.add_column(header, justify="right", no_wrap=True)
    for row in form_rows(forms):
        table.add_row(*row)
    table.caption = moves_text(forms)
    table.caption_justify = "left"
    return table


def _plain(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
