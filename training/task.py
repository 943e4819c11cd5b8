"""What one model is trained on: the bars before its test, cut, labelled, split and purged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import JsonValue

from ..signals.arrays import FloatArray
from ..signals.bars import COLUMNS, bars_digest
from ..signals.errors import BarsError
from ..signals.model import windows_of
from .certify import Facts, training_hash
from .config import TrainingConfig
from .labels import direction_labels
from .loop import Part
from .splits import Split, chronological_split

__all__ = ["Dates", "Kind", "Task", "make_task"]

Kind = Literal["lstm", "shuffled", "logistic"]
"""`lstm`: the network; `shuffled`: the same on labels in random order, a placebo that can have
learned nothing; `logistic`: a logistic regression on the network's own features."""

VALIDATION_FRACTION = 0.2
"""Share of the bars that the validation part takes when its start is not named."""

Date = str | pd.Timestamp | None


@dataclass(frozen=True)
class Dates:
    """Where the parts begin; None takes the default."""

    train_start: Date = None
    validation_start: Date = None
    test_start: Date = None


@dataclass(frozen=True)
class Task:
    """A training, all decided: two equal tasks give equal model files, byte for byte."""

    bars: pd.DataFrame
    """Every bar that training sees, the last label's included, and no later one."""
    config: TrainingConfig
    kind: Kind
    split: Split
    up: FloatArray
    """One label for each bar, as the training will be told it."""
    settings: dict[str, JsonValue]
    """All of the above but the bars, for the card's `training_hash`."""

    def part(self, rows: npt.NDArray[np.intp]) -> Part:
        """Return the windows that end on `rows`, and their labels."""
        window = self.config.window
        windows = windows_of(self.bars[list(COLUMNS)].to_numpy(np.float32), window)
        return Part(windows[rows - (window - 1)], self.up[rows])

    def facts(self, architecture: str) -> Facts:
        """Return what the card says of the training of a model of this `architecture`."""
        return Facts(
            architecture=architecture,
            recurrent=None if self.kind == "logistic" else "LSTM",
            horizon=self.config.horizon,
            target=self.config.target,
            features=self.config.features,
            uses_volume=self.config.uses_volume,
            training=self.settings,
        )

    @property
    def training_hash(self) -> str:
        """What the card of the trained model will say."""
        return training_hash(self.facts(""), bars_digest(self.bars))


def make_task(
    bars: pd.DataFrame, config: TrainingConfig, dates: Dates, kind: Kind = "lstm"
) -> Task:
    """Cut checked `bars` at `dates`, label and split them.

    Raises
    ------
    BarsError
        When a date is none, or there are too few bars or of one class only.
    """
    bars, validation, test = _between(bars, dates)
    if config.uses_volume and not (bars["volume"] > 0).any():
        raise BarsError(
            "the feature 'volume' needs traded volume, and every bar has 0. Leave it out of"
            " features."
        )
    labels = direction_labels(bars, config.horizon, config.target)
    split = chronological_split(
        labels, window=config.window, validation_start=validation, test_start=test
    )
    up = labels["up"].to_numpy(np.float64, copy=True)
    if kind == "shuffled":
        _shuffle(up, split, config.seed)
    named = {"validation_start": str(validation), "test_start": str(test), "kind": kind}
    return Task(
        bars=bars.iloc[: split.last_label + 1],
        config=config,
        kind=kind,
        split=split,
        up=up,
        settings=config.model_dump(mode="json") | named,
    )


def _shuffle(up: FloatArray, split: Split, seed: int) -> None:
    """Put the labels of each part in random order, each within its own rows."""
    # A stream of its own: the order of rows within an epoch is drawn from the plain seed.
    generator = np.random.default_rng((seed, 1))
    for rows in (split.train, split.validation):
        up[rows] = generator.permutation(up[rows])


def _between(bars: pd.DataFrame, dates: Dates) -> tuple[pd.DataFrame, pd.Timestamp, pd.Timestamp]:
    """Return the bars to train on, and where validation and test begin."""
    test = _date("test_start", dates.test_start, bars.index[-1] + pd.Timedelta(1, "ns"))
    first = _date("train_start", dates.train_start, bars.index[0])
    begin, bars = bars.index[0], bars[(bars.index >= first) & (bars.index < test)]
    if bars.empty:
        given = "" if dates.train_start is None else f" and from train_start, {first}, on"
        raise BarsError(
            f"no bars before test_start, {test}{given}: the first one is of {begin}. Use a later"
            " date."
        )
    fifth = bars.index[-max(1, int(len(bars) * VALIDATION_FRACTION))]
    validation = _date("validation_start", dates.validation_start, fifth)
    if validation >= test:
        raise BarsError(
            f"expected validation_start before test_start, found {validation} and {test}."
        )
    return bars, validation, test


def _date(name: str, given: Date, default: pd.Timestamp) -> pd.Timestamp:
    if given is None:
        return default
    try:
        date = pd.Timestamp(given)
    except (TypeError, ValueError) as error:
        raise BarsError(f"{name}: expected a date such as 2010-01-31, found {given!r}.") from error
    if pd.isna(date) or date.tzinfo is not None:
        raise BarsError(
            f"{name}: expected a date such as 2010-01-31 without a time zone, found {given!r}."
        )
    return date
