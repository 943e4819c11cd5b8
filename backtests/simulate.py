"""Backtests by the compiled replay: the same results as backtrader's, thousands at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..signals.arrays import FloatArray
from .experiment import Experiment
from .replay import Replayed, Rules, replay
from .result import Result

__all__ = ["Calls", "account_returns", "ended_at_nothing", "rules_of", "simulate", "simulate_many"]


@dataclass(frozen=True, eq=False)
class Calls:
    """What a strategy wants on the test bars, before any cost."""

    direction: npt.NDArray[np.int8]
    """-1, 0 or +1 at each close, shape (n,)."""
    share: FloatArray | None = None
    """Share of the target to invest, shape (n,); None is all of it."""
    band: float | None = None
    """Takes the place of the experiment's band: a share that moves needs one."""


def rules_of(experiment: Experiment, band: float | None = None) -> Rules:
    """Return the sizing of an experiment for the replay; every bar given to it is a test bar."""
    return Rules(
        cash=experiment.cash,
        shorts=experiment.shorts,
        target=experiment.target,
        step=experiment.step,
        band=experiment.band if band is None else band,
        hold=experiment.on_zero == "hold",
    )


def simulate_many(
    bars: pd.DataFrame,
    directions: npt.NDArray[np.int8],
    costs: Sequence[float],
    rules: Rules,
    share: FloatArray | None = None,
) -> Replayed:
    """Run every row of `directions`, shape (k, n), at every cost: k * len(costs) columns.

    `bars` are the n test bars; a direction is decided at its bar's close and filled at the next
    open, with the `share` of the same row of shape (k, n), or of shape (n,) for all rows. Column
    ``i * len(costs) + j`` is row i at cost j, in basis points a side.
    """
    rows, levels = len(directions), len(costs)
    return replay(
        bars["open"].to_numpy(np.float64)[None],
        bars["close"].to_numpy(np.float64)[None],
        directions,
        np.tile(np.asarray(costs, np.float64), rows),
        rules,
        symbol=np.zeros(rows * levels, np.intp),
        signal=np.repeat(np.arange(rows), levels),
        share=None if share is None else np.atleast_2d(share),
        shares=None if share is None else _own(share, rows, levels),
    )


def _own(share: FloatArray, rows: int, levels: int) -> npt.NDArray[np.intp]:
    """Return for each column the row of its share."""
    return np.repeat(np.arange(rows) if share.ndim == 2 else np.zeros(rows, np.intp), levels)


def account_returns(equity: FloatArray, cash: float) -> FloatArray:
    """Return the simple returns of accounts, shape (columns, n); the first bar only opens them."""
    before = np.concatenate([np.full((len(equity), 1), cash), equity[:, :-1]], axis=1)
    # backtrader's analyzer divides and subtracts in this order.
    return equity / before - 1.0


def ended_at_nothing(returns: FloatArray) -> FloatArray:
    """Return `returns`, shape (columns, n), where a lost account loses all once and rests then."""
    lost = np.cumsum(returns <= -1.0, axis=1)
    first = (lost == 1) & (returns <= -1.0)
    return np.where(first, -1.0, np.where(lost > 0, 0.0, returns))


def simulate(bars: pd.DataFrame, calls: Calls, experiment: Experiment, *, name: str) -> Result:
    """Return the result of one strategy on the test `bars`, as `nextbar.backtests.run` would.

    Refusals carry no size here: the replay counts them only.
    """
    rules = rules_of(experiment, calls.band)
    done = simulate_many(bars, calls.direction[None], [experiment.cost_bps], rules, calls.share)
    index, cost = bars.index, experiment.cost_bps / 1e4
    wanted = calls.direction if experiment.shorts else np.maximum(calls.direction, 0)
    refused = np.repeat(np.arange(len(bars)), done.refused[0])
    return Result(
        name=name,
        symbol=str(bars.attrs["symbol"]),
        equity=pd.Series(done.equity[0], index, name="equity"),
        returns=pd.Series(account_returns(done.equity, rules.cash)[0], index, name="returns"),
        position=pd.Series(done.position[0], index, name="position"),
        direction=pd.Series(wanted.astype(np.int64), index, name="direction"),
        score=None,
        close=bars["close"],
        orders=_fills(bars, done.position[0], cost),
        rejected=pd.DataFrame({"date": index[refused], "size": np.nan, "status": "Margin"}),
        cash=experiment.cash,
        cost_bps=experiment.cost_bps,
    )


def _fills(bars: pd.DataFrame, position: FloatArray, rate: float) -> pd.DataFrame:
    """Return the fills behind a path of positions: at the open, none across zero."""
    before = np.concatenate([[0.0], position[:-1]])
    crosses = before * position < 0
    first = np.where(crosses, -before, position - before)
    second = np.where(crosses, position, 0.0)
    size = np.column_stack([first, second]).ravel()
    row = np.repeat(np.arange(len(bars)), 2)[size != 0]
    size = size[size != 0]
    price = bars["open"].to_numpy(np.float64)[row]
    value = np.abs(size) * price
    columns: Mapping[str, object] = {
        "date": bars.index[row],
        "size": size,
        "price": price,
        "value": value,
        "commission": np.abs(size) * rate * price,
    }
    return pd.DataFrame(columns)
