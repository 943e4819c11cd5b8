"""The up/down calls beside the base rate: how many came true, and what the scores were worth."""

# statsmodels ships no types.
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...signals.arrays import BoolArray, FloatArray
from ...signals.errors import ExperimentError
from ...signals.rules import call

__all__ = ["Bin", "CallStatistics", "Timing", "calibration", "call_statistics"]


@dataclass(frozen=True)
class Timing:
    """The Pesaran-Timmermann test of independence of calls and outcomes, one-sided.

    On every h-th bar only, so that the outcomes do not overlap; `bars` is that sample's size. None
    with a `reason` when calls or outcomes are all the same: nothing was timed then.
    """

    statistic: float | None
    p: float | None
    bars: int
    reason: str | None


@dataclass(frozen=True)
class CallStatistics:
    """How the calls came true; None where a figure is not defined.

    Attributes
    ----------
    bars, calls : int
        Bars with a score and a known outcome, and those of them with a call.
    accuracy, always_up : float or None
        Of the calls, the share that came true, and the share on which "up" came true.
    base_rate : float or None
        Share of up bars among `bars`.
    mcc : float or None
        Matthews correlation of calls and outcomes; None when either never changes.
    brier, log_loss : float or None
        Mean squared error, and mean minus log likelihood, of the score as a probability.
    brier_base : float or None
        p (1 - p), with p the base rate: what a constant score chosen in hindsight would have.
    brier_train : float or None
        What the training rows' base rate would have had as a constant score.
    """

    bars: int
    calls: int
    accuracy: float | None
    always_up: float | None
    base_rate: float | None
    mcc: float | None
    brier: float | None
    brier_base: float | None
    brier_train: float | None
    log_loss: float | None
    timing: Timing


@dataclass(frozen=True)
class Bin:
    """Bars with neighbouring scores: their mean score and the share that went up."""

    score: float
    up: float
    bars: int


def call_statistics(
    scores: FloatArray,
    up: FloatArray,
    horizon: int,
    dead_band: float = 0.0,
    *,
    train_base_rate: float | None = None,
    centre: float = 0.5,
) -> CallStatistics:
    """Return how the calls that `scores` make came true.

    Parameters
    ----------
    scores : float64, shape (n,)
        Probability of up at each bar, from 0 to 1; NaN where there is none.
    up : float64, shape (n,)
        1 where the price was higher after `horizon` bars, else 0; NaN where it is not known yet.
    horizon : int
        Bars from call to outcome. Outcomes of neighbouring bars overlap when it is above 1.
    dead_band : float
        Distance from `centre` within which no call is made.
    centre : float
        Score at which up and down are balanced; at another than 0.5 scores are no probabilities
        and what needs one is None.
    """
    chance = centre == 0.5
    known = _known(scores, up, chance)
    if horizon < 1:
        raise ExperimentError(f"horizon: expected 1 bar or more, found {horizon}.")
    direction = call(np.where(known, scores, centre), centre, dead_band)
    made = known & (np.asarray(direction) != 0)
    called, outcome = np.asarray(direction)[made] > 0, up[made] > 0.5
    score, rose = scores[known], up[known]
    base = _mean(rose)
    spaced = made & (np.arange(len(scores)) % horizon == 0)
    return CallStatistics(
        bars=int(known.sum()),
        calls=int(made.sum()),
        accuracy=_mean(called == outcome),
        always_up=_mean(outcome),
        base_rate=base,
        mcc=_matthews(called, outcome),
        brier=_mean((score - rose) ** 2) if chance else None,
        brier_base=None if base is None else base * (1.0 - base),
        brier_train=None if train_base_rate is None else _mean((train_base_rate - rose) ** 2),
        log_loss=_log_loss(score, rose > 0.5) if chance else None,
        timing=_timing(np.asarray(direction)[spaced] > 0, up[spaced] > 0.5),
    )


def calibration(scores: FloatArray, up: FloatArray, bins: int = 10) -> tuple[Bin, ...]:
    """Return bins of about equally many bars, by rising score; equal scores share a bin.

    `scores` and `up` as in `call_statistics`. In a calibrated model the mean score of a bin is
    the share of its bars that went up.
    """
    known = _known(scores, up, chance=True)
    if bins < 1:
        raise ExperimentError(f"bins: expected 1 or more, found {bins}.")
    if not known.any():
        return ()
    score, rose = scores[known], up[known]
    limits = np.quantile(score, np.linspace(0.0, 1.0, bins + 1))[1:-1]
    where = np.searchsorted(limits, score)
    return tuple(
        Bin(float(score[where == i].mean()), float(rose[where == i].mean()), int(n))
        for i, n in enumerate(np.bincount(where))
        if n
    )


def _known(scores: FloatArray, up: FloatArray, chance: bool) -> BoolArray:
    """Return where both are known, or refuse what is no probability or no outcome."""
    if scores.shape != up.shape or scores.ndim != 1:
        raise ExperimentError(
            f"calls: expected a score and an outcome per bar, found {scores.shape}, {up.shape}."
        )
    known = np.isfinite(scores) & np.isfinite(up)
    if not np.isin(up[known], (0.0, 1.0)).all():
        raise ExperimentError("calls: expected outcomes of 0 or 1, found others.")
    if chance and known.any() and not (scores[known].min() >= 0.0 and scores[known].max() <= 1.0):
        raise ExperimentError("calls: expected probabilities from 0 to 1 as scores, found others.")
    return known


def _mean(values: FloatArray | BoolArray) -> float | None:
    return float(values.mean()) if len(values) else None


def _matthews(called: BoolArray, outcome: BoolArray) -> float | None:
    if not len(called) or called.all() or outcome.all() or not (called.any() and outcome.any()):
        return None
    a, b = called.mean(), outcome.mean()
    both = (called & outcome).mean()
    return float((both - a * b) / math.sqrt(a * (1.0 - a) * b * (1.0 - b)))


def _log_loss(score: FloatArray, rose: BoolArray) -> float | None:
    """Return the log loss; a score of exactly 0 or 1 counts as one rounding error away from it."""
    tiny = float(np.finfo(np.float64).eps)
    chance = np.clip(np.where(rose, score, 1.0 - score), tiny, 1.0 - tiny)
    return _mean(-np.log(chance))


def _timing(called: BoolArray, outcome: BoolArray) -> Timing:
    from statsmodels.stats.diagnostic import pesaran_timmermann

    bars = len(called)
    if bars < 2:
        return Timing(None, None, bars, "fewer than two calls")
    for values, name in ((called, "calls"), (outcome, "outcomes")):
        if values.all() or not values.any():
            return Timing(None, None, bars, f"all {name} are the same")
    test = pesaran_timmermann(outcome - 0.5, called - 0.5, alternative="larger")
    return Timing(float(test.statistic), float(test.pvalue), bars, None)
