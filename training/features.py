"""From raw bars to features, as a layer inside the model: nothing is left to the caller."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from .config import FIELDS, RATIOS, FeatureName

__all__ = ["BarFeatures"]

RATIO: Mapping[str, Callable[[Any, Any], Any]] = {
    "return": lambda now, before: now[:, :, 3] / before[:, :, 3],
    "gap": lambda now, before: now[:, :, 0] / before[:, :, 3],
    "body": lambda now, _: now[:, :, 3] / now[:, :, 0],
    "range": lambda now, _: now[:, :, 1] / now[:, :, 2],
    "volume_change": lambda now, before: (now[:, :, 4] + 1.0) / (before[:, :, 4] + 1.0),
}
"""By name, from a bar and the one before; the logarithm is taken of all."""

LEVEL: Mapping[str, Callable[[Any], Any]] = {
    "open": lambda now: now[:, :, 0],
    "high": lambda now: now[:, :, 1],
    "low": lambda now: now[:, :, 2],
    "close": lambda now: now[:, :, 3],
    "mid": lambda now: (now[:, :, 1] + now[:, :, 2]) * 0.5,
    "volume": lambda now: now[:, :, 4],
}


@keras.saving.register_keras_serializable(package="nextbar")
class BarFeatures(keras.layers.Layer):
    """Compute features, shape (batch, steps, n), from raw bars, shape (batch, window, 5).

    With a ratio among them there are ``window - 1`` steps, and step i uses the bars i and i + 1 of
    the window and no other; else there is a step for each bar. Ratios are logarithms, so that
    prices may be raw, split or in any currency; the ratio is taken first, because a float32
    logarithm of a price has lost the small moves. Levels are as they are, or, when `relative`, the
    logarithm of their ratio to the window's last close, for volume to its last volume.
    """

    def __init__(
        self,
        names: Sequence[FeatureName],
        relative: bool = False,
        trainable: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(trainable=trainable, **kwargs)
        self.names, self.relative = tuple(names), relative
        self._ratios = bool(set(RATIOS) & set(names))

    def call(self, bars: Any) -> Any:
        """Return the features in the order of `names`."""
        now, before = (bars[:, 1:], bars[:, :-1]) if self._ratios else (bars, None)
        if set(self.names) <= set(RATIOS):  # one logarithm for all
            return ops.log(ops.stack([RATIO[name](now, before) for name in self.names], axis=-1))
        return ops.stack([self._feature(name, now, before) for name in self.names], axis=-1)

    def _feature(self, name: str, now: Any, before: Any) -> Any:
        if name in RATIO:
            return ops.log(RATIO[name](now, before))
        level = LEVEL[name](now)
        if not self.relative:
            return level
        if name in FIELDS:
            return ops.log(level / now[:, -1:, 3])
        return ops.log((level + 1.0) / (now[:, -1:, 4] + 1.0))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return (batch, steps, n)."""
        batch, window = input_shape[:2]
        return batch, None if window is None else window - self._ratios, len(self.names)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this layer again."""
        return {**super().get_config(), "names": list(self.names), "relative": self.relative}
