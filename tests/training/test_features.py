"""Features: each one by hand, no look ahead, no price scale."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nextbar.signals.bars import COLUMNS
from nextbar.signals.windows import windows_of
from nextbar.training.backend import repeatable_tensorflow
from nextbar.training.config import FEATURES, RATIOS, FeatureName, TrainingConfig

from ..markets import random_bars

repeatable_tensorflow()

import keras  # noqa: E402
from nextbar.training.features import BarFeatures  # noqa: E402
from nextbar.training.networks import build_network  # noqa: E402
from nextbar.training.scalings import StandardScaling  # noqa: E402

WINDOW = 12

BY_HAND: dict[FeatureName, Callable[[dict[str, np.ndarray]], np.ndarray]] = {
    "return": lambda x: np.log(x["close"][1:] / x["close"][:-1]),
    "gap": lambda x: np.log(x["open"][1:] / x["close"][:-1]),
    "body": lambda x: np.log(x["close"][1:] / x["open"][1:]),
    "range": lambda x: np.log(x["high"][1:] / x["low"][1:]),
    "volume_change": lambda x: np.diff(np.log(x["volume"] + 1)),
}
LEVELS: dict[FeatureName, Callable[[dict[str, np.ndarray]], np.ndarray]] = {
    "open": lambda x: x["open"],
    "high": lambda x: x["high"],
    "low": lambda x: x["low"],
    "close": lambda x: x["close"],
    "mid": lambda x: (x["high"] + x["low"]) / 2,
    "volume": lambda x: x["volume"],
}


def windows(n: int = 40, seed: int = 0) -> np.ndarray:
    bars = random_bars(n, seed=seed)[list(COLUMNS)]
    return np.ascontiguousarray(windows_of(bars.to_numpy(np.float32), WINDOW))


def computed(names: tuple[FeatureName, ...], bars: np.ndarray) -> np.ndarray:
    return np.asarray(BarFeatures(names)(bars))


def test_every_feature_is_tested() -> None:
    assert set(BY_HAND) == set(RATIOS)
    assert set(BY_HAND) | set(LEVELS) == set(FEATURES)


@pytest.mark.parametrize("name", LEVELS)
@pytest.mark.parametrize("relative", [False, True])
def test_levels_by_hand(name: FeatureName, relative: bool) -> None:
    bars = windows()
    found = np.asarray(BarFeatures((name,), relative=relative)(bars))
    assert found.shape == (len(bars), WINDOW, 1)
    for window, values in zip(bars.astype(np.float64), found, strict=True):
        columns = dict(zip(COLUMNS, window.T, strict=True))
        expected = LEVELS[name](columns)
        if relative and name == "volume":
            expected = np.log((expected + 1) / (columns["volume"][-1] + 1))
        elif relative:
            expected = np.log(expected / columns["close"][-1])
        np.testing.assert_allclose(values[:, 0], expected, rtol=2e-7, atol=3e-7)


def test_with_a_ratio_levels_have_no_step_for_the_first_bar() -> None:
    bars = windows()
    both = np.asarray(BarFeatures(("return", "open"))(bars))
    assert both.shape == (len(bars), WINDOW - 1, 2)
    np.testing.assert_array_equal(both[:, :, 1], bars[:, 1:, 0])


@pytest.mark.parametrize("name", RATIOS)
def test_by_hand(name: FeatureName) -> None:
    bars = windows()
    found = computed((name,), bars)
    assert found.shape == (len(bars), WINDOW - 1, 1)
    for window, values in zip(bars.astype(np.float64), found, strict=True):
        expected = BY_HAND[name](dict(zip(COLUMNS, window.T, strict=True)))
        np.testing.assert_allclose(values[:, 0], expected, rtol=0, atol=3e-7)


def test_in_the_order_asked() -> None:
    bars = windows()
    together = computed(("volume_change", "return", "body"), bars)
    for i, name in enumerate(("volume_change", "return", "body")):
        alone = computed((name,), bars)[..., 0]
        np.testing.assert_allclose(together[..., i], alone, rtol=0, atol=1e-6)
    shape = BarFeatures(("volume_change", "return")).compute_output_shape((None, WINDOW, 5))
    assert shape == (None, WINDOW - 1, 2)


@given(step=st.integers(0, WINDOW - 2))
@settings(deadline=None, max_examples=20)
def test_a_step_sees_its_two_bars_only(step: int) -> None:
    bars = windows()
    changed = bars.copy()
    others = [i for i in range(WINDOW) if i not in (step, step + 1)]
    changed[:, others] = windows(seed=1)[:, others] * 2
    before, after = computed(RATIOS, bars), computed(RATIOS, changed)
    np.testing.assert_array_equal(before[:, step], after[:, step])
    assert not np.array_equal(before, after)


@given(exponent=st.floats(-3, 5), seed=st.integers(0, 50))
@settings(deadline=None, max_examples=30)
def test_the_price_scale_does_not_matter(exponent: float, seed: int) -> None:
    bars = windows(seed=seed).astype(np.float64)
    scaled = bars * np.array([10**exponent] * 4 + [1.0])
    np.testing.assert_allclose(
        computed(RATIOS, scaled.astype(np.float32)),
        computed(RATIOS, bars.astype(np.float32)),
        rtol=0,
        atol=1e-5,
    )


def test_small_moves_of_a_large_price_survive() -> None:
    bars = np.full((1, 3, 5), 60_000.0, np.float32)
    bars[0, 2, 3] = 60_000.25
    assert computed(("return",), bars)[0, 1, 0] == pytest.approx(0.25 / 60_000, rel=0.05)


def test_scaling() -> None:
    layer = StandardScaling()
    features = np.random.default_rng(0).normal(3, [1, 5, 1e-4], (50, 7, 3)).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(layer(features)), features)  # 0 and 1 at first
    layer.adapt(features)
    scaled = np.asarray(layer(features))
    np.testing.assert_allclose(scaled.mean((0, 1)), 0, atol=2e-3)
    np.testing.assert_allclose(scaled.std((0, 1)), 1, atol=2e-3)


@pytest.mark.parametrize("value", [0.0, 2.5])
def test_a_constant_feature_is_not_blown_up(value: float) -> None:
    noise = np.random.default_rng(0).choice([-6e-8, 0, 6e-8], (50, 7, 1))
    layer = StandardScaling()
    features = (value + noise).astype(np.float32)
    layer(features)
    layer.adapt(features)
    assert np.abs(np.asarray(layer(features))).max() < 1e-5


def test_layers_survive_saving(tmp_path: Any) -> None:
    network = build_network(TrainingConfig(units=(3, 2), window=WINDOW, features=FEATURES))
    bars = windows()
    network.get_layer("scaling").adapt(np.asarray(network.get_layer("features")(bars)))
    network.save(tmp_path / "network.keras")
    again = keras.saving.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(np.asarray(again(bars)), np.asarray(network(bars)))


@pytest.mark.parametrize("units", [(3,), (4, 3), (4, 3, 2)])
def test_network(units: tuple[int, ...]) -> None:
    network = build_network(TrainingConfig(units=units, window=WINDOW, dropout=0.5))
    layers = [layer for layer in network.layers if isinstance(layer, keras.layers.LSTM)]
    assert tuple(layer.units for layer in layers) == units
    assert network.input_shape == (None, WINDOW, 5)
    assert network.output_shape == (None, 1)
    # Neither features nor their scaling are learned from the labels.
    learned = sum(len(layer.trainable_weights) for layer in layers) + 2
    assert len(network.trainable_weights) == learned
