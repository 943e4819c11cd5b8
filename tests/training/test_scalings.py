"""Scalings: against scikit-learn, from the training part alone, and the same in the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nextbar.signals.bars import COLUMNS, check_bars
from nextbar.signals.windows import windows_of
from nextbar.training.backend import repeatable_tensorflow
from nextbar.training.certify import Facts, export
from nextbar.training.config import TrainingConfig
from nextbar.training.loop import loop_for
from sklearn.preprocessing import (
    MinMaxScaler,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

from ..markets import random_bars
from .tiny import BARS, VALIDATION_START, levels, task_of, tiny

repeatable_tensorflow()

from nextbar.training.features import BarFeatures  # noqa: E402
from nextbar.training.networks import build_network  # noqa: E402
from nextbar.training.scalings import RANKS, SCALINGS, affine_constants  # noqa: E402

REFERENCES: dict[str, tuple[Any, float]] = {
    "standard": (StandardScaler, 2e-5),
    "minmax": (MinMaxScaler, 2e-5),
    "robust": (RobustScaler, 2e-5),
    "rank": (lambda: QuantileTransformer(n_quantiles=RANKS + 1, subsample=None), 0.03),
}
"""An independent scaling, and how far float32 may be from it; ranks by three of 100 parts, because
`RankScaling` widens narrow ones, of which a sample of 300 has some side by side: 0.014 was the most
that 112 of these samples had."""

FEATURES = {
    "ratios": ("return", "range", "volume_change"),
    "levels": ("open", "mid", "volume"),
    "both": ("gap", "close", "volume"),
}


def sample(seed: int, n: int = 60) -> np.ndarray:
    """Return made-up features, (n, 5, 4): of many sizes, the last with long tails."""
    rng = np.random.default_rng(seed)
    columns = [rng.normal(3, 1e-2, (n, 5)), rng.uniform(-50, 900, (n, 5))]
    columns += [rng.normal(0, 40, (n, 5)), rng.lognormal(2, 0.5, (n, 5))]
    return np.stack(columns, axis=-1).astype(np.float32)


def scaled(name: str, fitted: np.ndarray, features: np.ndarray) -> np.ndarray:
    layer = SCALINGS[name]()
    layer(fitted)
    layer.adapt(fitted)
    return np.asarray(layer(features))


def test_every_scaling_is_tested() -> None:
    assert {*REFERENCES, "window"} == set(SCALINGS)


@pytest.mark.parametrize("name", REFERENCES)
@given(seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=8)
def test_against_scikit_learn(name: str, seed: int) -> None:
    fitted, later = sample(seed), sample(seed + 1) * np.float32(1.3)
    make, tolerance = REFERENCES[name]
    reference = make().fit(fitted.reshape(-1, 4).astype(np.float64))
    for features in (fitted, later):
        expected = reference.transform(features.reshape(-1, 4).astype(np.float64))
        found = scaled(name, fitted, features).reshape(-1, 4)
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=tolerance)


@pytest.mark.parametrize("name", SCALINGS)
@pytest.mark.parametrize("value", [0.0, 2.5, 40_000.0])
def test_a_constant_column_stays_small(name: str, value: float) -> None:
    features = sample(0)
    features[..., 1] = value
    found = scaled(name, features, features)
    assert np.isfinite(found).all()
    assert np.ptp(found[..., 1]) == 0.0
    assert np.abs(found[..., 1]).max() <= (0.5 if name == "rank" else 1e-3)
    # The others do not notice.
    np.testing.assert_array_equal(
        found[..., [0, 2, 3]], scaled(name, *[features[..., [0, 2, 3]]] * 2)
    )


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_ranks_of_values_that_repeat(share: float) -> None:
    """Volume is 0 on many bars: ranks stay ordered and from 0 to 1."""
    rng = np.random.default_rng(0)
    features = np.where(rng.random((60, 5, 1)) < share, 0, rng.lognormal(8, 1, (60, 5, 1)))
    line = np.linspace(-1e4, 1e5, 5000, dtype=np.float32)[None, :, None]
    found = scaled("rank", features.astype(np.float32), line)[0, :, 0]
    assert (np.diff(found) >= -1e-6).all()
    assert (found[0], found[-1]) == (0.0, pytest.approx(1.0, abs=1e-6))


def test_constants_of_a_robust_scale_without_spread() -> None:
    offset, scale = affine_constants("robust", np.array([[0.0], [0], [0], [0], [0], [0], [0], [9]]))
    assert (offset.tolist(), scale.tolist()) == ([0.0], [1.0])


# --- each window by itself -----------------------------------------------------------------------


def windows(seed: int = 0, n: int = 40) -> np.ndarray:
    bars = random_bars(n, seed=seed)[list(COLUMNS)]
    return np.ascontiguousarray(windows_of(bars.to_numpy(np.float32), 6))


def test_window_scaling_by_hand() -> None:
    bars = windows()
    network = build_network(tiny(features=("return", "open", "volume"), scaling="window"))
    features, scaling = (network.get_layer(name) for name in ("features", "scaling"))
    assert features.relative
    found = np.asarray(scaling(features(bars)))
    x = bars.astype(np.float64)
    for window, values in zip(x, found, strict=True):
        columns = [np.log(window[1:, 3] / window[:-1, 3]), np.log(window[1:, 0])]
        columns.append(np.log(window[1:, 4] + 1))
        for column, value in zip(columns, values.T, strict=True):
            expected = (column - column.mean()) / column.std()
            np.testing.assert_allclose(value, expected, rtol=0, atol=3e-4)


@given(exponent=st.floats(-3, 4), seed=st.integers(0, 20))
@settings(deadline=None, max_examples=10)
def test_window_scaling_is_free_of_the_price_and_of_other_windows(
    exponent: float, seed: int
) -> None:
    features = BarFeatures(("open", "mid", "body"), relative=True)
    layer, bars = SCALINGS["window"](), windows(seed)
    expected = np.asarray(layer(features(bars)))
    factor = np.array([10**exponent] * 4 + [1.0], np.float32)
    # 1 for a spread of about 0.01: the rounding of a float32 price grows hundredfold
    np.testing.assert_allclose(np.asarray(layer(features(bars * factor))), expected, atol=3e-3)
    others = np.concatenate([bars[3:4], windows(seed + 50) * 7])
    layer.adapt(np.asarray(features(others)))
    np.testing.assert_allclose(np.asarray(layer(features(others)))[0], expected[3], atol=1e-5)
    assert layer.weights == []


# --- what they are fitted on ---------------------------------------------------------------------


def constants(config: TrainingConfig, bars: pd.DataFrame) -> list[np.ndarray]:
    """Return all constants after a training on `bars`."""
    task, loop = task_of(config, bars=bars), loop_for(config)
    loop.fit(task.train_part, task.part(task.split.validation), config, None, task.scaled_on)
    layers = [loop.network.get_layer(name) for name in ("scaling", "prices")]
    return [np.asarray(weight).copy() for layer in layers for weight in layer.weights]


def disturbed(first: int, last: int | None = None) -> pd.DataFrame:
    """Return the bars with other prices and volumes from row `first` to `last`."""
    bars = BARS.copy()
    rows = slice(first, last)
    factor = np.random.default_rng(first).uniform(0.2, 3.0, (len(bars.iloc[rows]), 1))
    bars.iloc[rows] = bars.iloc[rows].to_numpy() * factor
    return check_bars(bars)


@pytest.mark.parametrize("scaling", REFERENCES)
def test_later_bars_change_no_constant(scaling: str) -> None:
    config = levels(scaling=scaling, epochs=1)
    expected = constants(config, BARS)
    assert len(expected) == 4
    last = int(task_of(config).split.train[-1])
    assert last < BARS.index.get_loc(VALIDATION_START)
    for mine, theirs in zip(expected, constants(config, disturbed(last + 1)), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    inside = constants(config, disturbed(last - 40, last + 1))
    assert all((mine != theirs).any() for mine, theirs in zip(expected, inside, strict=True))


def test_constants_are_those_of_the_training_windows() -> None:
    config = levels(epochs=1)
    rows = task_of(config).split.train
    opens = BARS["open"].to_numpy(np.float32)[: rows[-1] + 1]
    low, span, price_low, price_span = constants(config, BARS)
    assert (low, span) == (opens.min(), pytest.approx(np.ptp(opens), rel=1e-6))
    np.testing.assert_array_equal(price_low, [opens.min()] * 2)
    np.testing.assert_array_equal(price_span, [span[0]] * 2)


@pytest.mark.parametrize("blocks", [1, 3])
def test_blocks_are_scaled_each_by_itself(blocks: int) -> None:
    config = levels(blocks=blocks)
    loop, part = loop_for(config), task_of(config).train_part
    loop._reset(config)
    x, y = (np.asarray(found) for found in loop._prepared(part, config, None))
    expected_x, expected_y = [], []
    low = span = np.nan
    for rows in np.array_split(np.arange(len(part.up)), blocks):
        opens = part.windows[rows][:, :, 0].astype(np.float64)
        low, span = opens.min(), np.ptp(opens)
        expected_x.append((opens - low) / span)
        expected_y.append((part.labels[rows] - low) / span)
    np.testing.assert_allclose(x[..., 0], np.concatenate(expected_x), atol=1e-5)
    np.testing.assert_allclose(y, np.concatenate(expected_y), rtol=1e-5, atol=1e-5)
    for name in ("scaling", "prices"):  # those of the last block go into the file
        layer = loop.network.get_layer(name)
        np.testing.assert_allclose(layer.offset.numpy(), low, rtol=1e-6)
        np.testing.assert_allclose(layer.scale.numpy(), span, rtol=1e-5)


@pytest.mark.parametrize(
    ("scaling", "features"),
    [
        ("standard", "both"),
        ("minmax", "levels"),
        ("robust", "ratios"),
        ("rank", "both"),
        *(("window", features) for features in FEATURES),  # its features have forms of their own
    ],
)
def test_the_file_says_what_keras_says(scaling: str, features: str, tmp_path: Path) -> None:
    config = levels(features=FEATURES[features], scaling=scaling, fields=("close", "high"))
    network, task = build_network(config), task_of(config)
    part = task.train_part
    computed = network.get_layer("features")(part.windows)
    network.get_layer("scaling").adapt(np.asarray(computed))
    network.get_layer("prices").adapt(part.windows, part.windows, part.labels[:, 0])
    facts = Facts(
        head="forecast", columns=config.columns, architecture="", features=config.features
    )
    certificate = export(network, tmp_path / "m.onnx", bars=BARS, facts=facts).certificate
    assert certificate.windows == len(BARS) - 5
    assert certificate.max_difference <= 1e-5
    assert certificate.flipped_calls == 0
