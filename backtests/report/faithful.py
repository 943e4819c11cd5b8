"""The page of a tutorial's own form, put together from the report's parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from ..faithful_words import NO_LEAK, OWN_FORM, form_rows, moves_text, worth_text
from ..forecasting import Forecasts
from . import curves, figures, tables
from .forecasts import forecast_section
from .headline import Headline
from .origin import origin_section
from .tables import Line, Table
from .templates import template_named
from .words import IDLE

__all__ = ["render_faithful_page"]

HEAD = ("Figure", "Honest", OWN_FORM, "Difference")


def render_faithful_page(content: Mapping[str, Any], forecasts: Mapping[str, Forecasts]) -> str:
    """Return the whole page; see `render_faithful`."""
    experiment = content["experiment"]
    return (
        template_named("faithful.html").render(
            symbols=experiment["symbols"],
            headline=_headline(content),
            flaws=list(content["flaws"].items()),
            no_leak=NO_LEAK,
            steered="validation-is-test" in content["flaws"],
            sections=[
                _section(symbol, number, content, forecasts.get(symbol))
                for number, symbol in enumerate(experiment["symbols"])
            ],
            origin=origin_section(experiment["origin"]),
            settings=list(tables.setting_rows(content["training"])),
            plotly_js=Markup(figures.plotly_js()),
        )
        + "\n"
    )


def _headline(content: Mapping[str, Any]) -> Headline:
    experiment, flaws = content["experiment"], content["flaws"]
    recipe, bars = experiment["origin"]["recipe"], [p["bars"] for p in content["symbols"].values()]
    first, last = min(b["test_first"] for b in bars), max(b["test_last"] for b in bars)
    changes: list[str] = [] if recipe is None else sorted(recipe["changes"])
    typed = f", but for what was typed ({', '.join(changes)})" if changes else ""
    mistakes = ", mistakes included" if flaws else ""
    epochs = max(len(p["learning"]["history"]) for p in content["symbols"].values())
    return Headline(
        word="Tutorial's own form",
        sentence="The tutorial's own form: no verdict is ever made of it.",
        meaning=(
            f"It was trained as the tutorial does it{typed}{mistakes}, and called the test bars of"
            " the honest form. Its figures are in no table of the comparison."
        ),
        tone="down" if flaws else "quiet",
        facts=[
            *([] if recipe is None else [(recipe["name"], "recipe")]),
            (tables.count(len(flaws)), f"known flaw{'s' if len(flaws) != 1 else ''}"),
            (f"{tables.day(first)} to {tables.day(last)}", "tested"),
            (f"{tables.amount(experiment['cost_bps'])} bps", "cost a side"),
            (tables.count(epochs), f"epoch{'s' if epochs != 1 else ''}"),
        ],
        counted_once=[],
    )


def _section(
    symbol: str, number: int, content: Mapping[str, Any], pictures: Forecasts | None
) -> dict[str, Any]:
    """Return what the template shows of one symbol."""
    part = content["symbols"][symbol]
    rows = [Line(label.strip(), cells) for label, *cells in form_rows(part)]
    learning, facts = part["learning"], part["forecasts"]
    if facts is not None:
        facts = facts | {"labels": {"lstm": f"{OWN_FORM} form"}}
    loss = curves.loss_figure(
        learning["history"], learning["best_epoch"], content["head"], f"loss-{number}"
    )
    return {
        "symbol": symbol,
        "number": number,
        "table": Table([(text, "") for text in HEAD], [rows]),
        "moves": moves_text(part),
        "worth": worth_text(part),
        "forecasts": forecast_section(facts, pictures, number),
        "loss": Markup(loss),
        "idle": IDLE[content["head"]],
    }
