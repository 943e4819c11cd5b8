"""Walk-forward training: for every fold, seed and kind one model file, by as many workers as asked.

A file depends on its job, bars, config and fold alone, so the number of workers, the order in which
they finish and what was trained before change nothing.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from ..signals.bars import check_bars
from ..signals.chain import Chain, Period, write_chain
from ..signals.errors import ExperimentError, error_prefix
from .config import Fold, TrainingConfig
from .course import Epoch
from .fit import fit_task
from .jobs import KINDS, Job, Work, check_jobs, cut_work, test_of
from .records import Record, read_record, write_record

__all__ = ["KINDS", "Job", "run_jobs", "walk_forward"]

OnDone = Callable[[Job, Record], None]


def run_jobs(
    jobs: Sequence[Job],
    bars: Mapping[str, pd.DataFrame],
    config: TrainingConfig,
    folds: Sequence[Fold],
    *,
    workers: int = 1,
    on_done: OnDone | None = None,
    on_epoch: Callable[[Job, Epoch], None] | None = None,
) -> dict[Job, Record]:
    """Train the models of `jobs`, except those that are there already.

    A model is there when its record and its file are, the file is whole, and it was trained on
    just these bars with just this config, fold, kind and nextbar version.

    Parameters
    ----------
    jobs : sequence of Job
        Each at most once. A job's seed takes the place of the config's.
    bars : mapping of symbol to DataFrame
        Bars. A training gets those before its fold's `test_start` only, a rolling one those from
        `train_start` on; those of the test are looked at when the file is written and hashed.
    config : TrainingConfig
        The same for all jobs.
    folds : sequence of Fold
        In the order of their tests. A test lasts until the next fold's.
    workers : int, default 1
        Processes; with 1 all is done in this one.
    on_done : callable, optional
        Called here with every job and its record when it is done, found ones first.
    on_epoch : callable, optional
        Called after every epoch, with one worker only.

    Returns
    -------
    dict of Job to record, in the order of `jobs`
        Digest, dates, rows, history and the agreement of Keras and file on the test's windows.

    Raises
    ------
    ExperimentError
        When a job names a symbol, fold or kind that is not there, or a file cannot be written.
    BarsError
        When bars break the contract, or those of a fold are too few or of one class only. Nothing
        is trained then.
    ModelError
        When a training diverges or an export's certificate fails.
    """
    check_jobs(jobs, bars, folds)
    checked = {symbol: check_bars(frame, origin=symbol) for symbol, frame in bars.items()}
    make = partial(cut_work, bars=checked, config=config, folds=folds)
    records: dict[Job, Record] = {}
    pending: list[Job] = []
    for job in jobs:
        work = make(job)
        record = read_record(job.record, job.path, work.task, work.later)
        if record is None:
            pending.append(job)
            continue
        records[job] = record
        if on_done:
            on_done(job, record)
    # Made anew when its turn comes: all at once may not fit.
    work = (make(job) for job in pending)
    if workers > 1 and len(pending) > 1:
        done = _by_workers(work, min(workers, len(pending)))
    else:
        done = (_do(item, on_epoch) for item in work)
    with closing(done):
        for job, record in done:
            records[job] = record
            if on_done:
                on_done(job, record)
    return {job: records[job] for job in jobs}


def walk_forward(
    bars: pd.DataFrame,
    config: TrainingConfig,
    folder: str | Path,
    *,
    folds: Sequence[Fold],
    seeds: int = 5,
    workers: int = 1,
    on_done: OnDone | None = None,
) -> Chain:
    """Train the LSTM anew for every fold, several times each, and chain the models by date.

    Models that `folder` has already are not trained again.

    Parameters
    ----------
    bars : DataFrame
        Bars of one symbol.
    config : TrainingConfig
        Network and training; its seed is the first of the seeds.
    folder : str or Path
        For the model files, their records and the chain's manifest.
    folds : sequence of Fold
        As `make_folds` gives them.
    seeds : int, default 5
        Models of each fold, which differ in their random numbers only.
    workers : int, default 1
        Processes.
    on_done : callable, optional
        Called with every job and its record when it is done.

    Returns
    -------
    Chain
        The models, each valid for its fold's test: from `test_start` until the next fold's.

    Raises
    ------
    BarsError, ModelError, ExperimentError
        As `run_jobs` does.
    """
    bars, folder = check_bars(bars), Path(folder)
    if seeds < 1:
        raise ExperimentError(f"expected at least 1 seed, found {seeds}.")
    symbol = str(bars.attrs["symbol"])
    numbers = range(config.seed, config.seed + seeds)
    jobs = [
        Job(symbol, fold, "lstm", seed, folder) for fold in range(len(folds)) for seed in numbers
    ]
    run_jobs(jobs, {symbol: bars}, config, folds, workers=workers, on_done=on_done)
    return write_chain(folder, _periods(jobs, folds))


def _periods(jobs: Sequence[Job], folds: Sequence[Fold]) -> list[Period]:
    tests = [test_of(folds, number) for number in range(len(folds))]
    return [
        Period(
            start=start.to_pydatetime(),
            end=None if end is None else end.to_pydatetime(),
            models=tuple(job.path.name for job in jobs if job.fold == number),
        )
        for number, (start, end) in enumerate(tests)
    ]


def _do(work: Work, on_epoch: Callable[[Job, Epoch], None] | None = None) -> tuple[Job, Record]:
    job = work.job
    with error_prefix(work.where):
        trained = fit_task(work.task, job.path, partial(on_epoch, job) if on_epoch else None)
        return job, write_record(job.record, trained, work.task, work.later)


def _by_workers(work: Iterator[Work], workers: int) -> Generator[tuple[Job, Record]]:
    """Yield jobs as they are done; when the caller stops early, so do the workers, at once."""
    joblib: Any = import_module("joblib")  # heavy, and without types
    parallel = joblib.Parallel(
        n_jobs=workers,
        backend="loky",
        return_as="generator_unordered",
        batch_size=1,
        max_nbytes=None,  # large arrays would come as read-only files
    )
    with _without_noise():
        done = parallel(joblib.delayed(_do_in_worker)(item) for item in work)
        try:
            yield from done
        finally:
            done.close()


@contextmanager
def _without_noise() -> Generator[None]:
    """Hide the one traceback that joblib prints of an interruption, now and then.

    Its thread may look for work that the interruption has just dropped.
    """
    before = threading.excepthook

    def hook(found: threading.ExceptHookArgs) -> None:
        manager = type(found.thread).__name__ == "_ExecutorManagerThread"
        if not (manager and found.exc_type is KeyError):
            before(found)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before


def _do_in_worker(work: Work) -> tuple[Job, Record]:
    # Ctrl-C reaches every process of the terminal; the parent ends its workers without noise.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with(os.getppid())
    return _do(work)


@cache
def _end_with(parent: int) -> None:
    """End this process soon after its parent, which may be killed and cannot say so."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
