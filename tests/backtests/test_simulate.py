"""The replay's results are backtrader's, field by field."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from nextbar.backtests.engine import Account, run
from nextbar.backtests.metrics import summary
from nextbar.backtests.result import Result
from nextbar.backtests.simulate import Calls, account_returns, rules_of, simulate, simulate_many
from nextbar.backtests.stored import load_result, save_result
from nextbar.signals import MomentumDirection, VolatilityTargetDirection
from nextbar.signals.bars import check_bars
from nextbar.signals.manifest import Rule
from nextbar.signals.rules import rule_directions, volatility_scores, volatility_share
from nextbar.strategies import FollowDirection

from ..markets import random_bars
from .test_comparison import experiment_of

START = 100

SETTINGS: tuple[dict[str, Any], ...] = (
    {},
    {"shorts": True},
    {"shorts": True, "step": None, "target": 1.0},
    {"on_zero": "hold", "band": 0.02},
    {"cost_bps": 0.0, "cash": 500.0},
)


def both(settings: dict[str, Any]) -> tuple[Result, Result]:
    bars = check_bars(random_bars(400, seed=5, sigma=0.03))
    experiment = experiment_of("AA", **settings)
    direction = rule_directions(
        Rule(name="momentum", parameters={"period": 5}), bars["close"].to_numpy()
    )
    test = bars.iloc[START:]
    test.attrs.update(bars.attrs)
    calls = Calls(direction[START:].astype(np.int8))
    sizing = experiment.model_dump(include={"shorts", "target", "step", "band", "on_zero"})
    real = run(
        bars,
        FollowDirection,
        {**sizing, "signal": partial(MomentumDirection, period=5)},
        Account(experiment.cash, experiment.cost_bps),
        name="x",
        first=bars.index[START],
    )
    return real, simulate(test, calls, experiment, name="x")


@pytest.mark.parametrize("settings", SETTINGS)
def test_equal_to_backtrader_in_every_field(settings: dict[str, Any]) -> None:
    real, twin = both(settings)
    for name in ("equity", "returns", "position", "close"):
        pd.testing.assert_series_equal(
            getattr(real, name), getattr(twin, name), check_exact=True, check_freq=False
        )
    pd.testing.assert_frame_equal(real.orders, twin.orders, rtol=1e-12)
    assert list(real.rejected["date"]) == list(twin.rejected["date"])
    expected, found = summary(real, 252), summary(twin, 252)
    assert found == pytest.approx(expected, rel=1e-9, nan_ok=False)
    assert found["trades"]


def test_refusals_are_counted() -> None:
    real, twin = both({"shorts": True, "step": None, "target": 1.0})
    assert len(twin.rejected) == len(real.rejected) > 0


def test_a_share_of_the_target() -> None:
    bars = random_bars(400, seed=6, sigma=0.03)
    experiment = experiment_of("AA")
    test = bars.iloc[START:]
    test.attrs.update(bars.attrs)
    share = volatility_share(volatility_scores(bars["close"].to_numpy(), 60, 252), 0.2)[START:]
    assert 0 < share.min() < 0.9
    calls = Calls(np.ones(len(test), np.int8), share, band=0.05)
    real = run(
        bars,
        FollowDirection,
        {"signal": partial(VolatilityTargetDirection, target=0.2), "band": 0.05},
        Account(),
        name="x",
        first=bars.index[START],
    )
    twin = simulate(test, calls, experiment, name="x")
    np.testing.assert_array_equal(twin.equity, real.equity)
    assert len(twin.orders) == len(real.orders) > 5


def test_cash_and_positions_make_equity_and_trades_less_costs_make_profit() -> None:
    _, twin = both({"shorts": True})
    orders = twin.orders
    cash = twin.cash - (orders["size"] * orders["price"]).sum() - orders["commission"].sum()
    held = twin.position.iloc[-1] * twin.close.iloc[-1]
    assert cash + held == pytest.approx(twin.equity.iloc[-1], rel=1e-9)
    assert orders["size"].sum() == pytest.approx(twin.position.iloc[-1])


def test_columns_are_rows_times_costs() -> None:
    bars = random_bars(200, seed=1)
    experiment = experiment_of("AA")
    rng = np.random.default_rng(0)
    directions = rng.integers(-1, 2, (3, 200)).astype(np.int8)
    done = simulate_many(bars, directions, (0.0, 5.0), rules_of(experiment))
    returns = account_returns(done.equity, experiment.cash)
    for i, row in enumerate(directions):
        for j, cost in enumerate((0.0, 5.0)):
            alone = simulate(bars, Calls(row), experiment_of("AA", cost_bps=cost), name="x").returns
            np.testing.assert_array_equal(returns[2 * i + j], alone)


def test_a_result_comes_back_from_disk(tmp_path: Path) -> None:
    real, _ = both({"shorts": True, "target": 1.0})
    path = tmp_path / "cell.npz"
    save_result(path, real, "key")
    found = load_result(path, "key")
    assert found is not None
    for name in ("equity", "returns", "position", "direction", "close", "score"):
        pd.testing.assert_series_equal(
            getattr(found, name), getattr(real, name), check_freq=False, check_exact=True
        )
    pd.testing.assert_frame_equal(found.orders, real.orders)
    pd.testing.assert_frame_equal(found.rejected, real.rejected, check_dtype=False)
    assert (found.name, found.symbol, found.cash, found.cost_bps) == (
        real.name, real.symbol, real.cash, real.cost_bps,
    )  # fmt: skip
    first = path.read_bytes()
    save_result(path, real, "key")
    assert path.read_bytes() == first


@pytest.mark.parametrize("content", [b"", b"PK", b"{}", None])
def test_a_damaged_result_is_none(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "cell.npz"
    if content is not None:
        path.write_bytes(content)
    assert load_result(path, "key") is None
    save_result(path, both({})[0], "key")
    assert load_result(path, "other key") is None
    path.write_bytes(path.read_bytes()[:-500])
    assert load_result(path, "key") is None
