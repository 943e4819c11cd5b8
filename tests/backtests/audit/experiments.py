"""A small experiment with real trainings, and the pipeline with one thing wrong at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from nextbar.backtests import Experiment, tuning
from nextbar.backtests.audit import AuditReport, audit_run, subject_of
from nextbar.signals.bars import COLUMNS
from nextbar.signals.windows import windows_of
from nextbar.training import TrainingConfig, loop, splits, walkforward
from nextbar.training.config import Fold
from nextbar.training.splits import make_folds

from ...markets import random_bars

QUICK = TrainingConfig(epochs=1, units=(2,), window=5, features=("return", "gap"))
N = 460


def bars() -> pd.DataFrame:
    frame = random_bars(N, seed=4)
    frame.attrs["symbol"] = "AA"
    return frame


def experiment(**changes: Any) -> Experiment:
    fields: dict[str, Any] = {
        "name": "small",
        "symbols": ("AA",),
        "folds": make_folds(pd.DatetimeIndex(bars().index), 2),
        "seeds": 1,
        "training": QUICK,
        "ema_grid": ((2, 5), (3, 8), (5, 10), (5, 15), (10, 20)),
        "momentum_grid": (3, 5, 8, 13, 20),
    }
    return Experiment(**fields | changes)


def audited() -> AuditReport:
    return audit_run(subject_of(experiment(), {"AA": bars()}), signals=False)


@cache
def unchanged() -> AuditReport:
    """Return the report on the real pipeline: the clean twin of all."""
    return audited()


@cache
def leaky(change: Callable[[pytest.MonkeyPatch], None]) -> AuditReport:
    """Return the report on a pipeline that `change` has spoilt."""
    with pytest.MonkeyPatch.context() as patch:
        change(patch)
        return audited()


def scaler_on_all_bars(patch: pytest.MonkeyPatch) -> None:
    seen: dict[str, pd.DataFrame] = {}
    real = walkforward.cut_work

    def cut(job: Any, *, bars: Any, **rest: Any) -> Any:
        seen["bars"] = bars[job.symbol]
        return real(job, bars=bars, **rest)

    def scaled(self: Any, windows: Any) -> Any:
        features, scaling = (self.network.get_layer(name) for name in ("features", "scaling"))
        every = windows_of(seen["bars"][list(COLUMNS)].to_numpy(np.float32), QUICK.window)
        scaling.adapt(features(every).numpy())
        return scaling(features(windows))

    patch.setattr(walkforward, "cut_work", cut)
    patch.setattr(loop.Loop, "_scaled", scaled)


def _with_fold(patch: pytest.MonkeyPatch, other: Callable[[tuple[Fold, ...], int], Fold]) -> None:
    """Let every training get the dates of another fold than its own."""
    real = walkforward.cut_work

    def cut(job: Any, *, folds: Any, **rest: Any) -> Any:
        return real(job, folds=[other(folds, job.fold)] * (job.fold + 1), **rest)

    patch.setattr(walkforward, "cut_work", cut)


def validation_is_test(patch: pytest.MonkeyPatch) -> None:
    def other(folds: tuple[Fold, ...], k: int) -> Fold:
        own = folds[k]
        end = own.test_start + pd.Timedelta(days=80)
        return Fold(validation_start=own.test_start, test_start=end)

    _with_fold(patch, other)


def trained_on_later_bars(patch: pytest.MonkeyPatch) -> None:
    def other(folds: tuple[Fold, ...], k: int) -> Fold:
        start = folds[k].test_start
        later = (start + pd.Timedelta(days=days) for days in (30, 110))
        return Fold(validation_start=next(later), test_start=next(later))

    _with_fold(patch, other)


def not_purged(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(splits, "_known", lambda labels, *_: labels["label_end"].notna().to_numpy())


def tuned_on_everything(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tuning, "_before", lambda frame, _: frame)


def spoilt(change: Callable[[pytest.MonkeyPatch], None]) -> Callable[[Path], AuditReport]:
    return lambda _: leaky(change)


def clean(_: Path) -> AuditReport:
    return unchanged()
