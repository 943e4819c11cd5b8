"""Where the settings of a comparison came from, as the report tells it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..origin import RecipeOrigin
from .tables import NOT_DEFINED, Line, Table, count

__all__ = ["OriginSection", "origin_section"]


class OriginSection(NamedTuple):
    """What the template shows of a recipe, of a search, or of both."""

    settings: str
    """One sentence; empty without a recipe."""
    recipe: list[tuple[str, str]]
    """Name and value of each fact on the recipe; none without one."""
    notes: list[str]
    """What the tutorial left out or did wrongly, and what was chosen in its place."""
    search: str
    """One sentence; empty without a search."""
    trials: Table | None


def origin_section(origin: Mapping[str, Any]) -> OriginSection | None:
    """Return what is told of an experiment's `origin`; None where there is nothing to tell."""
    recipe, search = origin["recipe"], origin["search"]
    if recipe is None and search is None:
        return None
    settings = "" if recipe is None else RecipeOrigin.model_validate(recipe).sentence
    said = "" if search is None else _sentence(search)
    return OriginSection(
        settings=settings,
        recipe=[] if recipe is None else _facts(recipe),
        notes=[] if recipe is None else list(recipe["notes"]),
        search=said,
        trials=None if search is None else _trials(search),
    )


def _facts(recipe: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [("Recipe", recipe["name"]), ("Title", recipe["title"]), ("Source", recipe["source"])]


def _sentence(search: Mapping[str, Any]) -> str:
    number = len(search["trials"])
    trials = f"{count(number)} trial{'s' if number != 1 else ''}"
    return f"Settings chosen by a search of {trials} on {search['symbol']}, before the first test."


def _trials(search: Mapping[str, Any]) -> Table:
    """Return a row for each trial, with a column for each setting that was searched."""
    trials: Sequence[Mapping[str, Any]] = search["trials"]
    names = sorted({name for trial in trials for name in trial["params"]})
    settings = [name.replace("_", " ").capitalize() for name in names]
    heads = [("Trial", ""), ("State", ""), ("Epochs", ""), *((name, "") for name in settings)]
    rows: list[Line] = []
    for trial in trials:
        chosen = trial["number"] == search["number"]
        cells = [
            trial["state"],
            count(trial["epochs"]),
            *(_setting(trial["params"].get(name)) for name in names),
            NOT_DEFINED if trial["value"] is None else f"{trial['value']:.6g}",
        ]
        note = trial["error"] or ("chosen" if chosen else "")
        rows.append(Line(str(trial["number"]), cells, note, chosen))
    return Table([*heads, ("Loss", "validation")], [rows], 1)


def _setting(value: Any) -> str:
    if value is None:
        return NOT_DEFINED
    return f"{value:.4g}" if isinstance(value, float) else str(value)
