"""The audit of the rules' tuning: no fold's rules may depend on bars from its test on."""

from __future__ import annotations

import pandas as pd

from .cases import Case, tried_folds
from .findings import Finding, date_of
from .futures import perturbed
from .pipeline import Pipeline, described
from .retraining import different

__all__ = ["check_tuning"]

FUTURES = 4
"""Changed futures on which every fold's rules are tuned."""


def check_tuning(case: Case, pipeline: Pipeline) -> None:
    """Change the bars from each fold's test on, in several ways: its rules must stay.

    A choice among few is often the same by luck; the tuning is quick, so all folds are tried.
    """
    every = tried_folds(case.subject, case.symbol, every_fold=True)
    found: list[Finding] = []
    for fold in every:
        start = pd.Timestamp(case.experiment.folds[fold].test_start)
        row = int(case.frame.index.searchsorted(start))
        case.progress("tuning")
        here = described(pipeline.tuned(case.frame, fold))
        for number in range(FUTURES):
            other = perturbed(case.frame, row - 1, "noise", case.seed + number)
            there = described(pipeline.tuned(other, fold))
            if here != there and not found:
                cause = "the best setting was picked by its result on the test: use earlier bars"
                where, pair = f"rules of fold {fold}", different(here, there)
                found = [
                    Finding(
                        "tuning", "test-chosen-parameter", "leak", where, date_of(start), pair,
                        cause,
                    )
                ]  # fmt: skip
    case.add("tuning", (len(every) * FUTURES, found))
