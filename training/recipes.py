"""Recipes: the systems of public tutorials, each one a TOML file in the folder ``recipes``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..signals.errors import ExperimentError, did_you_mean
from .config import Fold, TrainingConfig
from .search_space import Search
from .splits import EMBARGO, FEWEST_ROWS

__all__ = ["Recipe", "read_recipe", "recipe_named", "recipes"]

VALIDATION_SHARE = 0.1
"""Share of the bars before the test that a recipe's own split keeps for the validation part."""

FORMS = ("walk_forward", "faithful")
"""Tables of a file that change its table ``training``."""

COUNTS = ("folds", "seeds")
"""What the table ``walk_forward`` says besides the training's own settings."""


class Recipe(BaseModel):
    """A tutorial's system: its network and training in an honest form, and in its own.

    In a file the table ``training`` holds the honest form. The tables ``walk_forward`` and
    ``faithful`` hold only what is other there; ``walk_forward`` holds `folds` and `seeds` as well.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    title: str
    source: str
    """Where the system was described, when, and on which bars, in words."""
    notes: tuple[str, ...]
    """What the tutorial left out or did wrongly, leaks or not, and what nextbar had to choose."""
    split: float = Field(gt=0, lt=1)
    """Share of the bars that lies before the test on the tutorial's own, single split."""
    folds: int = Field(ge=1)
    seeds: int = Field(ge=1, le=100)
    """Both for the walk-forward form."""
    full: TrainingConfig
    """The honest form with the tutorial's own epochs and batches, for one split."""
    walk_forward: TrainingConfig
    """The honest form, cheap enough to be trained again and again."""
    faithful: TrainingConfig | None
    """The tutorial's own form, flaws included; None where it would be no other."""
    rivals: tuple[str, ...] = ()
    """Classical forecasters that join the comparison."""
    search: Search | None = None
    """Settings to search before the comparison."""

    @model_validator(mode="before")
    @classmethod
    def _merged(cls, content: Any) -> Any:
        """Make three configs of a file's tables."""
        if not isinstance(content, Mapping) or "full" in content:
            return content  # pyright: ignore[reportUnknownVariableType]
        given: dict[str, Any] = dict(content)  # pyright: ignore[reportUnknownArgumentType]
        base: dict[str, Any] = given.pop("training", {})
        changes: dict[str, dict[str, Any]] = {name: dict(given.pop(name, {})) for name in FORMS}
        counts = {name: changes["walk_forward"].pop(name) for name in COUNTS}
        faithful = base | changes["faithful"] if changes["faithful"] else None
        walk_forward = base | changes["walk_forward"]
        forms = {"full": base, "walk_forward": walk_forward, "faithful": faithful}
        return given | counts | forms

    @field_validator("full", "walk_forward")
    @classmethod
    def _honest(cls, config: TrainingConfig) -> TrainingConfig:
        if config.flaws:
            raise ValueError("flaws belong into the table faithful")
        return config

    def fold(self, dates: pd.DatetimeIndex) -> Fold:
        """Return the tutorial's own split of `dates`, with a validation part before the test.

        Its last labels are purged, so it is longer where a label lasts many bars.

        Raises
        ------
        ExperimentError
            When there are too few dates.
        """
        before = round(len(dates) * self.split)
        config = self.faithful or self.full
        purged = config.horizon + config.augment + EMBARGO + 1
        check = max(int(before * VALIDATION_SHARE), FEWEST_ROWS + purged)
        if before - check < config.window + purged + FEWEST_ROWS or before >= len(dates):
            raise ExperimentError(
                f"recipe {self.name}: {len(dates)} dates are too few for its own split, which has"
                f" {before} before the test. Load a longer history."
            )
        start, test = dates[before - check].date(), dates[before].date()
        if not dates[0].date() < start < test:
            raise ExperimentError(
                f"recipe {self.name}: the parts of its own split begin on days of their own, and"
                f" {len(dates.normalize().unique())} days are too few. Load a longer history."
            )
        return Fold(validation_start=start, test_start=test)


def read_recipe(path: str | Path) -> Recipe:
    """Read a recipe; it is called as its file is.

    Raises
    ------
    ExperimentError
        When the file cannot be read, is no TOML, or holds what no recipe can.
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        return Recipe.model_validate({"name": path.stem} | content)
    except OSError as error:
        raise ExperimentError(f"{path}: cannot be read: {error.strerror or error}.") from error
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(map(str, problem["loc"]))
        reason = problem["msg"].removeprefix("Value error, ").rstrip(".")
        raise ExperimentError(f"{path}: {field}: {reason}, found {problem['input']!r}.") from error
    except (ValueError, KeyError) as error:
        raise ExperimentError(f"{path}: no recipe: {error}.") from error


def recipes() -> tuple[Recipe, ...]:
    """Return all recipes by name."""
    return tuple(read_recipe(path) for _, path in sorted(_files().items()))


def recipe_named(name: str) -> Recipe:
    """Return the recipe of that name.

    Raises
    ------
    ExperimentError
        When there is none: it says the nearest one.
    """
    known = _files()
    if name not in known:
        raise ExperimentError(f"no recipe is called {name!r}.{did_you_mean(name, known)}")
    return read_recipe(known[name])


def _files() -> dict[str, Path]:
    folder = Path(str(files(__package__ or "") / "recipes"))
    return {path.stem: path for path in folder.glob("*.toml")}
