"""Train a network on the bars before the test period, and write it as a certified model file."""

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
from .backend import tensorflow
from .config import TrainingConfig
from .export import Facts, export
from .labels import direction_labels
from .splits import Split, chronological_split

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
        Bars. Those from `test_start` on are cut off before anything else is done.
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
    BarsError, ModelError
        When there are too few bars, or the export's certificate fails.
    """
    bars = check_bars(bars)
    test = _date(test_start, bars.index[-1] + pd.Timedelta(1, "ns"))
    bars = bars[bars.index < test]
    if bars.empty:
        raise BarsError(f"no bars before the test period, which starts {test.date()}.")
    fifth = bars.index[-max(1, int(len(bars) * VALIDATION_FRACTION))]
    validation = _date(validation_start, fifth)
    if config.uses_volume and not (bars["volume"] > 0).any():
        raise BarsError("the feature 'volume' needs traded volume, and every bar has 0.")
    labels = direction_labels(bars, config.horizon, config.target)
    split = chronological_split(
        labels, window=config.window, validation_start=validation, test_start=test
    )
    seen = bars.iloc[: split.last_label + 1]
    network, history = _fit(seen, labels["up"].to_numpy(), split, config, on_epoch)
    settings = config.model_dump(mode="json")
    card = export(
        network,
        path,
        bars=seen,
        facts=Facts(
            architecture=f"{config.architecture} {'-'.join(map(str, config.units))}",
            horizon=config.horizon,
            target=config.target,
            features=config.features,
            uses_volume=config.uses_volume,
            training=settings | {"validation_start": str(validation), "test_start": str(test)},
        ),
    )
    up_rate = float(labels["up"].to_numpy()[split.validation].mean())
    best = min(history, key=lambda epoch: epoch.validation_loss)
    return Trained(
        path=Path(path),
        card=card,
        network=network,
        history=history,
        best_epoch=best.number,
        train_rows=len(split.train),
        validation_rows=len(split.validation),
        validation_base_rate=max(up_rate, 1 - up_rate),
    )


def _fit(
    bars: pd.DataFrame,
    up: np.ndarray,
    split: Split,
    config: TrainingConfig,
    on_epoch: Callable[[Epoch], None] | None,
) -> tuple[Any, tuple[Epoch, ...]]:
    tensorflow()
    import keras

    from .networks import build_network

    keras.utils.set_random_seed(config.seed)
    network = build_network(config)
    windows = windows_of(bars[list(COLUMNS)].to_numpy(np.float32), config.window)
    x_train, y_train = windows[split.train - config.window + 1], up[split.train]
    x_check, y_check = windows[split.validation - config.window + 1], up[split.validation]
    features = network.get_layer("features")(x_train).numpy()
    network.get_layer("scaling").adapt(features)
    network.compile(
        optimizer=keras.optimizers.Adam(config.learning_rate),
        loss="binary_crossentropy",
        metrics=["accuracy"],
    )
    history: list[Epoch] = []

    def record(epoch: int, logs: dict[str, float]) -> None:
        history.append(
            Epoch(epoch + 1, config.epochs, logs["loss"], logs["val_loss"], logs["val_accuracy"])
        )
        if on_epoch:
            on_epoch(history[-1])

    network.fit(
        x_train,
        y_train,
        validation_data=(x_check, y_check),
        epochs=config.epochs,
        batch_size=config.batch_size,
        shuffle=True,  # the order of rows within the training part only
        verbose=0,
        callbacks=[
            keras.callbacks.LambdaCallback(on_epoch_end=record),
            keras.callbacks.EarlyStopping(patience=config.patience, restore_best_weights=True),
        ],
    )
    if not np.isfinite([epoch.loss for epoch in history]).all():
        raise ModelError(
            f"training diverged: the loss is not finite from epoch"
            f" {next(e.number for e in history if not np.isfinite(e.loss))} on."
            f" Lower learning_rate, now {config.learning_rate}."
        )
    return network, tuple(history)


def _date(given: str | pd.Timestamp | None, default: pd.Timestamp) -> pd.Timestamp:
    if given is None:
        return default
    try:
        return pd.Timestamp(given)
    except ValueError as error:
        raise BarsError(f"expected a date such as 2010-01-31, found {given!r}.") from error
