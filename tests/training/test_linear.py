"""The logistic regression is scikit-learn's, in a model file of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from nextbar.signals import load_model
from nextbar.training.config import TrainingConfig
from nextbar.training.fit import Trained, fit_task
from nextbar.training.linear import PENALTIES
from nextbar.training.task import Dates, Task, make_task
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from ..markets import planted_bars, random_bars

CONFIG = TrainingConfig(window=6, features=("return", "range", "volume_change"))


def task_of(bars: pd.DataFrame, config: TrainingConfig = CONFIG) -> Task:
    return make_task(bars, config, Dates(test_start=bars.index[500]), "logistic")


def fitted(bars: pd.DataFrame, path: Path, config: TrainingConfig = CONFIG) -> Trained:
    return fit_task(task_of(bars, config), path)


def features(bars: pd.DataFrame, window: int) -> np.ndarray:
    """Return the flat features of every window of `bars`, by hand in double precision."""
    close, volume = bars["close"].to_numpy(), bars["volume"].to_numpy()
    by_bar = np.stack(
        [
            np.diff(np.log(close)),
            np.log(bars["high"] / bars["low"]).to_numpy()[1:],
            np.diff(np.log(volume + 1)),
        ],
        axis=1,
    )
    steps = np.lib.stride_tricks.sliding_window_view(by_bar, window - 1, axis=0)
    return steps.transpose(0, 2, 1)


@pytest.mark.parametrize("planted", [True, False])
def test_as_scikit_learn_does_it(planted: bool, tmp_path: Path) -> None:
    bars = planted_bars(700, seed=3) if planted else random_bars(700, seed=3)
    trained = fitted(bars, tmp_path / "m.onnx")
    task = task_of(bars)
    rows = {"train": task.split.train - 5, "check": task.split.validation - 5}
    steps = features(bars, 6)
    scaler = StandardScaler().fit(steps[rows["train"]].reshape(-1, 3))
    flat = scaler.transform(steps.reshape(-1, 3)).reshape(len(steps), -1)
    models = [
        LogisticRegression(C=c, max_iter=5000, tol=1e-6).fit(
            flat[rows["train"]], task.up[task.split.train]
        )
        for c in PENALTIES
    ]
    losses = [
        log_loss(task.up[task.split.validation], model.predict_proba(flat[rows["check"]])[:, 1])
        for model in models
    ]
    best = int(np.argmin(losses))
    assert trained.card.architecture == f"logistic regression, C = {PENALTIES[best]:g}"
    expected = models[best].predict_proba(flat)[:, 1]
    assert np.ptp(expected) > (0.2 if planted else 0.001)
    found = load_model(trained.path).score(bars.to_numpy())
    # The reference iterates further; both stop before the last digit.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    ours = trained.network.get_layer("linear").get_weights()
    exact = LogisticRegression(C=PENALTIES[best], max_iter=2000).fit(
        flat[rows["train"]], task.up[task.split.train]
    )
    np.testing.assert_allclose(ours[0], exact.coef_.T, rtol=0, atol=1e-4)
    np.testing.assert_allclose(found, exact.predict_proba(flat)[:, 1], rtol=0, atol=1e-5)


def test_no_recurrent_operator_and_no_epochs(tmp_path: Path) -> None:
    trained = fitted(random_bars(600), tmp_path / "m.onnx")
    assert trained.card.recurrent is None
    assert "LSTM" not in trained.card.operators
    assert (trained.history, trained.best_epoch) == ((), 0)
    assert trained.card.uses_volume
    assert trained.card.certificate.max_difference <= 1e-6


def test_it_repeats_and_remembers_nothing(tmp_path: Path) -> None:
    first = fitted(random_bars(600, seed=1), tmp_path / "a.onnx").path.read_bytes()
    assert fitted(random_bars(600, seed=2), tmp_path / "b.onnx").path.read_bytes() != first
    assert fitted(random_bars(600, seed=1), tmp_path / "c.onnx").path.read_bytes() == first
