"""The end of a forecast head: scaled numbers to prices and back, and the move of the call."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from nextbar.signals.bars import COLUMNS
from nextbar.signals.windows import windows_of
from nextbar.training.backend import repeatable_tensorflow
from nextbar.training.config import FIELDS, TrainingConfig
from nextbar.training.labels import price_labels

from .tiny import BARS, levels

repeatable_tensorflow()

from nextbar.training.heads import HEADS  # noqa: E402
from nextbar.training.prices import PriceOutput  # noqa: E402

WINDOW, ROWS = 6, 200

FORMS: dict[str, dict[str, Any]] = {
    "one field": {},
    "two fields": {"fields": ("mid", "close"), "horizon": 3},
    "every bar": {"fields": ("high",), "steps": "every", "horizon": 4},
    "every bar of two": {"fields": ("open", "low"), "steps": "every", "horizon": 2},
}


def made(config: TrainingConfig) -> tuple[PriceOutput, np.ndarray, np.ndarray]:
    """Return a fitted layer, windows, (n, window, 5), and the prices after them, (n, k)."""
    bars = np.ascontiguousarray(windows_of(BARS[list(COLUMNS)].to_numpy(np.float32), WINDOW))
    prices = price_labels(BARS, config.columns)[WINDOW - 1 :]
    layer = PriceOutput(
        config.columns, config.scaling, config.price_levels, config.target == "open"
    )
    layer.build(None)
    layer.adapt(bars[:ROWS], bars[:ROWS], prices[:ROWS])
    return layer, bars[:ROWS], prices[:ROWS]


def price(name: str, row: int) -> float:
    bar = BARS.iloc[row]
    return (bar["high"] + bar["low"]) / 2 if name == "mid" else float(bar[name])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("target", ["open", "close"])
@pytest.mark.parametrize("scaling", ["standard", "minmax", "robust", "rank", "window"])
def test_there_and_back(scaling: str, target: str, form: str) -> None:
    config = levels(scaling=scaling, target=target, **FORMS[form])
    layer, bars, prices = made(config)
    assert layer.levels == (scaling != "window")
    numbers = layer.scaled(bars, prices)
    assert numbers.dtype == np.float32
    assert np.abs(numbers).max() < 50
    said = layer([numbers, bars])
    np.testing.assert_allclose(np.asarray(said["forecast"]), prices, rtol=2e-6)
    # The call follows from the forecast columns and, for the close, from the bar t.
    first, exit_ = config.fields[0], len(config.columns) // len(config.fields) - 1
    assert config.columns[exit_] == (first, config.horizon + (target == "open"))
    for i in range(0, ROWS, 17):
        start = prices[i, 0] if target == "open" else price(first, i + WINDOW - 1)
        end = price(first, i + WINDOW - 1 + config.columns[exit_][1])
        over = price(first, i + WINDOW - 1) if layer.levels else start
        assert np.asarray(said["move"])[i] == pytest.approx((end - start) / over, abs=2e-6)


@pytest.mark.parametrize("field", FIELDS)
def test_levels_are_scaled_as_the_features_are(field: str) -> None:
    from nextbar.training.networks import build_network

    config = levels(features=(field,), fields=(field,), scaling="standard")
    network, (_, bars, prices) = build_network(config), made(config)
    scaling, output = (network.get_layer(name) for name in ("scaling", "prices"))
    scaling.adapt(np.asarray(network.get_layer("features")(bars)))
    output.adapt(bars, bars, prices)
    for constant in ("offset", "scale"):
        one, all_ = (np.asarray(getattr(layer, constant)) for layer in (scaling, output))
        np.testing.assert_array_equal(all_, np.repeat(one, len(config.columns)))
    values = BARS.assign(mid=(BARS["high"] + BARS["low"]) / 2)[field].iloc[: ROWS + WINDOW - 1]
    seen = windows_of(values.to_numpy(np.float32)[:, None], WINDOW)
    np.testing.assert_allclose(np.asarray(output.offset), seen.mean(), rtol=1e-6)
    np.testing.assert_allclose(np.asarray(output.scale), seen.std(), rtol=1e-5)


def test_relative_prices_are_free_of_the_level() -> None:
    config = levels(features=("return",), scaling="standard", fields=("open", "mid"))
    layer, bars, prices = made(config)
    expected = np.log(prices / bars[:, -1:, 3].astype(np.float64))
    np.testing.assert_allclose(np.asarray(layer.offset), expected.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(np.asarray(layer.scale), expected.std(axis=0), rtol=1e-4)
    numbers = layer.scaled(bars, prices)
    said, moved = (layer([numbers, bars * factor]) for factor in (1.0, np.float32(8.0)))
    np.testing.assert_allclose(
        np.asarray(moved["forecast"]), 8 * np.asarray(said["forecast"]), rtol=1e-6
    )
    np.testing.assert_allclose(np.asarray(moved["move"]), np.asarray(said["move"]), atol=1e-6)


def test_what_the_network_is_told() -> None:
    """All draws of a label are scaled by the same constants."""
    config = levels(augment=2)
    layer, bars, prices = made(config)
    draws = np.stack([prices, prices * 1.25], axis=1)

    class Network:
        def get_layer(self, name: str) -> Any:
            return layer if name == "prices" else type("Dense", (), {"units": 2})

    told = HEADS["forecast"].labels(Network(), bars, draws)
    assert told.shape == (ROWS, 2, 2)
    low, span = np.asarray(layer.offset), np.asarray(layer.scale)
    np.testing.assert_allclose(told[:, 1], (prices * 1.25 - low) / span, rtol=1e-5)


def test_it_is_made_again_from_its_config() -> None:
    layer, bars, prices = made(levels(fields=("mid", "close")))
    again = PriceOutput.from_config(layer.get_config())
    again.build(None)
    again.set_weights(layer.get_weights())
    numbers = layer.scaled(bars, prices)
    for name, values in layer([numbers, bars]).items():
        np.testing.assert_array_equal(np.asarray(again([numbers, bars])[name]), np.asarray(values))
