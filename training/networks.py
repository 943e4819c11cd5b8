"""Networks: raw bars in, probability of an up move out."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any

import keras

from .config import FeatureName, TrainingConfig
from .features import BarFeatures, StandardScaling

__all__ = ["build_linear", "build_network"]


def build_network(config: TrainingConfig) -> Any:
    """Return an untrained model from (batch, window, 5) raw bars to (batch, 1) probabilities."""
    bars = keras.Input((config.window, 5), name="bars")
    features = BarFeatures(config.features, name="features")(bars)
    signal = StandardScaling(name="scaling")(features)
    for layer, units in enumerate(config.units, start=1):
        signal = keras.layers.LSTM(units, return_sequences=layer < len(config.units))(signal)
        if config.dropout:
            signal = keras.layers.Dropout(config.dropout)(signal)
    probability = keras.layers.Dense(1, activation="sigmoid")(signal)
    return keras.Model(bars, probability)


def build_linear(features: tuple[FeatureName, ...], window: int) -> Any:
    """Return a logistic regression on the scaled features of all steps, its layer named "linear".

    From (batch, window, 5) raw bars to (batch, 1) probabilities, untrained.
    """
    bars = keras.Input((window, 5), name="bars")
    scaled = StandardScaling(name="scaling")(BarFeatures(features, name="features")(bars))
    linear = keras.layers.Dense(1, activation="sigmoid", name="linear")
    return keras.Model(bars, linear(keras.layers.Flatten()(scaled)))
