"""The baselines' arithmetic and the one rule from score to direction: pure functions on arrays.

A rule is a name and whole-number parameters; its score is balanced at 0. Every function of closes
takes the whole history, oldest first, and looks at no close after the bar it scores.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from .arrays import FloatArray, Numbers
from .errors import ExperimentError, did_you_mean

if TYPE_CHECKING:
    from .manifest import Rule

__all__ = [
    "PARAMETERS",
    "Numbers",
    "add_change",
    "call",
    "check_rule",
    "ema",
    "ema_score",
    "first_call",
    "momentum_score",
    "position_share",
    "reversal_score",
    "rule_directions",
    "rule_scores",
    "running_sums",
    "volatility_scores",
    "volatility_share",
    "weighted_deviation",
]

PARAMETERS: dict[str, dict[str, int]] = {
    "ema": {"fast": 20, "slow": 50},
    "momentum": {"period": 252},
    "mean": {},
    "reversal": {},
    "constant": {"direction": 1},
}
"""The rules by name, with their parameters and what these are when left out."""


def call(score: Numbers, centre: float, dead_band: float) -> Numbers:
    """Return the direction, in {-1, 0, +1}, of each score.

    +1 above ``centre + dead_band``, -1 below ``centre - dead_band``, 0 between and for NaN.
    """
    return (score > centre + dead_band) * 1.0 - (score < centre - dead_band) * 1.0


def position_share(position: FloatArray) -> FloatArray:
    """Return how much of the target positions from -1 to 1 take, shape (n,); 1 for NaN.

    In thousandths: the last digits of a score depend on the batch it was computed in.
    """
    return np.where(np.isnan(position), 1.0, np.round(np.abs(position), 3))


def ema(values: FloatArray, period: int) -> FloatArray:
    """Return the exponential moving average of `values`, shape (n,), with alpha = 2/(period + 1).

    Seeded with the simple mean of the first `period` values, as backtrader does (pandas seeds
    with the first value): NaN before that, and from the first NaN in `values` on.
    """
    averages = np.full(len(values), np.nan)
    if len(values) < period:
        return averages
    alpha = 2.0 / (1.0 + period)
    # backtrader's sum, so that the averages are equal to the last bit.
    last = averages[period - 1] = math.fsum(values[:period]) / period
    for i in range(period, len(values)):
        last = averages[i] = last * (1.0 - alpha) + values[i] * alpha
    return averages


def ema_score(fast: FloatArray, slow: FloatArray) -> FloatArray:
    """Return ``fast / slow - 1`` of two averages: above 0 when the fast one is above the slow."""
    return fast / slow - 1.0


def momentum_score(first: FloatArray, last: FloatArray) -> FloatArray:
    """Return ``last / first - 1``, the simple return over the look-back of a momentum rule."""
    return last / first - 1.0


def reversal_score(first: FloatArray, last: FloatArray) -> FloatArray:
    """Return ``-(last / first - 1)``: above 0 after a fall."""
    return 1.0 - last / first


def add_change(
    sums: tuple[float, float, float], change: float, decay: float
) -> tuple[float, float, float]:
    """Return weight, sum and sum of squares of the changes so far, with one more `change`.

    What was there before counts `decay` times as much. The order of the operations is part of the
    contract: batched and streamed sums are equal to the last bit.
    """
    weight, total, squares = sums
    return weight * decay + 1.0, total * decay + change, squares * decay + change * change


def running_sums(changes: FloatArray, decay: float = 1.0) -> FloatArray:
    """Return the sums of `add_change` after each of `changes`, shape (n,), as shape (n, 3)."""
    out = np.empty((len(changes), 3))
    sums = (0.0, 0.0, 0.0)
    for i, change in enumerate(changes.tolist()):
        sums = out[i] = add_change(sums, change, decay)
    return out


def weighted_deviation(sums: FloatArray, decay: float) -> FloatArray:
    """Return the weighted standard deviation of sums of shape (n, 3), from two changes on.

    Unbiased, as pandas' ``ewm(alpha=1 - decay).std()``; `decay` is below 1.
    """
    weight, total, squares = sums.T
    mean = total / weight
    # The sum of the squared weights, which is a geometric series as the weight itself.
    squared = weight * (2.0 - weight * (1.0 - decay)) / (1.0 + decay)
    variance = np.maximum(squares / weight - mean * mean, 0.0)
    return np.sqrt(variance * weight * weight / (weight * weight - squared))


def volatility_scores(close: FloatArray, span: int = 60, periods: int = 252) -> FloatArray:
    """Return the annualised volatility at each of `close`, shape (n,).

    It is the exponentially weighted standard deviation of the log returns so far, of that `span`,
    times the root of the `periods` in a year. NaN on the first `span` bars, and from the first
    NaN in `close` on.
    """
    decay = 1.0 - 2.0 / (span + 1.0)
    scores = np.full(len(close), np.nan)
    sums = running_sums(np.log(close[1:] / close[:-1]), decay)[span - 1 :]
    scores[span:] = weighted_deviation(sums, decay) * math.sqrt(periods)
    return scores


def volatility_share(volatility: FloatArray, target: float) -> FloatArray:
    """Return ``min(1, target / volatility)``, in (0, 1]; 1 where `volatility` is NaN."""
    return np.where(volatility > target, target / np.maximum(volatility, target), 1.0)


def check_rule(name: str, parameters: Mapping[str, int]) -> dict[str, int]:
    """Return the parameters of the rule `name`, those left out filled in.

    Raises
    ------
    ExperimentError
        For a name or parameter that is not known, or a value that makes no sense.
    """
    if name not in PARAMETERS:
        raise ExperimentError(f"there is no rule {name!r}.{did_you_mean(name, PARAMETERS)}")
    known = PARAMETERS[name]
    for parameter in parameters:
        if parameter not in known:
            hint = did_you_mean(parameter, known) if known else " It takes none."
            raise ExperimentError(f"the rule {name!r} has no parameter {parameter!r}.{hint}")
    full = {**known, **parameters}
    if name == "ema" and not 1 <= full["fast"] < full["slow"]:
        expected = "1 <= fast < slow"
    elif name == "momentum" and full["period"] < 1:
        expected = "period >= 1"
    elif name == "constant" and full["direction"] not in (-1, 0, 1):
        expected = "a direction of -1, 0 or 1"
    else:
        return full
    found = ", ".join(f"{parameter}={value}" for parameter, value in full.items())
    raise ExperimentError(f"the rule {name!r} needs {expected}, found {found}.")


def first_call(rule: Rule) -> int:
    """Return how many bars `rule` needs for its first call, that bar included."""
    parameters = rule.parameters
    if rule.name == "ema":
        return parameters["slow"]
    if rule.name == "momentum":
        return parameters["period"] + 1
    return 1 if rule.name == "constant" else 2


def rule_scores(rule: Rule, close: FloatArray) -> FloatArray:
    """Return the score of `rule` at each of `close`, both of shape (n,), NaN while warming up.

    ``ema``: fast over slow average, less 1. ``momentum``: the return over `period` bars. ``mean``:
    the mean of all close-to-close returns since the first bar. ``reversal``: the last such return,
    negative. ``constant``: the direction itself.
    """
    parameters, lag = rule.parameters, first_call(rule) - 1
    scores = np.full(len(close), np.nan)
    if rule.name == "ema":
        return ema_score(ema(close, parameters["fast"]), ema(close, parameters["slow"]))
    if rule.name == "constant":
        scores[:] = parameters["direction"]
    elif rule.name == "mean":
        weight, total, _ = running_sums(momentum_score(close[:-1], close[1:])).T
        scores[1:] = total / weight
    elif len(close) > lag:
        score = momentum_score if rule.name == "momentum" else reversal_score
        scores[lag:] = score(close[:-lag], close[lag:])
    return scores


def rule_directions(rule: Rule, close: FloatArray) -> FloatArray:
    """Return the direction of `rule` at each of `close`, both of shape (n,), in {-1, 0, +1}.

    Equal on every bar to the ``direction`` line of its indicator, and so 0 while it warms up.
    """
    return np.asarray(call(rule_scores(rule, close), 0.0, 0.0), np.float64)
