"""A tutorial's own form beside the honest one, in words: for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["NO_LEAK", "NO_VERDICT", "OWN_FORM", "form_rows", "moves_text", "worth_text"]

OWN_FORM = "Tutorial's own"
"""What its column is called."""

NO_VERDICT = (
    "The tutorial's own form never enters a verdict: its figures stand here, and in no table above."
)
NO_LEAK = "No flaw of its own form is known to be a leak; it calls another move."

PRICE, LABEL = ("field",), ("field", "horizon", "target")
"""What must be the same in both forms for a difference to mean anything: the price that is
forecast, or the move that is called."""

ROWS = (
    ("Next bar: RMSE", ("forecast", "rmse"), "{:.4g}", PRICE),
    ("Next bar: naive RMSE", ("forecast", "naive_rmse"), "{:.4g}", PRICE),
    ("Next bar: Theil's U", ("forecast", "theils_u"), "{:.2f}", ()),
    ("Next bar: MASE", ("forecast", "mase"), "{:.2f}", ()),
    ("Up calls", ("up_calls",), "{:.1%}", ()),
    ("Right calls, traded move", ("traded", "accuracy"), "{:.1%}", ("horizon",)),
    ("  its commoner side", ("traded", "base_rate"), "{:.1%}", ("horizon",)),
    ("Right calls, own label", ("label", "accuracy"), "{:.1%}", LABEL),
    ("  its commoner side", ("label", "base_rate"), "{:.1%}", LABEL),
    ("Net total return", ("total_return",), "{:.1%}", ()),
    ("Net Sharpe ratio", ("sharpe",), "{:.2f}", ()),
)
"""What is shown of both forms: its name, where it is found, how it is written, and what must be the
same for a difference."""


def form_rows(forms: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Yield for each figure its name, the honest form's, the tutorial's, and the difference.

    Errors of prices are left out where neither form forecasts any. There is no difference between
    errors of two prices, or between calls of two moves.
    """
    for label, place, form, same in ROWS:
        pair = [_at(forms[kind], place) for kind in ("honest", "own")]
        if place[0] == "forecast" and pair == [None, None]:
            continue
        honest, own = (_text(value, form) for value in pair)
        alike = all(forms["honest"][name] == forms["own"][name] for name in same)
        yield label, honest, own, _gap(pair, form) if alike else "n/a"


def worth_text(forms: Mapping[str, Any]) -> str:
    """Return in words what was gained or lost by the tutorial's own form."""
    honest, own = forms["honest"], forms["own"]
    said = list(_one_way(honest["up_calls"], own["up_calls"]))
    errors = [_at(part, ("forecast", "theils_u")) for part in (own, honest)]
    if None not in errors:
        said.append(
            "The error of the own form is {:.2f} times that of repeating the price, that of the"
            " honest one {:.2f} times".format(*errors)
        )
    if honest["sharpe"] is not None and own["sharpe"] is not None:
        gain = own["sharpe"] - honest["sharpe"]
        said.append(f"Its Sharpe ratio is {abs(gain):.2f} {'higher' if gain > 0 else 'lower'}")
    said.append("This is what all that differs is worth together, on these bars only")
    return ". ".join(said) + "."


def _one_way(honest: float | None, own: float | None) -> Iterator[str]:
    """Yield which form calls the same on every bar, and so says nothing of direction."""
    ways = {0.0: "down", 1.0: "up"}
    if honest == own and own in ways:
        yield f"Both forms call {ways[own]} on every bar, so right calls say nothing"
        return
    for name, share in (("honest", honest), ("own", own)):
        if share in ways:
            yield f"The {name} form calls {ways[share]} on every bar"


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
    if form.endswith("%}"):
        return f"{100 * (own - honest):+z.1f} pp"
    return form.replace("{:", "{:+").format(own - honest)
