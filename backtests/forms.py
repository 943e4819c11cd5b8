"""A tutorial's own form beside the honest one, in words: for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["NO_LEAK", "NO_VERDICT", "OWN_FORM", "form_rows", "moves_text"]

OWN_FORM = "Tutorial's own"
"""What its column is called."""

NO_VERDICT = (
    "The tutorial's own form never enters a verdict: its figures stand here, and in no table above."
)
NO_LEAK = "No flaw of its own form is known to be a leak; it calls another move."

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


def form_rows(forms: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Yield for each figure its name, the honest form's, the tutorial's, and the difference.

    Errors of prices are left out where neither form forecasts any.
    """
    for label, place, form in ROWS:
        pair = [_at(forms[kind], place) for kind in ("honest", "own")]
        if place[0] == "forecast" and pair == [None, None]:
            continue
        honest, own = (_text(value, form) for value in pair)
        yield label, honest, own, _gap(pair, form)


def moves_text(forms: Mapping[str, Any]) -> str:
    """Return which move and which price each form is about."""
    said: list[str] = []
    for kind, name in (("honest", "Honest"), ("own", "Own")):
        figures = forms[kind]
        price = f"next {figures['field']}; " if figures["forecast"] else ""
        until = f"{figures['horizon']} bars" if figures["horizon"] > 1 else "1 bar"
        traded = figures["target"] == "open"
        since = "the next" if traded else f"this bar's {figures['field']}, before any order"
        since += f" {figures['field']}" if traded else ""
        said.append(f"{name}: {price}calls {until} from {since}")
    return ". ".join(said) + "."


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
