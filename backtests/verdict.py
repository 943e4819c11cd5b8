"""Beats, does not beat, cannot tell: one rule, fixed before any result. See docs/verdict.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ..signals.arrays import BoolArray, FloatArray
from .evidence.checks import Returns, check_moves, check_names, checked_returns, distinct
from .evidence.leads import NOISE, Leads, above, hochberg, lead_over_all, leads_over, normal_point
from .evidence.sentences import overall_sentence, pair_sentence

__all__ = [
    "ALPHA",
    "DRAWS",
    "FEWEST_ACTIVE",
    "FEWEST_DAYS",
    "FEWEST_DIFFERENT",
    "FLOOR",
    "LAG",
    "MARGIN",
    "POWER",
    "Pair",
    "Verdict",
    "Word",
    "as_json",
    "decide",
]

ALPHA = 0.05
"""The chance of a false "beats" or "does not beat", one-sided, over all baselines together."""
MARGIN = 0.2
"""An annual Sharpe lead below this is no advantage: 3 % a year at a volatility of 15 %."""
LAG = 10
"""Days over which returns may be correlated, for the Newey-West standard errors."""
FEWEST_DAYS = 252
FEWEST_ACTIVE = 20
"""Days with a return other than 0, below which nothing can be said."""
FEWEST_DIFFERENT = 20
"""Days with another return than the baseline's, below which the two are the same."""
FLOOR = 0.02
"""The smallest standard error of a Sharpe difference that is believed."""
POWER = 0.8
"""A lead counts as detectable when it would have shown in this share of all histories."""
DRAWS = 10_000

Word: TypeAlias = Literal["beats", "does not beat", "cannot tell"]
BEATS: Word = "beats"
NOT: Word = "does not beat"
UNCLEAR: Word = "cannot tell"


@dataclass(frozen=True)
class Pair:
    """The strategy beside one baseline; Sharpe ratios are annual, p and q one-sided.

    Attributes
    ----------
    difference, standard_error, interval : float
        The lead in Sharpe ratio, its Newey-West error and its 90 % range.
    intercept : float
        What the difference of returns would be in a flat market, a fraction per year.
    p : float
        Of no lead, risk-adjusted or market-adjusted, corrected for the trials.
    q : float
        Of a lead of `MARGIN` or more.
    detectable : float
        The lead this history could have shown over this baseline among all of them.
    reason : str or None
        The guard that decided, in words.
    """

    baseline: str
    label: str
    verdict: Word
    difference: float
    standard_error: float
    interval: tuple[float, float]
    intercept: float
    p: float
    q: float
    detectable: float
    reason: str | None

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        return pair_sentence(self, MARGIN)


@dataclass(frozen=True)
class Verdict:
    """The overall word and a pair for each distinct baseline.

    Attributes
    ----------
    detectable : float or None
        The lead over the best baseline that this history could have shown against all of them.
        None when the strategy is the same as every baseline: see `reason`.
    detectable_percent : float or None
        The same as % a year at the best baseline's volatility. None also when that is 0.
    dropped : dict
        Baselines with the returns of another one, and which: they are counted once.
    """

    overall: Word
    pairs: tuple[Pair, ...]
    detectable: float | None
    detectable_percent: float | None
    days: int
    trials: int
    dropped: dict[str, str]
    reason: str | None

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        return overall_sentence(self, MARGIN)


def decide(
    lstm: Returns,
    baselines: Mapping[str, Returns],
    market: Returns,
    *,
    required: frozenset[str],
    labels: Mapping[str, str] | None = None,
    trials: int = 1,
    periods_per_year: float = 252,
) -> Verdict:
    """Return whether the LSTM beats the baselines on these out-of-sample days.

    Parameters
    ----------
    lstm, market : array or Series, shape (n,)
        Daily net returns as fractions on the same days: the LSTM's, averaged over its seeds and
        over the symbols, and the market's (buy & hold). Flat days earn the same cash rate for all.
    baselines : mapping of name to array or Series, shape (n,)
    required : frozenset of str
        Baselines without which there is no verdict: buy & hold, the random calls of the same
        exposure, and every rule.
    labels : mapping of name to str, optional
        What a baseline is called in the sentences.
    trials : int
        How many LSTM configurations were ever evaluated on these days.

    Raises
    ------
    ExperimentError
        A required baseline is missing, or returns that `checked_returns` refuses.
    """
    check_names(baselines, required, trials)
    shown = {name: name for name in baselines} | dict(labels or {})
    own, world, *others = checked_returns(
        [("the LSTM", lstm), ("the market", market)]
        + [(f"baseline {shown[name]}", values) for name, values in baselines.items()]
    )
    check_moves("the market", world)
    kept, dropped = distinct(dict(zip(baselines, others, strict=True)), required)
    returns = np.column_stack([own, *kept.values()])
    leads = leads_over(returns, world, periods_per_year=periods_per_year, lag=LAG, floor=FLOOR)
    differs = _days(returns[:, :1] - returns[:, 1:]) >= FEWEST_DIFFERENT
    guard = _guard(own)
    pairs = _pairs({name: shown[name] for name in kept}, leads, differs, guard, trials)
    lead = percent = None
    if differs.any():
        lead = lead_over_all(leads, differs, alpha=ALPHA / trials, power=POWER, draws=DRAWS)
        best = returns[:, 1 + int(leads.sharpe[1:].argmax())]
        risk = float(best.std(ddof=1)) * periods_per_year**0.5
        percent = lead * risk * 100.0 if risk > NOISE else None
    same = None if differs.any() else "same positions as every baseline"
    word, reason = guard or (_overall(pairs), same)
    return Verdict(word, pairs, lead, percent, len(own), trials, dropped, reason)


def as_json(verdict: Verdict) -> dict[str, Any]:
    """Return the verdict, its sentences and its rule's constants as JSON values, without NaN."""
    content = asdict(verdict) | {"sentence": verdict.sentence}
    content["pairs"] = [
        asdict(pair) | {"interval": list(pair.interval), "sentence": pair.sentence}
        for pair in verdict.pairs
    ]
    content["rule"] = {
        "alpha": ALPHA,
        "margin": MARGIN,
        "lag": LAG,
        "fewest_days": FEWEST_DAYS,
        "fewest_active": FEWEST_ACTIVE,
        "fewest_different": FEWEST_DIFFERENT,
        "floor": FLOOR,
        "power": POWER,
    }
    return content


def _days(values: FloatArray) -> npt.NDArray[np.intp]:
    """Return on how many days each column is not 0."""
    return np.count_nonzero(np.abs(values) > NOISE, axis=0)


def _guard(own: FloatArray) -> tuple[Word, str] | None:
    """Return the word and the reason when the LSTM's own returns settle it."""
    active = int(np.count_nonzero(np.abs(own) > NOISE))
    if active == 0:
        return NOT, "never traded"
    if len(own) < FEWEST_DAYS:
        return UNCLEAR, "too short"
    return (UNCLEAR, "hardly traded") if active < FEWEST_ACTIVE else None


def _overall(pairs: tuple[Pair, ...]) -> Word:
    words = {pair.verdict for pair in pairs}
    return BEATS if words == {BEATS} else NOT if NOT in words else UNCLEAR


def _pairs(
    shown: Mapping[str, str],
    leads: Leads,
    differs: BoolArray,
    guard: tuple[Word, str] | None,
    trials: int,
) -> tuple[Pair, ...]:
    """Return a pair for each baseline, with Hochberg's correction over all of them."""
    p = np.where(differs, np.minimum(1.0, trials * leads.p), 1.0)
    q = np.where(differs, above((MARGIN - leads.difference) / leads.error), 0.0)
    beats, loses = hochberg(p, ALPHA), hochberg(q, ALPHA)
    needed = normal_point(ALPHA / len(p) / trials) + normal_point(1.0 - POWER)
    reach = normal_point(ALPHA)

    def pair(i: int, name: str, label: str) -> Pair:
        word = BEATS if beats[i] else NOT if loses[i] else UNCLEAR
        word, reason = guard or (word, None if differs[i] else "same positions")
        lead, error = float(leads.difference[i]), float(leads.error[i])
        return Pair(
            baseline=name,
            label=label,
            verdict=word,
            difference=lead,
            standard_error=error,
            interval=(lead - reach * error, lead + reach * error),
            intercept=float(leads.intercept[i]),
            p=float(p[i]),
            q=float(q[i]),
            detectable=needed * error,
            reason=reason,
        )

    return tuple(pair(i, name, label) for i, (name, label) in enumerate(shown.items()))
