"""From accounts to evidence: the mix of symbols, whole days, and nothing that is not a number."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from nextbar.backtests.common import BASELINES, LABELS, RIVALS, pooled
from nextbar.backtests.judgement import Mixed, judge, mixed_summary
from nextbar.backtests.metrics import sharpe
from nextbar.backtests.shadows import COSTS


def mixed_of(days: int, seed: int = 0, **changes: Any) -> Mixed:
    rng = np.random.default_rng(seed)
    index = pd.bdate_range("2001-01-01", periods=days)
    frame = pd.DataFrame(
        {name: rng.normal(0.0003, 0.01, days) for name in LABELS}, pd.DatetimeIndex(index)
    )
    fields: dict[str, Any] = {
        "strategies": frame,
        "seeds": rng.normal(0, 0.01, (3, days)),
        "random": rng.normal(0, 0.01, (50, days)),
        "costs": {name: rng.normal(0, 0.01, (len(COSTS), days)) for name in LABELS},
        "periods_per_year": 252.0,
    }
    return Mixed(**fields | changes)


def plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(plain, value))
    return value is None or isinstance(value, str | bool | int) or math.isfinite(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("days", [3, 40, 300, 700])
def test_all_of_it_is_plain_at_any_length(days: int) -> None:
    found = judge(mixed_of(days), 1, [])
    assert plain(found)
    json.dumps(found, allow_nan=False)
    assert found["verdict"]["days"] == days
    if days < 252:
        assert found["verdict"]["reason"] == "too short"


def test_a_strategy_that_never_trades_is_cash() -> None:
    mixed = mixed_of(600)
    mixed.strategies["reversal"] = 0.0
    mixed.strategies["lstm"] = 0.0
    found = judge(mixed, 1, [])
    assert plain(found)
    assert found["verdict"]["reason"] == "never traded"
    assert found["lstm"]["probabilistic_sharpe"] is None
    assert mixed_summary(mixed)["lstm"]["sharpe"] is None


def test_every_baseline_is_a_pair_and_placebos_are_none() -> None:
    found = judge(mixed_of(600), 1, [])
    assert {pair["baseline"] for pair in found["verdict"]["pairs"]} == {*BASELINES, *RIVALS}
    assert set(found["bands"]) == {*BASELINES, *RIVALS}


def test_rivals_need_not_take_part() -> None:
    mixed = mixed_of(600)
    alone = replace(mixed, strategies=mixed.strategies.drop(columns=list(RIVALS)))
    assert {pair["baseline"] for pair in judge(alone, 1, [])["verdict"]["pairs"]} == {*BASELINES}


def test_more_trials_never_help() -> None:
    one, many = judge(mixed_of(600), 1, []), judge(mixed_of(600), 20, [0.1, 0.9])
    for before, after in zip(one["verdict"]["pairs"], many["verdict"]["pairs"], strict=True):
        assert after["p"] >= before["p"]
    assert (
        many["lstm"]["deflated_sharpe"]["probability"]
        < one["lstm"]["deflated_sharpe"]["probability"]
    )


def test_seeds_and_random_callers_are_bands_of_sharpe_ratios() -> None:
    mixed = mixed_of(500)
    found = judge(mixed, 1, [])
    ratios = [sharpe(row, 252) for row in mixed.seeds]
    assert found["seeds"]["sharpe"]["max"] == pytest.approx(max(r for r in ratios if r))
    own = sharpe(mixed.strategies["lstm"].to_numpy(), 252)
    random = [sharpe(row, 252) for row in mixed.random]
    share = np.mean([r >= own for r in random if r is not None and own is not None])
    assert found["random"]["as_good_or_better"] == pytest.approx(share)


def test_symbols_are_mixed_by_date_a_missing_one_as_nothing() -> None:
    dates = {
        "AA": pd.DatetimeIndex(["2001-01-01", "2001-01-02", "2001-01-03"]),
        "BB": pd.DatetimeIndex(["2001-01-02", "2001-01-03"]),
    }
    found = pooled({"AA": np.array([[0.2, 0.1, 0.0]]), "BB": np.array([[0.3, 0.1]])}, dates)
    np.testing.assert_allclose(found[0], [0.1, 0.2, 0.05])
