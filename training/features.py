"""From raw bars to scaled features, as layers inside the model: nothing is left to the caller."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from .config import FeatureName

__all__ = ["BarFeatures", "StandardScaling"]


@keras.saving.register_keras_serializable(package="nextbar")
class BarFeatures(keras.layers.Layer):
    """Compute features, shape (batch, window - 1, n), from raw bars, shape (batch, window, 5).

    Step i uses the bars i and i + 1 of the window and no other. Every feature is the logarithm of
    a ratio, so that prices may be raw, split or in any currency; the ratio is taken first, because
    a float32 logarithm of a price has lost the small moves.
    """

    def __init__(
        self, names: Sequence[FeatureName], trainable: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(trainable=trainable, **kwargs)
        self.names = tuple(names)

    def call(self, bars: Any) -> Any:
        """Return the features in the order of `names`."""
        now, previous_close = bars[:, 1:], bars[:, :-1, 3]
        open_, high, low, close = (now[:, :, i] for i in range(4))
        ratios = {
            "return": lambda: close / previous_close,
            "gap": lambda: open_ / previous_close,
            "body": lambda: close / open_,
            "range": lambda: high / low,
            "volume": lambda: (now[:, :, 4] + 1.0) / (bars[:, :-1, 4] + 1.0),
        }
        return ops.log(ops.stack([ratios[name]() for name in self.names], axis=-1))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return (batch, window - 1, n)."""
        batch, window = input_shape[:2]
        return batch, None if window is None else window - 1, len(self.names)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this layer again."""
        return {**super().get_config(), "names": list(self.names)}


@keras.saving.register_keras_serializable(package="nextbar")
class StandardScaling(keras.layers.Layer):
    """Subtract the training mean and divide by the training standard deviation, per feature.

    The two are weights of the model (keras' own Normalization holds captured tensors, which
    tf2onnx turns into extra inputs). They are 0 and 1 until `adapt` is called.
    """

    def __init__(self, trainable: bool = False, **kwargs: Any) -> None:
        super().__init__(trainable=trainable, **kwargs)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the two weights, one number for each feature."""
        shape = (input_shape[-1],)
        self.mean = self.add_weight(shape=shape, initializer="zeros", trainable=False, name="mean")
        self.scale = self.add_weight(shape=shape, initializer="ones", trainable=False, name="scale")

    def adapt(self, features: np.ndarray) -> None:
        """Take mean and deviation from training features, shape (n, steps, n_features).

        A feature that never changes keeps the scale 1; float32 rounding of a ratio is no change.
        """
        flat = features.reshape(-1, features.shape[-1]).astype(np.float64)
        deviation = flat.std(axis=0)
        self.mean.assign(flat.mean(axis=0))
        self.scale.assign(np.where(deviation > np.finfo(np.float32).eps, deviation, 1.0))

    def call(self, features: Any) -> Any:
        """Return the scaled features."""
        return (features - self.mean) / self.scale
