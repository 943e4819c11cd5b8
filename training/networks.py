"""Networks: raw bars in, the outputs of a head out. Imports keras only to build one."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from .choices import SCALINGS
from .heads import HEADS

if TYPE_CHECKING:
    from .config import TrainingConfig

__all__ = ["ARCHITECTURES", "Architecture", "build_linear", "build_network", "recurrent_layer"]

Architecture: TypeAlias = "Callable[[TrainingConfig, Any], Any]"


def build_network(config: TrainingConfig) -> Any:
    """Return an untrained model from (batch, window, 5) raw bars to the outputs of its head.

    Its layers "features", "scaling" and "head" are known to the training by name, and "prices" at
    the end of a forecast head.
    """
    import keras

    from .rollout import rolled_out

    bars = keras.Input((config.window, 5), name="bars")
    scaled = _scaled(config, bars)
    head = HEADS[config.head]
    activation = "relu" if "relu-head" in config.flaws else head.activation
    if config.rollout:
        outputs = rolled_out(config, scaled, activation)
    else:
        signal = ARCHITECTURES[config.architecture](config, scaled)
        outputs = keras.layers.Dense(
            max(1, len(config.columns)), activation=activation, name="head"
        )(signal)
    return keras.Model(bars, head.finish(config, bars, outputs))


def build_linear(config: TrainingConfig) -> Any:
    """Return a logistic regression on the scaled features of all steps, its layer named "linear".

    From (batch, window, 5) raw bars to (batch, 1) probabilities, untrained.
    """
    import keras

    bars = keras.Input((config.window, 5), name="bars")
    linear = keras.layers.Dense(1, activation="sigmoid", name="linear")
    return keras.Model(bars, linear(keras.layers.Flatten()(_scaled(config, bars))))


def _scaled(config: TrainingConfig, bars: Any) -> Any:
    from .features import BarFeatures

    relative = config.scaling == "window"
    features = BarFeatures(config.features, relative=relative, name="features")(bars)
    scaling = SCALINGS[config.scaling]()
    scaling.name = "scaling"
    return scaling(features)


def _stacked(config: TrainingConfig, signal: Any) -> Any:
    for number, units in enumerate(config.units, start=1):
        signal = recurrent_layer(config, units, last=number == len(config.units))(signal)
        signal = _dropout(config, signal)
    return signal


def _bidirectional(config: TrainingConfig, signal: Any) -> Any:
    import keras

    for number, units in enumerate(config.units, start=1):
        layer = recurrent_layer(config, units, last=number == len(config.units))
        signal = _dropout(config, keras.layers.Bidirectional(layer)(signal))
    return signal


def _convolutional(config: TrainingConfig, signal: Any) -> Any:
    import keras

    front = keras.layers.Conv1D(
        config.filters, config.kernel, padding="causal", activation="relu", name="convolution"
    )
    return _stacked(config, front(signal))


def recurrent_layer(config: TrainingConfig, units: int, *, last: bool) -> Any:
    """Return a layer of the config's cell; only the `last` one gives its final step alone."""
    from .cells import CELLS

    return CELLS[config.cell](
        units, return_sequences=not last, recurrent_dropout=config.recurrent_dropout
    )


def _dropout(config: TrainingConfig, signal: Any) -> Any:
    import keras

    return keras.layers.Dropout(config.dropout)(signal) if config.dropout else signal


ARCHITECTURES: dict[str, Architecture] = {
    "vanilla": _stacked,
    "stacked": _stacked,
    "bidirectional": _bidirectional,
    "convolutional": _convolutional,
}
"""By the name in a config: from scaled features, (batch, steps, n), to (batch, m)."""
