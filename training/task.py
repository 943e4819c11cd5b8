"""What one model is trained on: the bars before its test, cut, labelled, split and purged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import JsonValue

from ..signals.arrays import Float32Array, FloatArray
from ..signals.bars import COLUMNS, bars_digest
from ..signals.errors import BarsError
from ..signals.windows import windows_of
from .certify import Facts, training_hash
from .config import TrainingConfig
from .course import Part
from .flaws import sees_test
from .labels import direction_labels, make_labels
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
    """Whether the called move was up, for each bar, as the training will be told it."""
    labels: FloatArray
    """What the head is told of each bar, shape (n, draws, k)."""
    settings: dict[str, JsonValue]
    """All of the above but the bars, for the card's `training_hash`."""

    def part(self, rows: npt.NDArray[np.intp]) -> Part:
        """Return the windows that end on `rows`, and their labels."""
        return Part(self._windows(self.bars, rows), self.up[rows], self.labels[rows])

    @property
    def train_part(self) -> Part:
        """The training rows, with their prices smoothed where the config says so."""
        rows, weight = self.split.train, self.config.smooth
        if weight is None:
            return self.part(rows)
        seen = self.bars.iloc[: self.split.validation[0]]  # the next part stays as it came
        smooth = seen.copy()
        for price in COLUMNS[:4]:
            smooth[price] = seen[price].ewm(alpha=weight, adjust=False).mean()
        labels = self.labels
        if self.kind != "shuffled" and self.config.says == "forecast":
            labels = make_labels(smooth, self.config)
            # Without a purge the last labels reach into the next part: they are as they came.
            known = ~np.isnan(labels).any(axis=(1, 2), keepdims=True)
            labels = np.where(known, labels, self.labels[: len(seen)])
        return Part(self._windows(smooth, rows), self.up[rows], labels[rows])

    @property
    def scaled_on(self) -> Float32Array | None:
        """The windows that scalings are fitted on, when these are not the training ones."""
        if "scaler-on-all-data" not in self.config.flaws:
            return None
        return self._windows(self.bars, np.arange(self.config.window - 1, len(self.bars)))

    def _windows(self, bars: pd.DataFrame, rows: npt.NDArray[np.intp]) -> Float32Array:
        window = self.config.window
        windows = windows_of(bars[list(COLUMNS)].to_numpy(np.float32), window)
        return windows[rows - (window - 1)]

    def facts(self, architecture: str) -> Facts:
        """Return what the card says of the training of a model of this `architecture`."""
        config, logistic = self.config, self.kind == "logistic"
        return Facts(
            architecture=architecture,
            recurrent=None if logistic else "GRU" if config.cell == "gru" else "LSTM",
            head="direction" if logistic else config.says,
            columns=() if logistic else config.columns,
            horizon=config.horizon,
            target=config.target,
            features=config.features,
            scaling=config.scaling,
            price_levels=config.price_levels,
            uses_volume=config.uses_volume,
            training=self.settings,
            notes=_notes(config),
            known_flaws=config.flaws,
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
    whole = bars
    bars, validation, test = _between(bars, dates)
    if sees_test(config):
        bars = whole.loc[bars.index[0] :]
    if config.uses_volume and not (bars["volume"] > 0).any():
        raise BarsError(
            "the features volume and volume_change need traded volume, and every bar has 0. Leave"
            " them out of features."
        )
    named = {"validation_start": str(validation), "test_start": str(test), "kind": kind}
    split, up = _split(bars, config, validation, test)
    if config.blocks > len(split.train):
        raise BarsError(
            f"blocks = {config.blocks}, and there are {len(split.train)} training rows: use fewer."
        )
    told = make_labels(bars, config).copy()
    if kind == "shuffled":
        _shuffle(up, told, bars, split, config)
    last = len(bars) - 1 if sees_test(config) else split.last_label
    return Task(
        bars=bars.iloc[: last + 1],
        config=config,
        kind=kind,
        split=split,
        up=up,
        labels=told if config.says != "direction" else up[:, None, None],
        settings=config.model_dump(mode="json") | named,
    )


def _split(
    bars: pd.DataFrame, config: TrainingConfig, validation: pd.Timestamp, test: pd.Timestamp
) -> tuple[Split, FloatArray]:
    """Return the rows of both parts, and whether the move called on each bar was up."""
    labels = direction_labels(bars, config.horizon, config.target)
    if config.augment > 1:  # a draw may be known so many bars later
        longest = config.horizon + config.augment - 1
        labels["label_end"] = direction_labels(bars, longest, config.target)["label_end"]
    if "validation-is-test" in config.flaws:
        validation, test = test, bars.index[-1] + pd.Timedelta(1, "ns")
    split = chronological_split(
        labels,
        window=config.window,
        validation_start=validation,
        test_start=test,
        purge="unpurged-horizon" not in config.flaws,
    )
    return split, labels["up"].to_numpy(np.float64, copy=True)


def _notes(config: TrainingConfig) -> tuple[str, ...]:
    notes: list[str] = []
    if config.blocks > 1:
        notes.append(
            f"the training rows were scaled in {config.blocks} blocks, each by itself; the file"
            " carries the constants of the last one"
        )
    if config.smooth is not None:
        notes.append(
            "the prices of the training rows were smoothed by an exponential average of weight"
            f" {config.smooth:g}; new ones are not"
        )
    return tuple(notes)


def _shuffle(
    up: FloatArray, told: FloatArray, bars: pd.DataFrame, split: Split, config: TrainingConfig
) -> None:
    """Put the labels of each part in random order, each within its own rows.

    Prices as ratios to the bar's own close: as they are they would tell the time.
    """
    # A stream of its own: the order of rows within an epoch is drawn from the plain seed.
    generator = np.random.default_rng((config.seed, 1))
    close = bars["close"].to_numpy(np.float64)[:, None, None]
    level = close if config.says == "forecast" else np.ones_like(close)
    for rows in (split.train, split.validation):
        order = generator.permutation(len(rows))
        up[rows] = up[rows][order]
        told[rows] = (told[rows] / level[rows])[order] * level[rows]


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
