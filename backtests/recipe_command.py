"""The command `recipes`: the systems of public tutorials, and all that one of them says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from . import console
from . import options as o

if TYPE_CHECKING:
    from ..training.config import TrainingConfig
    from ..training.recipes import Recipe

__all__ = ["EXAMPLE", "recipes"]

EXAMPLE = "nextbar recipes stacked-60"


def recipes(name: o.RecipeName = None, as_json: o.AsJson = False) -> None:
    """List the tutorials whose systems can be compared, or show all of one.

    `nextbar compare --recipe NAME` runs one in its honest form, `--faithful` its own beside it.
    """
    from ..training.recipes import recipe_named
    from ..training.recipes import recipes as every

    chosen = every() if name is None else (recipe_named(name),)
    if as_json:
        dumped = [recipe.model_dump(mode="json") for recipe in chosen]
        console.say(json.dumps(dumped if name is None else dumped[0], indent=2))
    elif name is None:
        console.show(_list(chosen))
    else:
        _show(chosen[0])


def _list(chosen: Sequence[Recipe]) -> Table:
    title = "The systems of public tutorials"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("name", no_wrap=True)
    for header in ("title", "source"):
        table.add_column(header, overflow="fold")
    for recipe in chosen:
        table.add_row(recipe.name, recipe.title, recipe.source)
    return table


def _show(recipe: Recipe) -> None:
    """Print one recipe: what it is, its settings and what was wrong with it."""
    from ..training.flaws import KNOWN_FLAWS

    facts: dict[str, Any] = {
        "source": recipe.source,
        "split": f"{recipe.split:.1%} before the test",
    }
    if recipe.rivals:
        facts["rivals"] = recipe.rivals
    console.show(console.facts_table(f"{recipe.name}: {recipe.title}", facts))
    _section("On one split (--full)", _settings(recipe.full))
    other = {"folds": recipe.folds, "seeds": recipe.seeds}
    _section("Fold by fold, what is other", other | _changes(recipe.full, recipe.walk_forward))
    if recipe.search is not None:
        trials: dict[str, Any] = {"trials": recipe.search.trials}
        _section("Searched before that", trials | dict(recipe.search.space))
    if recipe.faithful is not None:
        own = _changes(recipe.full, recipe.faithful)
        _section("The tutorial's own form (--faithful), what is other", own)
        for flaw in recipe.faithful.flaws:
            console.show(f"{flaw}: {KNOWN_FLAWS[flaw].meaning}.")
    console.say("")
    for note in recipe.notes:
        console.show(f"- {note}")


def _section(title: str, facts: Mapping[str, Any]) -> None:
    console.say(f"\n{title}")
    console.show(console.facts_table("", facts))


def _settings(config: TrainingConfig) -> dict[str, Any]:
    """Return what differs from the defaults, and what always matters."""
    always = {"head", "features", "window", "units", "epochs", "batch_size"}
    shown = config.model_dump(mode="json")
    plain = type(config)().model_dump(mode="json")
    return {k: _word(v) for k, v in shown.items() if k in always or v != plain[k]}


def _changes(base: TrainingConfig, other: TrainingConfig) -> dict[str, Any]:
    before, after = base.model_dump(mode="json"), other.model_dump(mode="json")
    return {name: _word(value) for name, value in after.items() if value != before[name]}


def _word(value: Any) -> Any:
    return "none" if value is None else value
