"""The page of a tutorial's own form: the pictures that it drew, and what it never showed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..signals.store import write_atomic
from ..training.config import TrainingConfig
from ..training.labels import price_labels
from .comparison import Comparison
from .contenders import first_test_bar
from .experiment import Experiment
from .forecast_results import forecast_facts, forecasts_of
from .forecasting import Forecasts
from .models import Models
from .outputs import only_writer
from .report import render_faithful

if TYPE_CHECKING:
    from ..training.fit import Trained
    from ..training.task import Task

__all__ = ["Learnt", "learning_of", "write_page"]


@dataclass(frozen=True, eq=False)
class Learnt:
    """One symbol's own form, trained."""

    frame: pd.DataFrame
    path: Path
    """The model file."""
    learning: Mapping[str, Any]
    """What `learning_of` kept."""


def learning_of(trained: Trained, task: Task) -> dict[str, Any]:
    """Return what pictures of a training need and the model file does not hold, as JSON values.

    ``history`` of the epochs, ``best_epoch``, and ``course``: first column's forecasts of the
    validation part at some epochs, with the prices that came true; None for other heads.
    """
    course: dict[str, Any] | None = None
    if trained.forecasts:
        rows = task.split.validation
        # Not what the network was told, which a flaw may have made another price.
        actual = price_labels(task.bars, task.config.columns[:1])[rows, 0]
        course = {
            "dates": [str(date) for date in task.bars.index[rows]],
            "actual": actual.tolist(),
            "epochs": {str(n): prices[:, 0].tolist() for n, prices in trained.forecasts.items()},
        }
    history = [asdict(epoch) for epoch in trained.history]
    return {"history": history, "best_epoch": trained.best_epoch, "course": course}


def write_page(
    own: TrainingConfig,
    experiment: Experiment,
    facts: Mapping[str, Any],
    learnt: Mapping[str, Learnt],
    done: Comparison,
) -> Path:
    """Write ``faithful/report.html`` of the run, unless it is there just so; return its path.

    `facts` are those of `faithful_facts`. The forecasts on the test bars are the model file's.
    """
    parts: dict[str, dict[str, Any]] = {}
    drawn: dict[str, Forecasts] = {}
    for symbol, form in learnt.items():
        start = first_test_bar(form.frame, experiment)
        models = _models(own, form)
        made = forecasts_of(form.frame, models, {}, start)
        drawn |= {symbol: made["lstm"]} if made else {}
        parts[symbol] = {
            **facts["symbols"][symbol],
            "bars": done.summary["symbols"][symbol]["bars"],
            "learning": form.learning,
            "forecasts": forecast_facts(form.frame, models, made, start),
        }
    content = {
        "experiment": experiment.model_dump(mode="json"),
        "training": facts["training"],
        "head": own.says,
        "flaws": facts["flaws"],
        "symbols": parts,
    }
    path, page = done.folder / "faithful" / "report.html", render_faithful(content, drawn)
    if not path.is_file() or path.read_bytes() != page.encode():
        with only_writer(done.folder):
            write_atomic(path, page)
    return path


def _models(own: TrainingConfig, form: Learnt) -> Models:
    return Models(
        paths={"lstm": form.path},
        horizon=own.horizon,
        target=own.target,
        head=own.says,
        columns=own.columns,
        facts={},
        course=form.learning["course"],
    )
