"""Train a network on the bars before the test period, and write it as a certified model file."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..signals.bars import COLUMNS, check_bars
from ..signals.card import Card
from ..signals.errors import BarsError, ModelError
from ..signals.model import windows_of
from .backend import repeatable_tensorflow
from .certify import Facts, export
from .config import TrainingConfig
from .labels import direction_labels
from .splits import FloatArray, Split, chronological_split

__all__ = ["Epoch", "Trained", "train"]

VALIDATION_FRACTION = 0.2


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training rows came to."""

    number: int
    """From 1."""
    of: int
    """Most epochs that there can be; training may stop before."""
    loss: float
    """Binary cross-entropy on the training rows, with dropout."""
    validation_loss: float
    validation_accuracy: float


@dataclass(frozen=True)
class Trained:
    """A trained model and how it came about."""

    path: Path
    card: Card
    network: Any
    """The Keras model, with the weights of the best epoch."""
    history: tuple[Epoch, ...]
    best_epoch: int
    train_rows: int
    validation_rows: int
    validation_base_rate: float
    """Share of the commoner class among the validation labels: what no skill at all scores."""


def train(
    bars: pd.DataFrame,
    config: TrainingConfig,
    path: str | Path,
    *,
    validation_start: str | pd.Timestamp | None = None,
    test_start: str | pd.Timestamp | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Trained:
    """Train on bars before `test_start`, choose the epoch on the validation part, and export.

    Parameters
    ----------
    bars : DataFrame
        Bars. Those from `test_start` on are cut off once the OHLCV contract is checked.
    config : TrainingConfig
        Network and training; its seed and the bars decide the weights.
    path : str or Path
        The model file to write.
    validation_start, test_start : date, optional
        First bar of the validation part, by default the last fifth of the bars before
        `test_start`; first bar that is not used at all, by default none. Rows whose label was not
        known before the next part began are left out.
    on_epoch : callable, optional
        Called after every epoch.

    Raises
    ------
    BarsError
        When a date is none, or there are too few bars or of one class only.
    ModelError
        When training diverges or the export's certificate fails.
    ExperimentError
        When the file cannot be written.
    """
    bars, validation, test = _before_test(check_bars(bars), validation_start, test_start)
    if config.uses_volume and not (bars["volume"] > 0).any():
        raise BarsError(
            "the feature 'volume' needs traded volume, and every bar has 0. Leave it out of"
            " features."
        )
    labels = direction_labels(bars, config.horizon, config.target)
    split = chronological_split(
        labels, window=config.window, validation_start=validation, test_start=test
    )
    seen = bars.iloc[: split.last_label + 1]
    network, history = _fit(seen, labels["up"].to_numpy(), split, config, on_epoch)
    dates = {"validation_start": str(validation), "test_start": str(test)}
    card = export(network, path, bars=seen, facts=_facts(config, dates))
    up_rate = float(labels["up"].to_numpy()[split.validation].mean())
    return Trained(
        path=Path(path),
        card=card,
        network=network,
        history=history,
        best_epoch=min(history, key=lambda epoch: epoch.validation_loss).number,
        train_rows=len(split.train),
        validation_rows=len(split.validation),
        validation_base_rate=max(up_rate, 1 - up_rate),
    )


def _before_test(
    bars: pd.DataFrame,
    validation_start: str | pd.Timestamp | None,
    test_start: str | pd.Timestamp | None,
) -> tuple[pd.DataFrame, pd.Timestamp, pd.Timestamp]:
    """Return the bars before the test part, and where validation and test begin."""
    test = _date("test_start", test_start, bars.index[-1] + pd.Timedelta(1, "ns"))
    first = bars.index[0]
    bars = bars[bars.index < test]
    if bars.empty:
        raise BarsError(
            f"no bars before test_start, {test}: the first one is of {first}. Use a later date."
        )
    fifth = bars.index[-max(1, int(len(bars) * VALIDATION_FRACTION))]
    validation = _date("validation_start", validation_start, fifth)
    if validation >= test:
        raise BarsError(
            f"expected validation_start before test_start, found {validation} and {test}."
        )
    return bars, validation, test


def _facts(config: TrainingConfig, dates: dict[str, str]) -> Facts:
    return Facts(
        architecture=f"{config.architecture} {'-'.join(map(str, config.units))}",
        horizon=config.horizon,
        target=config.target,
        features=config.features,
        uses_volume=config.uses_volume,
        training=config.model_dump(mode="json") | dates,
    )


def _fit(
    bars: pd.DataFrame,
    up: FloatArray,
    split: Split,
    config: TrainingConfig,
    on_epoch: Callable[[Epoch], None] | None,
) -> tuple[Any, tuple[Epoch, ...]]:
    """Return the trained network, with the weights of its best epoch, and its epochs."""
    repeatable_tensorflow()
    import keras

    from .networks import build_network

    keras.utils.set_random_seed(config.seed)
    windows = windows_of(bars[list(COLUMNS)].to_numpy(np.float32), config.window)
    first = config.window - 1
    x_train, x_check = windows[split.train - first], windows[split.validation - first]
    network = build_network(config)
    network.get_layer("scaling").adapt(network.get_layer("features")(x_train).numpy())
    network.compile(
        optimizer=keras.optimizers.Adam(config.learning_rate),
        loss="binary_crossentropy",
        metrics=["accuracy"],
    )
    history: list[Epoch] = []
    network.fit(
        x_train,
        up[split.train],
        validation_data=(x_check, up[split.validation]),
        epochs=config.epochs,
        batch_size=config.batch_size,
        shuffle=True,  # the order of rows within the training part only
        verbose=0,
        callbacks=_callbacks(history, config, on_epoch),
    )
    return network, tuple(history)


def _callbacks(
    history: list[Epoch], config: TrainingConfig, on_epoch: Callable[[Epoch], None] | None
) -> list[Any]:
    """Return what fills `history`, and stops a training that diverges or gets no better."""
    import keras

    def record(index: int, logs: dict[str, float]) -> None:
        epoch = Epoch(
            index + 1, config.epochs, logs["loss"], logs["val_loss"], logs["val_accuracy"]
        )
        if not np.isfinite([epoch.loss, epoch.validation_loss]).all():
            raise ModelError(
                f"training diverged: the loss is not finite from epoch {epoch.number} on."
                f" Lower learning_rate, now {config.learning_rate}."
            )
        history.append(epoch)
        if on_epoch:
            on_epoch(epoch)

    return [
        keras.callbacks.LambdaCallback(on_epoch_end=record),
        keras.callbacks.EarlyStopping(patience=config.patience, restore_best_weights=True),
    ]


def _date(name: str, given: str | pd.Timestamp | None, default: pd.Timestamp) -> pd.Timestamp:
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
