import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nextbar.strategies.sizing import units

PRICES = st.floats(1e-6, 1e9)
VALUES = st.floats(1e-2, 1e12)
STEPS = st.sampled_from([1.0, 100.0, 0.001, 2.0**-20])


@pytest.mark.parametrize(
    ("direction", "value", "price", "target", "step", "expected"),
    [
        (1, 10_000.0, 33.0, 0.95, 1.0, 287.0),  # 9500 / 33 = 287.87...
        (-1, 10_000.0, 33.0, 0.95, 1.0, -287.0),  # toward zero on both sides
        (1, 10_000.0, 33.0, 0.95, 100.0, 200.0),
        (1, 10_000.0, 32.0, 0.5, None, 156.25),
        (-1, 10_000.0, 32.0, 0.5, None, -156.25),
        (1, 10_000.0, 32.0, 0.5, 0.25, 156.25),
        (1, 100.0, 101.0, 1.0, 1.0, 0.0),  # one unit is too dear
        (0, 10_000.0, 33.0, 0.95, 1.0, 0.0),
        (1, 0.0, 33.0, 0.95, 1.0, 0.0),
        (1, -50.0, 33.0, 0.95, 1.0, 0.0),  # never a trade on the opposite side
        (-1, -50.0, 33.0, 0.95, None, 0.0),
        (1, 10_000.0, 0.0, 0.95, 1.0, 0.0),
        (1, 10_000.0, -1.0, 0.95, None, 0.0),
    ],
)
def test_units(direction, value, price, target, step, expected):
    result = units(direction, value, price, target, step)
    assert isinstance(result, float)
    assert result == expected


@given(VALUES, PRICES, st.floats(0.01, 3.0), STEPS)
def test_whole_lots_come_within_one_lot_below_the_target(value, price, target, step):
    size = units(1, value, price, target, step)
    assert size == math.floor(target * value / price / step) * step
    assert units(-1, value, price, target, step) == -size
    rounding = 1e-14 * target * value
    assert -rounding <= target * value - size * price <= step * price + rounding


@given(VALUES, PRICES, st.floats(0.01, 3.0))
def test_fractions_invest_the_target_exactly(value, price, target):
    assert units(1, value, price, target, None) * price == pytest.approx(target * value, rel=1e-14)
