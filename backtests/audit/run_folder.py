"""The checks of what a run has written: models, records, rules, and the placebo's calls."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...signals.chain import load_chain
from ...signals.errors import ModelError
from ...signals.folder import inside, read_manifest
from ...signals.model import load_model
from ...training.labels import direction_labels
from .findings import Finding, date_of
from .pipeline import Pipeline
from .retraining import SURE
from .scorers import SKEW
from .subjects import Subject

__all__ = [
    "check_agreement",
    "check_intervals",
    "check_placebo",
    "check_reproduction",
    "in_sample",
    "models_of",
    "read_records",
]

ROUNDING = 1e-9

Judged = tuple[int, list[Finding]]


def models_of(folder: Path, symbol: str) -> list[Path]:
    """Return the folders of a symbol's chains of models."""
    return sorted(path for path in (folder / "models" / symbol).glob("*") if path.is_dir())


def check_intervals(chains: list[Path]) -> Judged:
    """Hold the training interval of every model against the period in which it makes calls."""
    found: list[Finding] = []
    judged = 0
    for chain in chains:
        for period in read_manifest(chain).periods:
            for name in period.models:
                judged += 1
                late = in_sample(inside(chain, name), pd.Timestamp(period.start), chain.name)
                found += [late] if late else []
    return judged, found[:1]


def in_sample(path: Path, start: pd.Timestamp, chain: str) -> Finding | None:
    """Return a finding for a model file whose training reaches beyond the `start` of its use."""
    unseen = pd.Timestamp(load_model(path).card.unseen_from)
    if unseen <= start:
        return None
    cause = "the fold's model has seen bars of its own test: train it on earlier ones"
    where = f"{chain}: {path.name}, unseen from, start of its period"
    pair = date_of(unseen), date_of(start)
    return Finding("interval", "in-sample-model", "leak", where, pair[1], pair, cause)


def check_agreement(records: Mapping[str, Mapping[str, Any]]) -> Judged:
    """Look in the records for test windows on which Keras and the model file differ."""
    windows = 0
    for name, record in records.items():
        seen = record["test_windows"]
        windows += int(seen["windows"])
        apart, flipped = float(seen["max_difference"]), int(seen["flipped_calls"])
        if not apart <= SKEW or flipped:
            cause = "the export lost or added a step: compare layer by layer, features first"
            where = f"score: {name}, {flipped} calls flipped, largest difference and its limit"
            pair = apart, SKEW
            return windows, [Finding("skew", "train-serve-skew", "leak", where, None, pair, cause)]
    return windows, []


def read_records(chains: list[Path]) -> dict[str, dict[str, Any]]:
    """Return the records beside the models of `chains`, by name."""
    found: dict[str, dict[str, Any]] = {}
    for chain in chains:
        for period in read_manifest(chain).periods:
            for name in period.models:
                path = inside(chain, name).with_suffix(".json")
                try:
                    record = json.loads(path.read_text(encoding="utf-8"))
                    float(record["test_windows"]["max_difference"])
                except (OSError, ValueError, KeyError, TypeError) as error:
                    raise ModelError(
                        f"{path}: not the record of a model. Run the comparison again."
                    ) from error
                found[f"{chain.name}, {path.stem}"] = record
    return found


def check_reproduction(subject: Subject, symbol: str, pipeline: Pipeline) -> Judged:
    """Hold the models and rules of the run against those that the pipeline makes now."""
    part = subject.results["symbols"][symbol]
    seed = subject.experiment.training.seed
    models = {
        entry["fold"]: entry["sha256"]
        for entry in part["models"].get("models", ())
        if (entry["kind"], entry["seed"]) == ("lstm", seed)
    }
    judged = 0
    for fold, made in pipeline.first.items():
        now = {name: dict(rule) for name, rule in pipeline.rules[fold].items()}
        then = {name: chosen[fold] for name, chosen in part["rules"].items()}
        pairs = [(f"model of fold {fold}", models.get(fold), made.model)] if made.model else []
        pairs += [
            (f"{name} of fold {fold}", str(then.get(name)), str(rule)) for name, rule in now.items()
        ]
        for where, old, new in pairs:
            judged += 1
            if old != new:
                cause = (
                    "the run was made by other code, library versions or another CPU, or its"
                    " results were changed: run it again"
                )
                values = old, new
                return judged, [
                    Finding("reproduction", "not-repeatable", "fragile", where, None, values, cause)
                ]
    return judged, []


def check_placebo(subject: Subject, symbol: str, folder: Path) -> tuple[Judged, str]:
    """Hold the accuracy of the model of shuffled labels against chance; return a line on it too.

    Chance is what calls of the same shares reach in each fold. A finding needs an accuracy more
    than 3.3 standard deviations above it, counting only labels that do not overlap.
    """
    experiment, frame = subject.experiment, subject.bars[symbol]
    labels = direction_labels(frame, experiment.training.horizon, experiment.training.target)["up"]
    from ..contenders import chain_scores  # brings numba, which only an experiment needs

    chain = load_chain(folder)
    scores = chain_scores(chain, frame, 0)
    up = labels.to_numpy(np.float64)
    starts = [pd.Timestamp(fold.test_start) for fold in experiment.folds]
    fold_of = np.searchsorted(pd.DatetimeIndex(starts), frame.index, side="right") - 1
    judged = np.isfinite(scores) & np.isfinite(up) & (fold_of >= 0)
    called, truth, fold_of = scores[judged] > chain.centre, up[judged] > 0.5, fold_of[judged]
    n = len(truth)
    if not n:
        return (0, []), "Placebo: no test bar with a label."
    accuracy, base = float((called == truth).mean()), float(max(truth.mean(), 1 - truth.mean()))
    expected, spread = 0.0, 0.0
    for fold in np.unique(fold_of):
        mine = fold_of == fold
        share, rate = float(called[mine].mean()), float(truth[mine].mean())
        expected += mine.sum() * (share * rate + (1 - share) * (1 - rate))
        # The variance of the hits when calls and labels of these shares have no relation.
        spread += mine.sum() * 4 * share * (1 - share) * rate * (1 - rate)
    chance = expected / n
    deviation = float(np.sqrt(spread * experiment.training.horizon)) / n
    text = (
        f"Placebo (trained on shuffled labels): accuracy {accuracy:.3f} on {n} test bars; by chance"
        f" {chance:.3f}, of the commoner class {base:.3f}."
    )
    if accuracy - chance <= SURE * deviation + ROUNDING:
        return (n, []), text
    cause = "the test's labels reach the training; or, rarely, luck with a strong pattern"
    where = "placebo: accuracy on the test, and by chance"
    pair = accuracy, chance
    return (
        n,
        [Finding("placebo", "labels-in-features", "fragile", where, None, pair, cause)],
    ), text
