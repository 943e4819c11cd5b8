"""What the cards of the models in use say: a file cannot be trained again, its card can be read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...signals.folder import inside
from ...signals.latest import open_model
from ...signals.model import Model
from .findings import LEAKS, Finding, Grade

if TYPE_CHECKING:
    from ...signals.card import Card
    from .lookahead import Bench

__all__ = ["AS_THEY_ARE", "cards_of", "check_cards", "level_model"]

Judged = tuple[int, list[Finding]]

AS_THEY_ARE = (
    "prices go in as they are, so a level outside the training range, or a later adjustment for"
    " splits, changes its calls: use ratios of prices, or scaling = 'window'"
)

UNKNOWN = "a mistake that this version of nextbar does not know, so it may be a leak"


def cards_of(path: str | Path) -> dict[str, Card]:
    """Return the card of a model file, or those of all models of a chain, by file name."""
    from ...signals.card import unseal  # brings pydantic

    model = open_model(path)
    if isinstance(model, Model):
        return {model.path.name: model.card}
    files = {name: inside(model.path, name) for name in model.files}
    return {name: unseal(file.read_bytes(), str(file)) for name, file in files.items()}


def check_cards(bench: Bench) -> Judged:
    """Look for the mistakes that the models in use name on their cards."""
    from ...training.flaws import KNOWN_FLAWS

    meanings: dict[str, Any] = dict(KNOWN_FLAWS.items())
    found: dict[str, Finding] = {}
    cards = [
        (file, card)
        for path in bench.whole.models.values()
        for file, card in cards_of(path).items()
    ]
    for file, card in cards:
        for flaw in card.known_flaws:
            known = meanings.get(flaw)
            grade: Grade = "leak" if known is None or known.leak else "fragile"
            cause = f"{flaw}: {UNKNOWN}" if known is None else known.meaning
            name = flaw if flaw in LEAKS else "known-flaw"
            where = f"card: {file}, known flaws"
            found.setdefault(flaw, Finding("card", name, grade, where, None, (flaw, "none"), cause))
    return len(cards), list(found.values())


def level_model(bench: Bench) -> str | None:
    """Return the first model in use that sees prices as they are, by its card."""
    every = (cards_of(path) for path in bench.whole.models.values())
    return next(
        (file for cards in every for file, card in cards.items() if card.price_levels), None
    )
