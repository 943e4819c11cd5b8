"""What the audit of an experiment is about: its settings, its bars, and the folder of its run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from ...signals.bars import bars_digest, check_bars
from ...signals.errors import ExperimentError, NextbarError, SourceError, did_you_mean
from ..experiment import SCHEMA, Experiment, make_experiment
from ..inputs import load_all
from ..plan import Plan, experiment_of, read_plan

__all__ = ["Subject", "is_experiment", "read_subject", "subject_of"]

CONFIG, RESULTS = "experiment.json", "results.json"


@dataclass(frozen=True, eq=False)
class Subject:
    """An experiment with its bars."""

    name: str
    experiment: Experiment
    bars: Mapping[str, pd.DataFrame]
    """The symbols to audit."""
    folder: Path | None = None
    """That of the finished run; None for an experiment that is not run yet."""
    results: dict[str, Any] = field(default_factory=dict[str, Any])
    """What the run's ``results.json`` holds."""
    model: Path | None = None
    """The given model file or chain, where it is known."""

    @property
    def notes(self) -> list[str]:
        """What makes the audited bars or program another one than the run's."""
        made = self.results.get("nextbar", version("nextbar"))
        found = [symbol for symbol in self.bars if not self.same_bars(symbol)]
        notes = [
            f"{symbol}: bars of digest {bars_digest(self.bars[symbol])[:12]}, and the run's had"
            f" {_digest(self.results, symbol)[:12]}: the pipeline is judged on these, and the run's"
            " own models cannot be compared."
            for symbol in found
        ]
        if made != version("nextbar"):
            notes.append(f"The run was made by nextbar {made}; this is {version('nextbar')}.")
        return notes

    def same_bars(self, symbol: str) -> bool:
        """Return whether the bars are those of the run; True where there is no run."""
        return not self.results or _digest(self.results, symbol) == bars_digest(self.bars[symbol])


def _digest(results: Mapping[str, Any], symbol: str) -> str:
    return str(results["symbols"][symbol]["bars"]["sha256"])


def is_experiment(text: str) -> bool:
    """Return whether `text` names an experiment file or the folder of a run."""
    return text.endswith(".toml") or (Path(text) / CONFIG).is_file()


def read_subject(
    text: str,
    *,
    symbols: Sequence[str] | None = None,
    csv: Sequence[Path] | None = None,
    refresh: bool = False,
) -> Subject:
    """Read an experiment file or a run's folder, and load its bars from where it had them.

    Parameters
    ----------
    text
        ``experiment.toml`` or ``runs/<name>-<hash>``.
    symbols
        Those to audit; by default the first one.
    csv
        Files of bars, named after their symbols, for an experiment on files.
    refresh
        Fetch again what the cache has.

    Raises
    ------
    NextbarError
        When the experiment or its bars cannot be read, or a symbol is not in it.
    """
    if text.endswith(".toml"):
        plan = read_plan(text)
        if csv:
            plan = plan.model_copy(update={"csv": tuple(map(str, csv))})
        bars = _bars_of_plan(plan, refresh)
        experiment = experiment_of(plan, bars)
        return subject_of(
            experiment,
            {symbol: bars[symbol] for symbol in _chosen(experiment, symbols)},
            name=Path(text).name,
            model=None if plan.model is None else Path(plan.model),
        )
    experiment, results = _read_run(Path(text))
    bars = {
        symbol: _bars_of_run(experiment, results, symbol, csv, refresh)
        for symbol in _chosen(experiment, symbols)
    }
    return subject_of(experiment, bars, folder=Path(text))


def subject_of(
    experiment: Experiment,
    bars: Mapping[str, pd.DataFrame],
    *,
    name: str | None = None,
    folder: Path | None = None,
    model: Path | None = None,
) -> Subject:
    """Return the subject, with the results that the run's `folder` has, after checking the bars.

    Raises
    ------
    NextbarError
        For bars that break the contract, or the folder of another experiment.
    """
    found, results = (experiment, {}) if folder is None else _read_run(folder)
    if found != experiment:
        raise ExperimentError(f"{folder}: the run of another experiment.")
    checked = {symbol: check_bars(frame, origin=symbol) for symbol, frame in bars.items()}
    for symbol, frame in checked.items():
        frame.attrs["symbol"] = symbol
    title = name or (folder.name if folder else experiment.name)
    return Subject(title, experiment, checked, folder, results, model)


def _chosen(experiment: Experiment, symbols: Sequence[str] | None) -> list[str]:
    known = {symbol.upper(): symbol for symbol in experiment.symbols}
    chosen = [known.get(symbol.upper(), symbol) for symbol in symbols or experiment.symbols[:1]]
    for symbol in chosen:
        if symbol not in experiment.symbols:
            raise ExperimentError(
                f"{symbol}: not in the experiment.{did_you_mean(symbol, experiment.symbols)}"
            )
    return chosen


def _bars_of_plan(plan: Plan, refresh: bool) -> dict[str, pd.DataFrame]:
    start, end = (None if date is None else str(date) for date in (plan.start, plan.end))
    files = [Path(file) for file in plan.csv]
    symbols = () if files else plan.symbols
    return load_all(symbols, files, plan.source, start, end, plan.interval, plan.adjust, refresh)


def _read_run(folder: Path) -> tuple[Experiment, dict[str, Any]]:
    if not (folder / RESULTS).is_file():
        raise ExperimentError(
            f"{folder}: the run is not finished: no {RESULTS}. Run the same comparison again, it"
            " goes on where it stopped."
        )
    config, results = (_read(folder / name) for name in (CONFIG, RESULTS))
    if results.get("schema") != SCHEMA:
        raise ExperimentError(
            f"{folder / RESULTS}: expected schema {SCHEMA}, found {results.get('schema')}. Run the"
            " comparison again with this version of nextbar."
        )
    if results.get("experiment") != config:
        raise ExperimentError(
            f"{folder}: {CONFIG} is not the experiment that {RESULTS} is of. One was edited: run"
            " the comparison again."
        )
    experiment = make_experiment(**config)
    if missing := [s for s in experiment.symbols if s not in results.get("symbols", {})]:
        raise ExperimentError(f"{folder / RESULTS}: nothing of {missing[0]}. It was edited.")
    return experiment, results


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ExperimentError(f"{path}: cannot be read: {error}.") from error
    if not isinstance(content, dict):
        raise ExperimentError(f"{path}: expected an object, found {type(content).__name__}.")
    return content  # pyright: ignore[reportUnknownVariableType]


def _bars_of_run(
    experiment: Experiment,
    results: Mapping[str, Any],
    symbol: str,
    csv: Sequence[Path] | None,
    refresh: bool,
) -> pd.DataFrame:
    """Return a symbol's bars, up to the run's last one, from the source or the file named."""
    if experiment.source == "csv" and not csv:
        raise SourceError(
            f"{symbol}: the run's bars came from a file, which it does not keep: name it with"
            f" --csv {symbol}.csv."
        )
    # A source may have later bars by now, and may hold only whole days.
    last = pd.Timestamp(results["symbols"][symbol]["bars"]["last"])
    start = None if experiment.start is None else str(experiment.start)
    names = None if csv else [symbol]
    try:
        loaded = load_all(
            names, csv, "csv" if csv else experiment.source, start, str(last.date()),
            experiment.interval, experiment.adjust, refresh,
        )  # fmt: skip
    except NextbarError as error:
        raise type(error)(f"the run's bars cannot be loaded again: {error}") from error
    if symbol not in loaded:
        raise SourceError(
            f"{symbol}: expected its file among --csv, found {', '.join(loaded)}: a file's name is"
            " its symbol."
        )
    return loaded[symbol]
