"""The models of a run: trained and stored once, or given."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..signals.bars import COLUMNS, bars_digest
from ..signals.card import Card
from ..signals.errors import ExperimentError, InSampleError, ModelError
from ..signals.model import load_model, windows_of
from ..signals.store import canonical_json, write_atomic
from .experiment import Experiment

if TYPE_CHECKING:
    from ..training.fit import Epoch, Trained

__all__ = ["ModelRecord", "record_of_file", "train_model"]


@dataclass(frozen=True)
class ModelRecord:
    """A model file of a run and what is reported of it."""

    path: Path
    card: Card
    facts: dict[str, Any]
    """For ``results.json``: file, digest, training dates, rows, history, differences to Keras."""


def train_model(
    experiment: Experiment,
    frame: pd.DataFrame,
    folder: Path,
    on_epoch: Callable[[Epoch], None],
) -> ModelRecord:
    """Return the model for one symbol, trained now unless `folder` has it finished.

    Training gets the bars before ``experiment.test_start`` only. The test windows are built and
    compared with Keras after the file is written and hashed.
    """
    symbol = str(frame.attrs["symbol"])
    path, record = folder / f"{symbol}.onnx", folder / f"{symbol}.json"
    if (facts := _stored(path, record, frame, experiment)) is not None:
        return ModelRecord(path, load_model(path).card, facts)
    from ..training.fit import train  # imports tensorflow

    test_start = pd.Timestamp(experiment.test_start)
    trained = train(
        frame[frame.index < test_start],
        experiment.training,
        path,
        validation_start=str(experiment.validation_start),
        test_start=str(experiment.test_start),
        on_epoch=on_epoch,
    )
    facts = (
        _facts(path)
        | _history(trained)
        | {"test_windows": _test_windows(trained, frame, test_start)}
    )
    # Written last: a model without this record is trained again.
    write_atomic(record, canonical_json(facts))
    return ModelRecord(path, trained.card, facts)


def record_of_file(experiment: Experiment, path: str | Path) -> ModelRecord:
    """Return the record of a given model file after checking that the test bars are new to it.

    Raises
    ------
    InSampleError
        When its training data reaches into the test bars.
    ExperimentError
        When it is not the file that the experiment names.
    """
    model = load_model(path)
    if model.sha256 != experiment.model_sha256:
        raise ExperimentError(f"{path}: not the model file that the experiment names.")
    if pd.Timestamp(model.card.unseen_from) > pd.Timestamp(experiment.test_start):
        raise InSampleError(
            f"{path}: trained on bars up to {model.card.train_end}, so a test from"
            f" {experiment.test_start} on would repeat what it has learned. Choose a test_start"
            f" after {model.card.train_end}."
        )
    return ModelRecord(Path(path), model.card, _facts(Path(path)))


def _facts(path: Path) -> dict[str, Any]:
    model = load_model(path)
    card = model.card
    return {
        "file": path.name,
        "sha256": model.sha256,
        "architecture": card.architecture,
        "features": list(card.features),
        "window": card.window,
        "horizon": card.horizon,
        "target": card.target,
        "symbols": list(card.symbols),
        "train_start": card.train_start,
        "train_end": card.train_end,
        "known_flaws": list(card.known_flaws),
        "certificate": card.certificate.model_dump(mode="json"),
    }


def _history(trained: Trained) -> dict[str, Any]:
    best = trained.history[trained.best_epoch - 1]
    return {
        "train_rows": trained.train_rows,
        "validation_rows": trained.validation_rows,
        "best_epoch": trained.best_epoch,
        "validation_accuracy": best.validation_accuracy,
        "validation_base_rate": trained.validation_base_rate,
        "history": [asdict(epoch) for epoch in trained.history],
    }


def _test_windows(
    trained: Trained, frame: pd.DataFrame, test_start: pd.Timestamp
) -> dict[str, Any]:
    from ..training.certify import compare_windows

    window = trained.card.window
    first = max(0, int(frame.index.searchsorted(test_start)) - window + 1)
    windows = windows_of(frame.iloc[first:][list(COLUMNS)].to_numpy(np.float32), window)
    difference, flipped = compare_windows(
        trained.network, load_model(trained.path).session, windows
    )
    return {"windows": len(windows), "max_difference": difference, "flipped_calls": flipped}


def _stored(
    path: Path, record: Path, frame: pd.DataFrame, experiment: Experiment
) -> dict[str, Any] | None:
    """Return the stored facts of a finished model of these bars; None when it must be trained."""
    try:
        facts = json.loads(record.read_text(encoding="utf-8"))
        model = load_model(path)
        end = pd.Timestamp(model.card.train_end)
        mine = end < pd.Timestamp(experiment.test_start)
        mine &= model.card.rows_sha256 == bars_digest(frame[frame.index <= end])
        return facts if mine and facts["sha256"] == model.sha256 else None
    except (OSError, ValueError, KeyError, TypeError, ModelError):
        return None
