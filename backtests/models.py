"""The models of a run: trained fold by fold and chained, or given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from ..signals.chain import Chain, write_chain
from ..signals.errors import ExperimentError, InSampleError, ModelError
from ..signals.heads import Head
from ..signals.latest import open_model, uses_of
from ..signals.manifest import Period
from .experiment import Experiment
from .tuning import fold_periods

if TYPE_CHECKING:
    from ..training.walkforward import Job

__all__ = ["Models", "given_model", "train_models"]

OnModel = Callable[[int, int, str], None]
"""Called with the models done, all models, and the newest one's name."""


@dataclass(frozen=True)
class Models:
    """The models of one symbol and what is reported of them."""

    paths: dict[str, Path]
    """By strategy (lstm; logistic and shuffled when trained): a model file or a chain's folder."""
    horizon: int
    target: Literal["open", "close"]
    head: Head
    columns: tuple[tuple[str, int], ...]
    """Field and bars ahead of each price that the LSTM forecasts; empty for other heads."""
    facts: dict[str, Any]
    """For ``results.json``."""
    course: dict[str, Any] | None = None
    """Dates, prices and forecasts of the last fold's validation part at some epochs, where the
    LSTM forecasts prices."""


def train_models(
    experiment: Experiment,
    bars: Mapping[str, pd.DataFrame],
    folder: Path,
    workers: int,
    on_model: OnModel,
) -> dict[str, Models]:
    """Return the models of every symbol, trained now except those that `folder` has finished.

    Every fold's training sees the bars before the fold's test only. The LSTM is trained once for
    each seed; the logistic regression and the LSTM on shuffled labels once.
    """
    from ..training.walkforward import run_jobs  # brings tensorflow

    jobs = _jobs(experiment, bars, folder)
    finished: list[Job] = []

    def on_done(job: Job, _: dict[str, Any]) -> None:
        finished.append(job)
        on_model(len(finished), len(jobs), f"{job.symbol}, fold {job.fold}, {job.kind}")

    records = run_jobs(
        jobs, bars, experiment.training, experiment.folds, workers=workers, on_done=on_done
    )
    kinds = dict.fromkeys(job.kind for job in jobs)
    models: dict[str, Models] = {}
    for symbol in bars:
        chains = {
            kind: _chain(experiment, [j for j in jobs if (j.symbol, j.kind) == (symbol, kind)])
            for kind in kinds
        }
        mine = {job: record for job, record in records.items() if job.symbol == symbol}
        models[symbol] = Models(
            paths={kind: chain.path for kind, chain in chains.items()},
            horizon=experiment.training.horizon,
            target=experiment.training.target,
            head=experiment.training.says,
            columns=experiment.training.columns,
            facts=_facts(chains, mine),
            course=[r for job, r in mine.items() if job.kind == "lstm"][-1]["validation_forecasts"],
        )
    return models


def given_model(experiment: Experiment, path: str | Path, last: pd.Timestamp) -> Models:
    """Return a given model file or chain after checking that the test bars are new to it.

    Raises
    ------
    InSampleError
        When its training data reaches into the test bars.
    ExperimentError
        When it is not the one that the experiment names, or a chain that ends before the `last`
        of the test bars: silence is no call.
    """
    model = open_model(path)
    if model.sha256 != experiment.model_sha256:
        raise ExperimentError(f"{path}: not the model that the experiment names.")
    if pd.Timestamp(uses_of(model).unseen_from) > pd.Timestamp(experiment.test_start):
        raise InSampleError(
            f"{path}: trained on bars before {uses_of(model).unseen_from}, so a test from"
            f" {experiment.test_start} on would repeat what it has learned. Choose a later"
            " test_start."
        )
    if isinstance(model, Chain) and (end := model.periods[-1].end) and end <= last:
        raise ExperimentError(
            f"{path}: the chain ends at {end}, before the last bar of the test, {last}. End the"
            " bars earlier, or add a period."
        )
    first = next(iter(model.files.values())) if isinstance(model, Chain) else model.card
    target = first.target
    if target not in ("open", "close"):
        raise ModelError(f"{path}: expected a model of open or close, found {target!r}.")
    facts: dict[str, Any] = {
        "given": {
            "file": Path(path).name,
            "sha256": model.sha256,
            "symbols": list(uses_of(model).symbols),
            "unseen_from": str(uses_of(model).unseen_from),
            "known_flaws": list(uses_of(model).known_flaws),
        }
    }
    return Models({"lstm": Path(path)}, first.horizon, target, first.head, first.columns, facts)


def _jobs(experiment: Experiment, bars: Mapping[str, pd.DataFrame], folder: Path) -> list[Job]:
    from ..training.walkforward import KINDS, Job

    seed = experiment.training.seed
    return [
        Job(symbol, fold, kind, number, folder / symbol / kind)
        for symbol in bars
        for fold in range(len(experiment.folds))
        for kind, seeds in zip(KINDS, (experiment.seeds, 1, 1), strict=True)
        for number in range(seed, seed + seeds)
    ]


def _chain(experiment: Experiment, jobs: list[Job]) -> Chain:
    periods = [
        Period(
            start=start, end=end, models=tuple(job.path.name for job in jobs if job.fold == number)
        )
        for number, (start, end) in enumerate(fold_periods(experiment.folds))
    ]
    return write_chain(jobs[0].folder, periods)


def _facts(chains: Mapping[str, Chain], records: Mapping[Job, dict[str, Any]]) -> dict[str, Any]:
    lstm = [(job, record) for job, record in records.items() if job.kind == "lstm"]
    return {
        "chains": {kind: chain.sha256 for kind, chain in chains.items()},
        "max_difference": max(record["test_windows"]["max_difference"] for _, record in lstm),
        "flipped_calls": sum(record["test_windows"]["flipped_calls"] for _, record in lstm),
        "architecture": lstm[0][1]["architecture"],
        "head": lstm[0][1]["head"],
        "models": [
            {
                "fold": job.fold,
                "kind": job.kind,
                "seed": job.seed,
                **{key: record[key] for key in KEPT},
                "epochs": len(record["history"]),
            }
            for job, record in records.items()
        ],
        # The loss curves of the last fold's first seed stand for all; the rest is in the records.
        "history": lstm[-1][1]["history"],
        "best_epoch": lstm[-1][1]["best_epoch"],
    }


KEPT = (
    "sha256", "train_start", "train_end", "train_rows", "validation_rows", "best_epoch",
    "validation_accuracy", "validation_base_rate",
)  # fmt: skip
"""What ``results.json`` says of each model; all else is in the record beside the model file."""
