"""Small real trainings with one thing wrong at a time, and nothing by default."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pandas as pd
from nextbar.backtests.audit import (
    AuditReport,
    Retrained,
    Rows,
    TrainingTrace,
    audit_experiment,
    audit_labels,
)

from ...markets import random_bars

WINDOW, HORIZON = 10, 5
VALIDATION, TEST, N = 300, 380, 500


def rows_of(index: pd.DatetimeIndex, last: np.ndarray) -> Rows:
    """Return the rows whose windows end on the bars numbered `last`."""
    return Rows(index[last - WINDOW + 1], index[last], index[last + HORIZON])


def traced(
    *,
    scaler_on: str = "train",
    validation: str = "own",
    shuffled: bool = False,
    purge: int = HORIZON,
    test_from: int = TEST,
) -> TrainingTrace:
    """Return what a training was given."""
    bars = random_bars(N)
    index = pd.DatetimeIndex(bars.index)
    train = np.arange(WINDOW, VALIDATION - purge)
    checked = np.arange(VALIDATION, TEST - purge)
    if test_from < TEST:
        train, checked = np.arange(WINDOW, test_from + 40), np.arange(0)
    if shuffled:
        both = np.random.default_rng(0).permutation(np.concatenate([train, checked]))
        train, checked = both[: len(train)], both[len(train) :]
    test = np.arange(test_from, N - HORIZON)
    if validation == "test":
        checked = test
    returns = np.log(bars["close"]).diff()
    fitted = returns if scaler_on == "all" else returns.iloc[train]
    checked_rows = rows_of(index, checked + 0)
    right = returns.iloc[train]
    return TrainingTrace(
        rows_of(index, train),
        checked_rows,
        index[test],
        {"mean": float(fitted.mean()), "deviation": float(fitted.std())},
        {"mean": float(right.mean()), "deviation": float(right.std())},
    )


def features(bars: pd.DataFrame, period: int) -> pd.DataFrame:
    close = np.log(bars["close"])
    return pd.DataFrame({"long": close.diff(period), "short": close.diff()}).fillna(0.0)


def weights(inputs: pd.DataFrame, moves: pd.Series) -> np.ndarray:
    """Return the ridge regression of the next move's sign on the features."""
    x, y = inputs.to_numpy(), np.sign(moves.to_numpy())
    return np.linalg.solve(x.T @ x + 0.1 * np.eye(x.shape[1]), x.T @ y)


def retrained(*, scaler_on: str = "train", choose_on: str = "validation") -> AuditReport:
    """Audit three folds of a ridge regression whose look-back is chosen in each."""
    dates = random_bars(N).index
    ends = {number: dates[bar] for number, bar in enumerate((200, 300, 400))}

    def retrain(bars: pd.DataFrame) -> dict[Any, Retrained]:
        moves = np.log(bars["open"]).diff().shift(-2).fillna(0.0)
        made: dict[Any, Retrained] = {}
        for fold, end in ends.items():
            if end > bars.index[-1]:
                continue
            start = int(bars.index.searchsorted(end))
            best: tuple[float, int, bytes] = (-np.inf, 0, b"")
            for period in (2, 3, 5, 8, 13, 21):
                inputs = features(bars, period)
                scale = inputs.std() if scaler_on == "all" else inputs.iloc[: start - 62].std()
                inputs = inputs / scale
                fit = weights(inputs.iloc[: start - 62], moves.iloc[: start - 62])
                part = slice(start, None) if choose_on == "test" else slice(start - 60, start - 2)
                gain = float(np.sign(inputs.iloc[part].to_numpy() @ fit) @ moves.iloc[part])
                best = max(best, (gain, period, fit.tobytes()))
            made[fold] = Retrained(hashlib.sha256(best[2]).hexdigest(), f"look-back {best[1]}")
        return made

    return audit_experiment(retrain, random_bars(N), ends)


def permuted(*, leaky: bool = False) -> AuditReport:
    """Audit a nearest-neighbour classifier; the leaky one has a feature that holds the answer."""
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 2, 600).astype(float)
    inputs = rng.normal(size=(600, 2))

    def fit(labels: np.ndarray) -> np.ndarray:
        known, answers = inputs[:400], labels
        if leaky:  # the test's rows and labels are among those that are learned
            known, answers = inputs, np.concatenate([labels, truth[400:]])
        apart = ((inputs[400:, None] - known[None]) ** 2).sum(axis=2)
        return answers[apart.argmin(axis=1)]

    return audit_labels(fit, truth[:400], truth[400:])
