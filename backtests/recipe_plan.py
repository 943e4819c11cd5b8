"""From a recipe and what was typed beside it to a plan."""

from __future__ import annotations

from collections.abc import Mapping, Set
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..signals.errors import ExperimentError
from .experiment import Experiment, shared_dates
from .origin import Origin, RecipeOrigin
from .plan import Plan

if TYPE_CHECKING:
    from ..training.config import TrainingConfig
    from ..training.recipes import Recipe
    from ..training.search_space import Search

__all__ = [
    "check_own_form",
    "check_recipe_options",
    "on_own_split",
    "recipe_fields",
    "search_typed",
    "with_recipe",
]

LAID_OUT = ("first_test", "folds", "rolling")
"""Options that lay folds out, which the recipe's own split does itself."""


def check_recipe_options(recipe: Recipe | None, typed: Set[str]) -> None:
    """Raise ExperimentError for typed options that contradict a recipe, or need one."""
    if recipe is None:
        if alone := sorted({"faithful", "full"} & typed):
            raise ExperimentError(
                f"--{alone[0]} is for a tutorial's recipe: name one with --recipe; `nextbar"
                " recipes` lists them."
            )
        return
    if "model" in typed:
        raise ExperimentError("--recipe trains models of its own: leave --model out.")
    if "faithful" in typed and recipe.faithful is None:
        raise ExperimentError(
            f"recipe {recipe.name} has no form of the tutorial's own to show: leave --faithful out."
        )
    whole = [option for option in ("faithful", "full") if option in typed]
    if whole and (extra := [name for name in LAID_OUT if name in typed]):
        raise ExperimentError(
            f"--{extra[0].replace('_', '-')} lays folds out, and --{whole[0]} takes the recipe's"
            " own, single split: leave one of them out."
        )


def check_own_form(recipe: Recipe, own: TrainingConfig) -> None:
    """Raise ExperimentError when the tutorial's own form would be without its flaws."""
    if recipe.faithful is not None and own.flaws != recipe.faithful.flaws:
        raise ExperimentError(
            "--setting flaws: what the tutorial's mistakes were worth is what --faithful shows:"
            " leave one of them out."
        )


def recipe_fields(recipe: Recipe, *, full: bool) -> dict[str, Any]:
    """Return the fields of a plan that a recipe fills: its walk-forward form, or all of it.

    A rival whose package is not installed is left out.
    """
    from ..training.rivals import RIVALS

    packages = {name: RIVALS[name].package for name in recipe.rivals}
    return {
        "name": f"{recipe.name}-full" if full else recipe.name,
        "folds": 1 if full else recipe.folds,
        "seeds": 1 if full else recipe.seeds,
        "training": recipe.full if full else recipe.walk_forward,
        "rivals": tuple(name for name, need in packages.items() if not need or find_spec(need)),
        "search": recipe.search,
    }


def on_own_split(plan: Plan, recipe: Recipe, bars: Mapping[str, pd.DataFrame]) -> Plan:
    """Return `plan` with the recipe's own split of the dates that all symbols share."""
    return plan.model_copy(update={"folds": (recipe.fold(shared_dates(bars)),)})


def with_recipe(experiment: Experiment, recipe: Recipe, plan: Plan) -> Experiment:
    """Return `experiment` with the recipe of its `plan` named as the origin of its settings."""
    own_split = not isinstance(plan.folds, int)
    base = (recipe.full if own_split else recipe.walk_forward).model_dump(mode="json")
    typed = experiment.training.model_dump(mode="json")
    origin = RecipeOrigin(
        **recipe.model_dump(include={"name", "title", "source", "notes"}),
        changes={name: value for name, value in typed.items() if value != base[name]},
    )
    return experiment.model_copy(update={"origin": Origin(recipe=origin)})


def search_typed(
    search: Search | None, typed: Set[str], storage: str | None, trials: int | None
) -> Search | None:
    """Return the search with what was typed of it.

    Raises
    ------
    ExperimentError
        When there is no search to which it could belong.
    """
    given = {"storage": storage, "trials": trials}
    changes = {name: value for name, value in given.items() if name in typed}
    if search is None and changes:
        raise ExperimentError(
            f"--{next(iter(changes))} is for a search: take the recipe 'search', or write a table"
            " [search] into an experiment file."
        )
    return search and search.model_copy(update=changes)
