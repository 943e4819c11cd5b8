"""From returns to evidence and verdict: all that `results.json` says of skill and luck."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..signals.arrays import FloatArray
from ..signals.bars import periods_per_year
from ..signals.errors import ExperimentError
from .common import BASELINES, LABELS, RIVALS, pooled
from .evidence.halves import halves_of
from .evidence.leads import NOISE
from .evidence.periods import by_period, by_volatility_regime, seed_band
from .evidence.sharpes import (
    deflated_sharpe,
    minimum_track_record,
    probabilistic_sharpe,
    sharpe_difference_bands,
)
from .evidence.shifts import rank_among
from .evidence.snooping import step_m, superior_predictive_ability
from .metrics import return_summary, sharpe, total_return
from .result import Result
from .shadows import COSTS, Shadows
from .verdict import as_json, decide

__all__ = ["Mixed", "judge", "mix", "mixed_summary"]


@dataclass(frozen=True, eq=False)
class Mixed:
    """Returns of all symbols in equal weight; the first bar, which only opens, is left out."""

    strategies: pd.DataFrame
    """One column a strategy, placebos included."""
    seeds: FloatArray
    """Shape (seeds, n)."""
    random: FloatArray
    """Shape (random callers, n)."""
    costs: dict[str, FloatArray]
    """By strategy shape (costs, n)."""
    periods_per_year: float


def mix(
    bars: Mapping[str, pd.DataFrame],
    results: Mapping[str, Mapping[str, Result]],
    shadows: Mapping[str, Shadows],
) -> Mixed:
    """Return the mean over the symbols, rebalanced to equal weights at every bar.

    Bars shorter than a day are summed to whole days: the verdict's rule counts in days.
    """
    dates = {
        symbol: pd.DatetimeIndex(runs["buy_and_hold"].returns.index)
        for symbol, runs in results.items()
    }

    def mixed(columns: Mapping[str, FloatArray]) -> pd.DataFrame:
        return _by_day(pooled(columns, dates).iloc[1:])

    names = [name for name in LABELS if name in next(iter(results.values()))]
    columns = {
        name: mixed({s: np.array([runs[name].returns], np.float64) for s, runs in results.items()})
        for name in names
    }
    random = mixed({symbol: part.random for symbol, part in shadows.items()})
    frame = pd.DataFrame({name: column[0] for name, column in columns.items()})
    frame["random"] = random.mean(axis=1)
    every = next(iter(dates.values())).append(list(dates.values())[1:]).unique()
    yearly = sum(map(periods_per_year, bars.values())) / len(bars)
    return Mixed(
        strategies=frame[[name for name in LABELS if name in frame]],
        seeds=_rows(mixed({s: part.seeds for s, part in shadows.items()})),
        random=_rows(random),
        costs={
            name: _rows(mixed({s: part.costs[name] for s, part in shadows.items()}))
            for name in next(iter(shadows.values())).costs
        },
        periods_per_year=yearly * len(frame) / (len(every) - 1),
    )


def _by_day(returns: pd.DataFrame) -> pd.DataFrame:
    days = pd.DatetimeIndex(returns.index).normalize()
    return returns if days.is_unique else (1.0 + returns).groupby(days).prod() - 1.0


def _rows(frame: pd.DataFrame) -> FloatArray:
    return frame.to_numpy(np.float64).T


def judge(mixed: Mixed, trials: int, trial_sharpes: Sequence[float]) -> dict[str, Any]:
    """Return evidence and verdict as plain values, without NaN.

    Parameters
    ----------
    mixed : Mixed
        Returns, net of costs.
    trials : int
        LSTM configurations ever evaluated on these dates, this one included.
    trial_sharpes : sequence of float
        Their annual Sharpe ratios, where known.
    """
    frame, yearly = mixed.strategies, mixed.periods_per_year
    returns = {str(name): frame[name].to_numpy(np.float64) for name in frame}
    lstm, market = returns["lstm"], returns["buy_and_hold"]
    # Of equal baselines the first is kept: buy & hold rather than "always the majority".
    first = sorted((*BASELINES, *RIVALS), key=lambda name: name != "buy_and_hold")
    others = {name: returns[name] for name in first if name in returns}
    verdict = decide(
        lstm,
        others,
        market,
        # A given model has no training and so no logistic regression and no shuffled labels.
        required=frozenset(BASELINES) - (set() if "shuffled" in returns else {"logistic"}),
        labels=LABELS,
        trials=trials,
        periods_per_year=yearly,
    )
    bands = sharpe_difference_bands(lstm, others, periods_per_year=yearly)
    return {
        "verdict": as_json(verdict),
        "halves": _halves(lstm, market, yearly),
        "bands": {name: asdict(band) for name, band in bands.items()},
        "snooping": _snooping(frame[["lstm", *others]]),
        "lstm": {
            "probabilistic_sharpe": probabilistic_sharpe(lstm, periods_per_year=yearly),
            "deflated_sharpe": asdict(
                deflated_sharpe(lstm, trials, trial_sharpes, periods_per_year=yearly)
            ),
            "minimum_track_record": asdict(minimum_track_record(lstm, periods_per_year=yearly)),
        },
        "seeds": _seeds(mixed),
        "random": _random(mixed),
        "costs": _costs(mixed),
        "years": [asdict(piece) for piece in by_period(frame, periods_per_year=yearly)],
        "regimes": [
            asdict(piece)
            for piece in by_volatility_regime(frame, frame["buy_and_hold"], periods_per_year=yearly)
        ],
    }


def _halves(lstm: FloatArray, market: FloatArray, yearly: float) -> dict[str, Any]:
    try:
        return asdict(halves_of(lstm, market, periods_per_year=yearly)) | {"reason": None}
    except ExperimentError as error:  # a half in which nothing moved
        return {"decayed": None, "sentence": "not defined", "reason": str(error)}


def mixed_summary(mixed: Mixed) -> dict[str, dict[str, float | None]]:
    """Return the measures that need returns only, for every strategy of the mix."""
    opened = pd.DataFrame(0.0, [mixed.strategies.index[0]], mixed.strategies.columns)
    return {
        str(name): return_summary(
            pd.concat([opened[name], mixed.strategies[name]]), mixed.periods_per_year
        )
        for name in mixed.strategies
    }


def _snooping(frame: pd.DataFrame) -> dict[str, Any]:
    """Return the tests over all strategies at once, against buy & hold."""
    market, models = frame["buy_and_hold"], frame.drop(columns="buy_and_hold")
    return {
        "superior_predictive_ability": asdict(superior_predictive_ability(market, models)),
        "step_m": [str(name) for name in step_m(market, models)],
    }


def _seeds(mixed: Mixed) -> dict[str, Any] | None:
    """Return how the seeds' own accounts spread: noise of the training, not of the market."""
    yearly = mixed.periods_per_year
    market = _ratio(mixed.strategies["buy_and_hold"].to_numpy(np.float64), yearly)
    ratios = [_ratio(row, yearly) for row in mixed.seeds]
    growth = [_growth(row) for row in mixed.seeds]
    return {
        "sharpe": _band(ratios),
        "lead_over_buy_and_hold": _band([ratio - market for ratio in ratios]),
        "total_return": _band(growth),
    }


def _band(values: Sequence[float]) -> dict[str, Any] | None:
    found = seed_band(values)
    return None if found is None else asdict(found)


def _ratio(returns: npt.NDArray[np.float64], yearly: float) -> float:
    """Return the Sharpe ratio, 0 for an account that never moved: it is cash.

    A lost account has one here too, so that it ranks low and not as cash.
    """
    if float(np.ptp(returns)) <= NOISE:
        return 0.0
    return float(returns.mean() / returns.std(ddof=1) * yearly**0.5)


def _growth(returns: FloatArray) -> float:
    return total_return(np.insert(np.cumprod(1.0 + returns), 0, 1.0))


def _random(mixed: Mixed) -> dict[str, Any]:
    """Return where the LSTM stands among random callers with its exposure and turnover."""
    yearly = mixed.periods_per_year
    own = _ratio(mixed.strategies["lstm"].to_numpy(np.float64), yearly)
    ratios = [_ratio(row, yearly) for row in mixed.random]
    return {
        "callers": len(ratios),
        "as_good_or_better": rank_among(own, ratios),
        "sharpe": _band(ratios),
    }


def _costs(mixed: Mixed) -> list[dict[str, Any]]:
    yearly = mixed.periods_per_year
    return [
        {
            "cost_bps": cost,
            "strategies": {
                name: {
                    "sharpe": sharpe(rows[level], yearly),
                    "total_return": _growth(rows[level]),
                }
                for name, rows in mixed.costs.items()
            },
        }
        for level, cost in enumerate(COSTS)
    ]
