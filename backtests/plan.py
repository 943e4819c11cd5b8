"""A plan: an experiment as people write it, in a TOML file or as options, before bars are known."""

from __future__ import annotations

import datetime as dt
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import Field, ValidationError

from ..signals.errors import BarsError, ExperimentError
from ..signals.latest import open_model, uses_of
from ..training.config import Fold, TrainingConfig
from ..training.search_space import Search
from ..training.splits import FEWEST_DATES, make_folds
from .experiment import (
    FEWEST_BARS,
    SCHEMA,
    Experiment,
    Settings,
    make_experiment,
    one_line,
    shared_dates,
)

__all__ = ["Plan", "experiment_of", "read_plan"]


class Plan(Settings):
    """What to compare, with the folds as a number or as dates."""

    symbols: tuple[str, ...] = ()
    csv: tuple[str, ...] = ()
    """Files of bars, in place of symbols of a source; a file's name is its symbol."""
    interval: str | None = None
    """None takes that of the bars."""
    model: str | None = None
    """A model file or a chain's folder, in place of training."""
    folds: int | tuple[Fold, ...] = Field(8)
    first_test: dt.date | None = None
    """First date of the first test, with a number of folds; by default 30 % of the dates in, or
    the first that a given model has not seen."""
    rolling: bool = False
    """Train every fold on as many dates as the first one has, not on all earlier ones."""
    search: Search | None = None
    """Settings to search on the bars before the first test; the best go into the comparison."""
    schema_version: Literal[2] = Field(SCHEMA, alias="schema")


def read_plan(path: str | Path) -> Plan:
    """Read an experiment file.

    Raises
    ------
    ExperimentError
        When it cannot be read, is no TOML, is of another schema, or holds an unknown key or a
        wrong value: the message names the key, and the nearest known one.
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise ExperimentError(f"{path}: cannot be read: {reason}. Check its name.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ExperimentError(f"{path}: not a TOML file: {error}.") from error
    found = content.get("schema")
    if found != SCHEMA:
        raise ExperimentError(
            f"{path}: expected schema = {SCHEMA}, found {'none' if found is None else repr(found)}."
            f" Bring the file up to date with the README's example, then write schema = {SCHEMA}."
        )
    known = [
        *(name for name in Plan.model_fields if name != "schema_version"),
        *TrainingConfig.model_fields,
        *Fold.model_fields,
        *Search.model_fields,
    ]
    try:
        plan = Plan(**content)
    except ValidationError as error:
        raise ExperimentError(f"{path}: {one_line(error, known=known)}") from error
    # Files are named as seen from the experiment's own folder.
    files: dict[str, Any] = {"csv": tuple(str(path.parent / file) for file in plan.csv)}
    if plan.model is not None:
        files["model"] = str(path.parent / plan.model)
    return plan.model_copy(update=files)


def experiment_of(plan: Plan, bars: Mapping[str, pd.DataFrame]) -> Experiment:
    """Return the experiment of `plan` on `bars`: with these, folds become dates.

    Raises
    ------
    NextbarError
        When the plan contradicts itself, or the bars are too few for it.
    """
    if isinstance(plan.folds, tuple) and (plan.first_test or plan.rolling):
        raise ExperimentError(
            "first_test and rolling lay folds out; with dates for folds, leave them out."
        )
    given: dict[str, Any] = {"source": "csv"} if plan.csv else {}
    if plan.model is not None:
        if plan.training != TrainingConfig() or "seeds" in plan.model_fields_set:
            raise ExperimentError(
                "seeds and the training's settings are for training; a given model has its own."
                " Leave them out."
            )
        given |= {"model_sha256": open_model(plan.model).sha256, "seeds": 1}
    folds = plan.folds if isinstance(plan.folds, tuple) else _folds(plan, plan.folds, bars)
    shared = set(Settings.model_fields) - {"training"}
    return make_experiment(
        **plan.model_dump(include=shared) | given,
        training=plan.training,
        symbols=tuple(bars),
        interval=plan.interval or next(iter(bars.values())).attrs["interval"],
        folds=folds,
    )


def _folds(plan: Plan, number: int, bars: Mapping[str, pd.DataFrame]) -> tuple[Fold, ...]:
    dates = shared_dates(bars)
    if plan.first_test is not None and not 1700 <= plan.first_test.year <= 2200:
        raise ExperimentError(
            f"first_test: expected a date from 1700 to 2200, found {plan.first_test}."
        )
    first = None if plan.first_test is None else pd.Timestamp(plan.first_test)
    if first is None:
        window = (
            plan.training.window if plan.model is None else uses_of(open_model(plan.model)).window
        )
        needed = max(window, plan.look_back + 1, FEWEST_DATES - FEWEST_BARS) + FEWEST_BARS
        # At least as late as the rules need; a long history starts 30 % in.
        latest = max(_nth(frame, needed) for frame in bars.values())
        share = dates[int(len(dates) * 0.3)] if plan.model is None else _unseen(plan.model, bars)
        first = _midnight(max(latest, share))
    return make_folds(dates, number, first_test=first, rolling=plan.rolling)


def _nth(frame: pd.DataFrame, needed: int) -> pd.Timestamp:
    if len(frame) <= needed:
        raise BarsError(
            f"{frame.attrs['symbol']}: {len(frame)} bars, and {needed} are needed before the first"
            " test to warm the rules up and choose them. Load a longer history or shorten the"
            " window or the grids."
        )
    return frame.index[needed]


def _midnight(moment: pd.Timestamp) -> pd.Timestamp:
    """Return the first midnight from `moment` on: a date begins there."""
    day = moment.normalize()
    return day if day == moment else day + pd.Timedelta(days=1)


def _unseen(model: str, bars: Mapping[str, pd.DataFrame]) -> pd.Timestamp:
    """Return the first midnight from which no symbol's bar is in-sample."""
    unseen = pd.Timestamp(uses_of(open_model(model)).unseen_from)
    first = _midnight(unseen)
    for symbol, frame in bars.items():
        if frame.index[-1] < first:
            raise BarsError(
                f"{model}: in-sample before {unseen}, and the last bar of {symbol} is of"
                f" {frame.index[-1]}. Load a later end, or train on earlier bars."
            )
    return first
