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
from nextbar.signals import (
    LSTMDirection,
    VolatilityTargetDirection,
    load_model,
    rules,
    sample_bars,
    sample_model,
)
from nextbar.signals.baselines import rule_indicator
from nextbar.signals.chain import Rule
from nextbar.signals.errors import ExperimentError
from nextbar.signals.rules import rule_directions
from nextbar.strategies import BuyAndHold, FollowDirection

from ..markets import random_bars


class Played(bt.Indicator):
    """Plays directions given as numbers, one a bar."""

    lines = ("direction", "score")
    params = (("calls", None),)

    def next(self) -> None:
        self.lines.direction[0] = self.p.calls[len(self) - 1]


class PlayedShares(Played):
    """Plays shares as well."""

    lines = ("share",)
    params = (("shares", None),)

    def next(self) -> None:
        super().next()
        self.lines.share[0] = self.p.shares[len(self) - 1]


class Market:
    """Any callable may be a parameter; a list would be expanded by backtrader."""

    def __init__(self, calls: np.ndarray, shares: np.ndarray | None) -> None:
        self.calls, self.shares = calls.astype(float), shares

    def __call__(self, data: Any) -> Any:
        if self.shares is None:
            return Played(data, calls=self.calls)
        return PlayedShares(data, calls=self.calls, shares=self.shares)


@dataclass(frozen=True)
class Case:
    bars: pd.DataFrame
    direction: np.ndarray
    cost_bps: float
    rules: Rules
    share: np.ndarray | None = None

    def referee(self) -> Any:
        rules = self.rules
        params = {
            "signal": Market(self.direction, self.share),
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
        share = None if self.share is None else self.share[None]
        return replay(*prices, direction, np.array([self.cost_bps]), self.rules, share=share)


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


SHARES = ("none", "any", "coarse", "tiny", "one")


def shares_of(kind: str, n: int, rng: np.random.Generator) -> np.ndarray | None:
    """Return a share for each bar: any, of 0, half and 1, of almost nothing, or always 1."""
    return {
        "none": None,
        "any": rng.random(n),
        "coarse": rng.integers(0, 3, n) / 2,
        "tiny": rng.random(n) * 1e-6,
        "one": np.ones(n),
    }[kind]


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
    share = shares_of(draw(st.sampled_from(SHARES)), n, rng)
    return Case(bars, direction, draw(st.sampled_from([0.0, 1.0, 5.0, 33.3, 100.0])), rules, share)


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


def rule(name: str, **parameters: int) -> tuple[Any, Any]:
    """Return the indicator of a rule, and its directions as a function of bars."""
    made = Rule(name=name, parameters=parameters)
    return rule_indicator(made), lambda bars: (
        rule_directions(made, bars["close"].to_numpy()),
        None,
    )


def sample_calls(bars: pd.DataFrame) -> tuple[np.ndarray, None]:
    scores = load_model(sample_model()).score(bars.to_numpy())
    padded = np.append(np.full(len(bars) - len(scores), np.nan), scores)
    return np.asarray(rules.call(padded, 0.5, 0.0)), None


def even_risk(bars: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    volatility = rules.volatility_scores(bars["close"].to_numpy())
    return np.isfinite(volatility) * 1.0, rules.volatility_share(volatility, 0.15)


SIGNALS = {
    "ema": rule("ema", fast=20, slow=50),
    "momentum": rule("momentum", period=252),
    "mean": rule("mean"),
    "reversal": rule("reversal"),
    "constant": rule("constant", direction=1),
    "always short": rule("constant", direction=-1),
    "volatility target": (VolatilityTargetDirection, even_risk),
    "sample model": (
        partial(LSTMDirection, model=sample_model(), in_sample="allow"),
        sample_calls,
    ),
}


def replayed(bars: pd.DataFrame, calls: Any, rules: Rules) -> Any:
    direction, share = calls
    return replay(
        bars["open"].to_numpy()[None],
        bars["close"].to_numpy()[None],
        direction.astype(np.int8)[None],
        np.array([Account().cost_bps]),
        rules,
        share=None if share is None else share[None],
    )


@pytest.mark.parametrize("shorts", [False, True])
@pytest.mark.parametrize("symbol", ["AAPL", "MSFT", "IBM", "GOOG"])
@pytest.mark.parametrize("name", [*SIGNALS, "buy and hold"])
@pytest.mark.filterwarnings("ignore:the model was trained on AAPL")
def test_equal_on_real_prices(name: str, symbol: str, shorts: bool) -> None:
    """Directions and shares of the array functions give what the indicators give."""
    bars = sample_bars(symbol)
    first, account, band = bars.index[300], Account(), 0.05 if shorts else None
    if name in SIGNALS:
        signal, calls = SIGNALS[name]
        params = {"signal": signal, "shorts": shorts, "band": band}
        expected = run(bars, FollowDirection, params, account, name=name, first=first)
    else:
        params, calls = {"shorts": shorts, "band": band}, SIGNALS["constant"][1]
        expected = run(bars, BuyAndHold, params, account, name=name, first=first)
    found = replayed(bars, calls(bars), Rules(shorts=shorts, first=300, band=band))
    assert found.equity[0, 300:].tobytes() == expected.equity.to_numpy().tobytes()
    assert found.position[0, 300:].tobytes() == (expected.position.to_numpy() + 0.0).tobytes()
    for events, counted in ((expected.orders, found.fills), (expected.rejected, found.refused)):
        per_bar = events.groupby("date").size().reindex(bars.index, fill_value=0)
        assert per_bar.tolist() == counted[0].tolist()
    assert shorts or name == "always short" or found.fills.sum() > 0


@pytest.mark.parametrize("band", [None, 0.0, 0.02])
@pytest.mark.parametrize("step", [None, 1.0])
def test_a_share_is_equal_on_real_prices(step: float | None, band: float | None) -> None:
    bars = sample_bars("AAPL").iloc[:3000]
    signal = partial(VolatilityTargetDirection, target=0.1, span=20)
    params = {"signal": signal, "band": band, "step": step}
    expected = run(bars, FollowDirection, params, Account(), name="x", first=bars.index[20])
    volatility = rules.volatility_scores(bars["close"].to_numpy(), span=20)
    calls = np.isfinite(volatility) * 1.0, rules.volatility_share(volatility, 0.1)
    found = replayed(bars, calls, Rules(first=20, band=band, step=step))
    assert found.equity[0, 20:].tobytes() == expected.equity.to_numpy().tobytes()
    full = replayed(bars, (calls[0], None), Rules(first=20, band=band, step=step))
    assert (found.position[0, 22:] < 0.9 * full.position[0, 22:]).mean() > 0.5
    assert (found.fills.sum() > 100) == (band is not None)


def test_many_columns_equal_one_at_a_time() -> None:
    """Threads, shared price rows and cost levels change nothing."""
    bars = [random_bars(200, seed=i) for i in range(3)]
    open_, close = (np.array([frame[name] for frame in bars]) for name in ("open", "close"))
    direction = np.random.default_rng(0).integers(-1, 2, (5, 200)).astype(np.int8)
    symbol, signal, cost = (grid.ravel() for grid in np.meshgrid(range(3), range(5), [0.0, 5.0]))
    rules = Rules(shorts=True, first=7, band=0.02)
    share, shares = np.random.default_rng(1).random((2, 200)), np.resize([0, 1, 1], 30)
    rows = {"symbol": symbol, "signal": signal, "shares": shares}
    whole = replay(open_, close, direction, cost, rules, share=share, **rows)
    assert whole.equity.shape == (30, 200)
    for column in range(30):
        one = replay(
            open_[[symbol[column]]],
            close[[symbol[column]]],
            direction[[signal[column]]],
            cost[[column]],
            rules,
            share=share[[shares[column]]],
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
        ({"share": np.full((1, 5), np.nan)}, "share must be from 0 to 1"),
        ({"share": np.full((1, 5), 1.01)}, "share must be from 0 to 1"),
        ({"share": np.full((1, 5), -0.01)}, "share must be from 0 to 1"),
        ({"share": np.ones((1, 4))}, "share as .rows, bars. for 5 bars"),
        ({"share": np.ones(5)}, "share as"),
        ({"share": np.ones((3, 5))}, "`shares`"),
        ({"share": np.ones((3, 5)), "shares": np.array([3])}, "from 0 to 2"),
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
