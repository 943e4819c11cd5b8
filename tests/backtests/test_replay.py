"""The replay against its referee: the same strategy under backtrader, equal to the last bit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nextbar.backtests.engine import Account, run
from nextbar.backtests.replay import Rules, replay
from nextbar.signals import EMADirection, MomentumDirection, sample_bars
from nextbar.signals.errors import ExperimentError
from nextbar.strategies import BuyAndHold, FollowDirection

from ..markets import random_bars


class Played(bt.Indicator):
    """Plays directions given as numbers, one a bar."""

    lines = ("direction", "score")
    params = (("calls", None),)

    def next(self) -> None:
        self.lines.direction[0] = self.p.calls[len(self) - 1]


class Market:
    """Any callable may be a parameter; a list would be expanded by backtrader."""

    def __init__(self, calls: np.ndarray) -> None:
        self.calls = calls.astype(float)

    def __call__(self, data: Any) -> Any:
        return Played(data, calls=self.calls)


@dataclass(frozen=True)
class Case:
    bars: pd.DataFrame
    direction: np.ndarray
    cost_bps: float
    rules: Rules

    def referee(self) -> Any:
        rules = self.rules
        params = {
            "signal": Market(self.direction),
            "shorts": rules.shorts,
            "target": rules.target,
            "step": rules.step,
            "band": rules.band,
            "on_zero": "hold" if rules.hold else "flat",
        }
        account = Account(rules.cash, self.cost_bps)
        first = self.bars.index[0]
        return run(self.bars, FollowDirection, params, account, name="x", first=first)

    def replayed(self) -> Any:
        prices = [self.bars[name].to_numpy()[None] for name in ("open", "close")]
        direction = self.direction.astype(np.int8)[None]
        return replay(*prices, direction, np.array([self.cost_bps]), self.rules)


def assert_equal(case: Case) -> tuple[int, int]:
    """Compare bits and return how many fills and refusals there were."""
    expected, found = case.referee(), case.replayed()
    assert found.equity[0].tobytes() == expected.equity.to_numpy().tobytes()
    assert found.position[0].tobytes() == (expected.position.to_numpy() + 0.0).tobytes()
    index = case.bars.index
    for events, counted in ((expected.orders, found.fills), (expected.rejected, found.refused)):
        per_bar = events.groupby("date").size().reindex(index, fill_value=0)
        assert per_bar.tolist() == counted[0].tolist()
    opens = case.bars["open"].loc[expected.orders["date"]].to_numpy()
    assert (expected.orders["price"].to_numpy() == opens).all()
    return int(found.fills.sum()), int(found.refused.sum())


SHAPES = ("walk", "gaps", "flat", "crash", "squeeze")


def prices(shape: str, n: int, level: float, seed: int, digits: int | None) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    step = rng.normal(0, 0.02, (n, 2))
    if shape == "gaps":
        step[:, 0] += rng.choice([-0.2, 0.0, 0.2], n, p=[0.1, 0.8, 0.1])
    elif shape == "flat":
        step *= rng.random((n, 1)) < 0.3
    elif shape == "crash":
        step[n // 2, 0] -= 1.2
    elif shape == "squeeze":
        step[n // 2 : n // 2 + 5, 0] += 0.5
    path = level * np.exp(np.cumsum(step.ravel()))
    if digits is not None:
        path = np.maximum(np.round(path / level, digits), 10.0**-digits) * level
    open_, close = path[::2], path[1::2]
    frame = random_bars(n).assign(open=open_, close=close)
    frame["high"], frame["low"] = np.maximum(open_, close), np.minimum(open_, close)
    return frame


@st.composite
def cases(draw: Any) -> Case:
    n, seed = draw(st.integers(2, 60)), draw(st.integers(0, 2**32 - 1))
    level = 10.0 ** draw(st.floats(-6, 9))
    digits = draw(st.sampled_from([None, 2, 4]))
    bars = prices(draw(st.sampled_from(SHAPES)), n, level, seed, digits)
    rng = np.random.default_rng(seed + 1)
    keep = draw(st.sampled_from([0.0, 0.5, 0.9]))
    direction = rng.integers(-1, 2, n)
    for t in range(1, n):
        if rng.random() < keep:
            direction[t] = direction[t - 1]
    rules = Rules(
        cash=draw(st.sampled_from([1e3, 1e5, 1e6])) * max(level / 100, 1e-3),
        shorts=draw(st.booleans()),
        target=draw(st.sampled_from([0.5, 0.95, 0.99, 1.0, 2.0, 3.0])),
        step=draw(st.sampled_from([None, 1.0, 100.0, 0.001, 2.0**-20])),
        band=draw(st.sampled_from([None, 0.0, 0.05])),
        hold=draw(st.booleans()),
    )
    return Case(bars, direction, draw(st.sampled_from([0.0, 1.0, 5.0, 33.3, 100.0])), rules)


@given(cases())
@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_equal_to_backtrader_on_generated_markets(case: Case) -> None:
    assert_equal(case)


def test_the_generator_reaches_the_hard_cases() -> None:
    """A fixed set in the generator's style holds refusals at both checks and negative equity."""
    fills = refused = ruined = 0
    for seed in range(40):
        shape = SHAPES[seed % len(SHAPES)]
        rng = np.random.default_rng(seed)
        rules = Rules(cash=1e4, shorts=True, target=[1.0, 3.0][seed % 2], step=1.0)
        bars = prices(shape, 60, 10.0, seed, 2)
        case = Case(bars, rng.integers(-1, 2, 60), 5.0, rules)
        found = assert_equal(case)
        fills, refused = fills + found[0], refused + found[1]
        ruined += bool((case.replayed().equity < 0).any())
    assert fills > 500
    assert refused > 100
    assert ruined > 1


SIGNALS = {
    "ema": partial(EMADirection, fast=20, slow=50),
    "momentum": partial(MomentumDirection, period=252),
}


@pytest.mark.parametrize("shorts", [False, True])
@pytest.mark.parametrize("symbol", ["AAPL", "MSFT", "IBM", "GOOG"])
@pytest.mark.parametrize("name", [*SIGNALS, "buy and hold"])
def test_equal_on_real_prices(name: str, symbol: str, shorts: bool) -> None:
    bars = sample_bars(symbol)
    first, account = bars.index[300], Account()
    if name in SIGNALS:
        params = {"signal": SIGNALS[name], "shorts": shorts}
        expected = run(bars, FollowDirection, params, account, name=name, first=first)
    else:
        expected = run(bars, BuyAndHold, {"shorts": shorts}, account, name=name, first=first)
    direction = np.zeros(len(bars), np.int8)
    direction[300:] = expected.direction.to_numpy()
    found = replay(
        bars["open"].to_numpy()[None],
        bars["close"].to_numpy()[None],
        direction[None],
        np.array([account.cost_bps]),
        Rules(shorts=shorts, first=300),
    )
    assert found.equity[0, 300:].tobytes() == expected.equity.to_numpy().tobytes()
    assert found.position[0, 300:].tobytes() == (expected.position.to_numpy() + 0.0).tobytes()


def test_many_columns_equal_one_at_a_time() -> None:
    """Threads, shared price rows and cost levels change nothing."""
    bars = [random_bars(200, seed=i) for i in range(3)]
    open_, close = (np.array([frame[name] for frame in bars]) for name in ("open", "close"))
    direction = np.random.default_rng(0).integers(-1, 2, (5, 200)).astype(np.int8)
    symbol, signal, cost = (grid.ravel() for grid in np.meshgrid(range(3), range(5), [0.0, 5.0]))
    rules = Rules(shorts=True, first=7)
    whole = replay(open_, close, direction, cost, rules, symbol=symbol, signal=signal)
    assert whole.equity.shape == (30, 200)
    for column in range(30):
        one = replay(
            open_[[symbol[column]]],
            close[[symbol[column]]],
            direction[[signal[column]]],
            cost[[column]],
            rules,
        )
        for part in ("equity", "position", "fills", "refused"):
            assert np.array_equal(getattr(whole, part)[column], getattr(one, part)[0])
    assert (whole.fills[:, :8] == 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"open_": np.full((1, 5), np.nan)}, "open holds a price"),
        ({"close": np.zeros((1, 5))}, "close holds a price"),
        ({"close": np.ones((1, 4))}, "equal length"),
        ({"direction": np.full((1, 5), 2, np.int8)}, "-1, 0 or"),
        ({"direction": np.zeros((3, 5), np.int8)}, "`signal`"),
        ({"symbol": np.array([1])}, "from 0 to 0"),
    ],
)
def test_bad_input(change: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {
        "open_": np.ones((1, 5)),
        "close": np.ones((1, 5)),
        "direction": np.ones((1, 5), np.int8),
        "cost_bps": np.zeros(1),
        "rules": Rules(),
    }
    replay(**good)
    with pytest.raises(ExperimentError, match=message):
        replay(**good | change)
