"""What is kept of a trained model beside its file, and whether a kept model is the right one."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..signals.bars import COLUMNS, bars_digest
from ..signals.errors import ModelError
from ..signals.model import load_model
from ..signals.store import canonical_json, write_atomic
from ..signals.windows import windows_of
from .fit import Trained
from .parity import compare
from .task import Task

__all__ = ["Record", "read_record", "write_record"]

Record = dict[str, Any]


def write_record(file: Path, trained: Trained, task: Task, later: pd.DataFrame) -> Record:
    """Write `file`, the record of a model, and return it.

    `later` are the bars of the test with a window's bars but one before them. They are looked at
    here for the first time, after the model file is written and hashed: to see that Keras and the
    file agree on bars that nobody has trained on.
    """
    model = load_model(trained.path)
    card = model.card
    record = {
        "kind": task.kind,
        "seed": task.config.seed,
        "file": trained.path.name,
        "sha256": model.sha256,
        "architecture": card.architecture,
        "head": card.head,
        "columns": card.columns,
        "features": card.features,
        "window": card.window,
        "horizon": card.horizon,
        "target": card.target,
        "symbols": card.symbols,
        "train_start": card.train_start,
        "train_end": card.train_end,
        "known_flaws": card.known_flaws,
        "certificate": card.certificate.model_dump(mode="json"),
        "train_rows": trained.train_rows,
        "validation_rows": trained.validation_rows,
        "best_epoch": trained.best_epoch,
        "validation_accuracy": trained.validation_accuracy,
        "validation_base_rate": trained.validation_base_rate,
        "history": [asdict(epoch) for epoch in trained.history],
        "validation_forecasts": _forecasts(trained, task),
        "test_windows": _test_windows(trained, model.session, later),
    }
    text = canonical_json(record)
    write_atomic(file, text)
    return json.loads(text)  # as a later reading gives it


def read_record(file: Path, path: Path, task: Task, later: pd.DataFrame) -> Record | None:
    """Return the record of a finished model of `task`; None when it must be trained.

    None too when its test was on other bars than `later`.
    """
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        model = load_model(path)
        rows = record["test_windows"]["rows_sha256"]
        mine = (
            record["sha256"] == model.sha256
            and model.card.rows_sha256 == bars_digest(task.bars)
            and model.card.training_hash == task.training_hash
            and rows == bars_digest(later)
        )
    except (OSError, ValueError, KeyError, TypeError, ModelError):
        return None
    return record if mine else None


def _forecasts(trained: Trained, task: Task) -> Record | None:
    """Return the first column's forecasts of the validation part at some epochs, for a picture."""
    if not trained.forecasts:
        return None
    rows = task.split.validation
    return {
        "dates": [str(date) for date in task.bars.index[rows]],
        "actual": task.labels[rows, 0, 0].tolist(),
        "epochs": {str(n): prices[:, 0].tolist() for n, prices in trained.forecasts.items()},
    }


def _test_windows(trained: Trained, session: Any, later: pd.DataFrame) -> Record:
    windows = windows_of(later[list(COLUMNS)].to_numpy(np.float32), trained.card.window)
    difference, flipped = compare(trained.predict, session, windows, head=trained.card.head)
    return {
        "windows": len(windows),
        "rows_sha256": bars_digest(later),
        "max_difference": difference,
        "flipped_calls": flipped,
    }
