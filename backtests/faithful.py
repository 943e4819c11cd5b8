"""A tutorial's own form beside the honest one, on the same test bars: what its flaws were worth."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..signals.bars import bars_digest, check_bars, periods_per_year
from ..signals.errors import error_prefix
from ..signals.heads import CENTRES
from ..signals.indicators import indicator_of
from ..signals.latest import open_model
from ..signals.store import canonical_json, digest, write_atomic
from ..training.config import Fold, TrainingConfig
from ..training.labels import direction_labels, field_prices, went_up
from .comparison import Comparison
from .contenders import Contender, calls_of, first_test_bar, scores_of
from .evidence.calls import call_statistics
from .experiment import Experiment
from .faithful_page import Learnt, learning_of, write_page
from .forecast_results import model_forecasts, quality_of
from .metrics import summary
from .outputs import only_writer
from .result import Result
from .table import run_contender
from .trials import count_trials

if TYPE_CHECKING:
    from ..training.course import Epoch
    from ..training.task import Dates

__all__ = ["faithful_facts"]

ERRORS = ("rmse", "naive_rmse", "theils_u", "mase")

OnEpoch = Callable[[str, "Epoch"], None]
"""Called with a symbol after every epoch."""

EARNED = ("total_return", "sharpe")


@dataclass(frozen=True)
class Case:
    """One symbol of a comparison, and the training that is to be shown beside it."""

    own: TrainingConfig
    experiment: Experiment
    frame: pd.DataFrame
    folder: Path
    """The run's."""

    @property
    def symbol(self) -> str:
        """The symbol's name."""
        return str(self.frame.attrs["symbol"])

    @property
    def path(self) -> Path:
        """The model file; what came of it is in a JSON file beside it."""
        return self.folder / "faithful" / f"{self.symbol}.onnx"

    @property
    def key(self) -> str:
        """Digest of all that decides the figures."""
        configs = [self.own.model_dump(mode="json"), self.experiment.model_dump(mode="json")]
        return digest(canonical_json([*configs, bars_digest(self.frame), version("nextbar")]))


def faithful_facts(
    own: TrainingConfig,
    experiment: Experiment,
    bars: Mapping[str, pd.DataFrame],
    done: Comparison,
    on_epoch: OnEpoch | None = None,
) -> dict[str, Any]:
    """Train a tutorial's own form on the experiment's first fold, and set it beside the honest one.

    Its flaws may let it see the test. So its figures stand in no table of the comparison, enter no
    verdict, and its model file names the flaws. What is found finished in the run's folder is
    taken over. A page of its own shows it with pictures.

    Returns
    -------
    dict
        ``flaws`` by name with their meaning, ``training``, by symbol the figures of both forms,
        ``honest`` and ``own``, and ``page``: where that is.
    """
    from ..training.flaws import KNOWN_FLAWS

    symbols: dict[str, Any] = {}
    learnt: dict[str, Learnt] = {}
    for symbol in experiment.symbols:
        frame = check_bars(bars[symbol], origin=symbol)
        frame.attrs["symbol"] = symbol
        case = Case(own, experiment, frame, done.folder)
        honest = _figures(case, experiment.training, done.folder / "models" / symbol / "lstm")
        strategies = done.summary["symbols"][symbol]["strategies"]
        honest |= {name: strategies["lstm"][name] for name in EARNED}
        with error_prefix(f"{symbol}, the tutorial's own form"):
            found = _finished(case) or _made(case, on_epoch)
        symbols[symbol] = {"honest": honest, "own": found["figures"], "model": found["sha256"]}
        learnt[symbol] = Learnt(frame, case.path, found["learning"])
    meanings = {name: KNOWN_FLAWS[name].meaning for name in own.flaws}
    facts = {"flaws": meanings, "training": own.model_dump(mode="json"), "symbols": symbols}
    return facts | {"page": str(write_page(own, experiment, facts, learnt, done))}


def _made(case: Case, on_epoch: OnEpoch | None) -> dict[str, Any]:
    """Train, run and write what came of it."""
    from ..training.fit import fit_task  # brings tensorflow
    from ..training.task import make_task

    told = on_epoch and partial(on_epoch, case.symbol)
    with only_writer(case.folder):
        case.path.parent.mkdir(parents=True, exist_ok=True)
        task = make_task(case.frame, case.own, _dates(case.experiment.folds[0]))
        trained = fit_task(task, case.path, told)
        figures = _figures(case, case.own, case.path)
        earned = summary(_followed(case), periods_per_year(case.frame))
        _note_look(case, earned["sharpe"])
        content: dict[str, Any] = {
            "key": case.key,
            "sha256": digest(case.path.read_bytes()),
            "known_flaws": list(trained.card.known_flaws),
            "figures": figures | {name: earned[name] for name in EARNED},
            "learning": learning_of(trained, task),
        }
        sealed = content | {"seal": digest(canonical_json(content))}
        text = canonical_json(sealed)
        write_atomic(case.path.with_suffix(".json"), text)
    return json.loads(text)


def _note_look(case: Case, sharpe: float | None) -> None:
    """Count it as a trial, for its calls on the test days were looked at.

    The Sharpe ratio of a form with known flaws says nothing of how much honest ones differ.
    """
    changes = {"training": case.own, "symbols": (case.symbol,)}
    looked = case.experiment.model_copy(update=changes)
    known = None if case.own.flaws else sharpe
    count_trials(looked, {case.symbol: case.frame}, case.key, case.folder.parent, known)


def _dates(fold: Fold) -> Dates:
    from ..training.task import Dates

    start = None if fold.train_start is None else pd.Timestamp(fold.train_start)
    return Dates(start, pd.Timestamp(fold.validation_start), pd.Timestamp(fold.test_start))


def _finished(case: Case) -> dict[str, Any] | None:
    """Return what was found before; None when something of it is other now."""
    try:
        found: dict[str, Any] = json.loads(case.path.with_suffix(".json").read_text("utf-8"))
        seal = found.pop("seal")
        mine = found["key"] == case.key and found["sha256"] == digest(case.path.read_bytes())
        whole = seal == digest(canonical_json(found)) and "learning" in found
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return found if mine and whole else None


def _followed(case: Case) -> Result:
    """Return what its calls earn on the test bars, at the experiment's costs and sizing."""
    experiment = case.experiment
    score = scores_of(case.path, case.frame, first_test_bar(case.frame, experiment))
    # Its training may have seen the test: that is what is shown.
    options = {"dead_band": experiment.dead_band, "in_sample": "allow"}
    signal = partial(indicator_of(case.path), model=case.path, **options)
    calls = calls_of(score, case.own.says, experiment)
    return run_contender(experiment, case.frame, Contender("faithful", signal, calls, score))


def _figures(case: Case, config: TrainingConfig, path: Path) -> dict[str, Any]:
    """Return how forecasts and calls of a model or chain came true on the test bars."""
    frame, start = case.frame, first_test_bar(case.frame, case.experiment)
    centre, band = CENTRES[config.says], case.experiment.dead_band
    score = scores_of(path, frame, start)
    field = config.columns[0][0] if config.columns else config.target
    found: dict[str, Any] = {"field": field, "horizon": config.horizon, "target": config.target}
    called = score[np.isfinite(score)] - centre
    found["up_calls"] = float((called > band).mean()) if len(called) else None
    traded = direction_labels(frame, config.horizon, "open")["up"].to_numpy(np.float64)
    own = went_up(field_prices(frame, field), config.horizon, config.target)
    for name, up in (("traded", traded), ("label", own)):
        calls = call_statistics(score, up[start:], config.horizon, band, centre=centre)
        rate = calls.base_rate
        base = None if rate is None else max(rate, 1 - rate)
        found[name] = {"calls": calls.calls, "accuracy": calls.accuracy, "base_rate": base}
    nearest = next((i for i, column in enumerate(config.columns) if column[1] == 1), None)
    if nearest is None:
        return found | {"forecast": None}
    column = config.columns[nearest]  # of the first field: each has all of its bars in a row
    forecast = model_forecasts(open_model(path), frame, start)[:, [nearest]]
    quality = quality_of(frame, [column], forecast, start)
    errors = {name: getattr(quality, name) for name in ERRORS}
    return found | {"forecast": errors}
