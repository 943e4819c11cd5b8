"""Where the settings of a comparison came from: a tutorial's recipe, a search, or neither."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

__all__ = ["Origin", "RecipeOrigin", "SearchOrigin"]

FROZEN = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class RecipeOrigin(BaseModel):
    """A recipe, as `nextbar recipes` shows it."""

    model_config = FROZEN

    name: str
    title: str
    source: str
    """Where the system was described, when, and on which bars, in words."""
    notes: tuple[str, ...]
    """What the tutorial left out or did wrongly, and what nextbar had to choose."""
    changes: dict[str, Any] = {}
    """Settings of the training that were typed in place of the recipe's."""

    @property
    def sentence(self) -> str:
        """Whose settings they are, and what is other."""
        typed = ", ".join(f"{name} = {value}" for name, value in sorted(self.changes.items()))
        but = f", but for what was typed: {typed}" if typed else ""
        return f"Settings of the recipe {self.name} ({self.title}){but}."


class SearchOrigin(BaseModel):
    """A search of training settings, on bars before the first test alone."""

    model_config = FROZEN

    symbol: str
    """Whose bars it saw."""
    number: int
    """Of the trial with the least validation loss, whose settings were taken."""
    validation_loss: float
    trials: tuple[dict[str, Any], ...]
    """All of them: number, state, params, value, epochs, error."""


class Origin(BaseModel):
    """What is told of the settings; it changes no figure."""

    model_config = FROZEN

    recipe: RecipeOrigin | None = None
    search: SearchOrigin | None = None
