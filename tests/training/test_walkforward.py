"""Walk-forward: what each fold may see, what is trained again, and that workers change nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from nextbar.signals import load_model
from nextbar.signals.chain import load_chain
from nextbar.signals.errors import BarsError, ExperimentError, ModelError
from nextbar.training import TrainingConfig, train, walk_forward
from nextbar.training.config import Fold
from nextbar.training.course import Epoch
from nextbar.training.splits import EMBARGO, make_folds
from nextbar.training.walkforward import KINDS, Job, _without_noise, run_jobs

from ..markets import PLANTED, planted_bars, random_bars

ROOT = Path(__file__).parents[2]
CONFIG = TrainingConfig(units=(3,), window=6, epochs=2, batch_size=64)
BARS = random_bars(560, seed=8)
FOLDS = make_folds(pd.DatetimeIndex(BARS.index), 2)
ALL = [(fold, kind, seed) for kind in KINDS for fold in range(2) for seed in range(2)]


def jobs_in(folder: Path, wanted: Sequence[tuple[int, Any, int]] = ALL) -> list[Job]:
    return [Job("TEST", fold, kind, seed, folder / kind) for fold, kind, seed in wanted]


def run(
    folder: Path,
    wanted: Sequence[tuple[int, Any, int]] = ALL,
    bars: pd.DataFrame = BARS,
    config: TrainingConfig = CONFIG,
    folds: Sequence[Fold] = FOLDS,
    **settings: Any,
) -> dict[Job, dict[str, Any]]:
    return run_jobs(jobs_in(folder, wanted), {"TEST": bars}, config, folds, **settings)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All jobs, by one worker."""
    folder = tmp_path_factory.mktemp("done")
    run(folder)
    return folder


@pytest.fixture
def copy(done: Path, tmp_path: Path) -> Path:
    for name, content in contents(done).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


# --- what comes out --------------------------------------------------------------------------


def test_records_and_files(done: Path) -> None:
    records = run(done)
    assert list(records) == jobs_in(done)
    for job, record in records.items():
        model = load_model(job.path)
        card, fold = model.card, FOLDS[job.fold]
        assert record["sha256"] == model.sha256
        assert (record["kind"], record["seed"]) == (job.kind, job.seed)
        assert (record["train_start"], record["train_end"]) == (card.train_start, card.train_end)
        before = BARS.index[BARS.index < pd.Timestamp(fold.test_start)]
        assert card.train_end == str(before[-1 - EMBARGO].date())
        assert card.recurrent == (None if job.kind == "logistic" else "LSTM")
        assert ("placebo" in card.architecture) == (job.kind == "shuffled")
        assert len(record["history"]) == (0 if job.kind == "logistic" else 2)
        end = FOLDS[1].test_start if job.fold == 0 else "2100-01-01"
        test = BARS[(BARS.index >= str(fold.test_start)) & (BARS.index < str(end))]
        assert record["test_windows"]["windows"] == len(test) > 100
        assert record["test_windows"]["max_difference"] <= 1e-6
        assert record["test_windows"]["flipped_calls"] == 0
    assert len({record["sha256"] for record in records.values()}) == len(ALL)


def test_the_lstm_is_what_train_makes(done: Path, tmp_path: Path) -> None:
    fold = FOLDS[1]
    train(
        BARS,
        CONFIG.model_copy(update={"seed": 1}),
        tmp_path / "m.onnx",
        validation_start=str(fold.validation_start),
        test_start=str(fold.test_start),
    )
    assert (tmp_path / "m.onnx").read_bytes() == (done / "lstm/fold1-seed1.onnx").read_bytes()


def test_a_chain_of_periods(tmp_path: Path, done: Path) -> None:
    told: list[Job] = []
    chain = walk_forward(
        BARS, CONFIG, tmp_path, folds=FOLDS, seeds=2, on_done=lambda job, _: told.append(job)
    )
    assert [(job.fold, job.seed) for job in told] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [str(period.start.date()) for period in chain.periods] == [
        str(fold.test_start) for fold in FOLDS
    ]
    assert chain.periods[0].end == chain.periods[1].start
    assert chain.periods[1].end is None
    assert chain.periods[1].models == ("fold1-seed0.onnx", "fold1-seed1.onnx")
    for name in ("fold0-seed0", "fold1-seed1"):
        model = (tmp_path / name).with_suffix(".onnx").read_bytes()
        assert model == (done / "lstm" / name).with_suffix(".onnx").read_bytes()
    assert load_chain(tmp_path).sha256 == chain.sha256
    # A later seed begins where the config says.
    walk_forward(
        BARS, CONFIG.model_copy(update={"seed": 1}), tmp_path / "later", folds=FOLDS[:1], seeds=1
    )
    later, first = tmp_path / "later/fold0-seed1.onnx", tmp_path / "fold0-seed1.onnx"
    assert later.read_bytes() == first.read_bytes()


def test_epochs_are_told_in_process(tmp_path: Path) -> None:
    told: list[tuple[Job, int]] = []

    def tell(job: Job, epoch: Epoch) -> None:
        told.append((job, epoch.number))

    wanted = [(0, "lstm", 0), (0, "logistic", 0)]
    run(tmp_path, wanted, on_epoch=tell)
    assert told == [(jobs_in(tmp_path, wanted)[0], 1), (jobs_in(tmp_path, wanted)[0], 2)]


# --- what a fold sees ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_noise_from_the_test_on_changes_no_model(kind: Any, done: Path, tmp_path: Path) -> None:
    first = BARS.index.searchsorted(pd.Timestamp(FOLDS[0].test_start))
    noisy = BARS.copy()
    # The bar before the test is left free, so it may be anything too.
    noisy.iloc[first - EMBARGO :] = random_bars(560, seed=99, sigma=0.1).iloc[first - EMBARGO :] * 5
    run(tmp_path, [(0, kind, 0), (1, kind, 0)], noisy)
    for fold in range(2):
        name = f"{kind}/fold{fold}-seed0.onnx"
        same = (tmp_path / name).read_bytes() == (done / name).read_bytes()
        assert same == (fold == 0), "the second fold trains on the first one's test"


def test_training_is_over_before_the_test_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nextbar.training import walkforward

    seen: list[tuple[str, pd.Timestamp, bool]] = []
    fit, write = walkforward.fit_task, walkforward.write_record

    def fit_and_tell(task: Any, path: Path, on_epoch: Any) -> Any:
        seen.append(("fit", task.bars.index[-1], path.exists()))
        assert len(task.up) >= len(task.bars)
        return fit(task, path, on_epoch)

    def write_and_tell(file: Path, trained: Any, task: Any, later: pd.DataFrame) -> Any:
        seen.append(("write", later.index[-1], trained.path.exists()))
        return write(file, trained, task, later)

    monkeypatch.setattr(walkforward, "fit_task", fit_and_tell)
    monkeypatch.setattr(walkforward, "write_record", write_and_tell)
    run(tmp_path, [(1, "lstm", 0)])
    start = pd.Timestamp(FOLDS[1].test_start)
    assert [(what, there) for what, _, there in seen] == [("fit", False), ("write", True)]
    assert seen[0][1] < start <= seen[1][1] == BARS.index[-1]


def test_a_rolling_fold_forgets(tmp_path: Path) -> None:
    folds = make_folds(pd.DatetimeIndex(BARS.index), 2, rolling=True)
    records = run(tmp_path, [(0, "lstm", 0), (1, "lstm", 0)], folds=folds)
    starts = [record["train_start"] for record in records.values()]
    assert starts == [str(fold.train_start) for fold in folds]
    assert starts[0] < starts[1]
    other = BARS.copy()
    other[other.index < starts[1]] *= 1.3
    told: list[int] = []
    run(
        tmp_path,
        [(0, "lstm", 0), (1, "lstm", 0)],
        other,
        folds=folds,
        on_epoch=lambda job, _: told.append(job.fold),
    )
    assert set(told) == {0}


# --- what is trained again -------------------------------------------------------------------


def trained_again(folder: Path, **changes: Any) -> set[tuple[str, int, int]]:
    """Return kind, fold and seed of the jobs that are trained."""
    before = {
        job: job.path.stat().st_mtime_ns if job.path.exists() else 0 for job in jobs_in(folder)
    }
    run(folder, **changes)
    return {
        (job.kind, job.fold, job.seed)
        for job, time_ in before.items()
        if job.path.stat().st_mtime_ns != time_
    }


def test_a_finished_walk_is_left_alone(copy: Path, done: Path) -> None:
    told: list[Job] = []
    assert trained_again(copy, on_done=lambda job, _: told.append(job)) == set()
    assert told == jobs_in(copy)
    assert contents(copy) == contents(done)


@pytest.mark.parametrize("suffix", [".json", ".onnx"])
def test_one_is_missing(suffix: str, copy: Path, done: Path) -> None:
    (copy / "lstm/fold1-seed0.onnx").with_suffix(suffix).unlink()
    assert trained_again(copy) == {("lstm", 1, 0)}
    assert contents(copy) == contents(done)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("shuffled/fold0-seed1.onnx", lambda content: content[:-40]),
        ("shuffled/fold0-seed1.json", lambda content: content[:-40]),
        ("shuffled/fold0-seed1.json", lambda content: b"[]"),
        (
            "shuffled/fold0-seed1.json",
            lambda content: content.replace(b'"sha256":"', b'"sha256":"0'),
        ),
    ],
    ids=["model cut", "record cut", "not a record", "another model's record"],
)
def test_one_is_damaged(name: str, damage: Any, copy: Path, done: Path) -> None:
    (copy / name).write_bytes(damage((copy / name).read_bytes()))
    assert trained_again(copy) == {("shuffled", 0, 1)}
    assert contents(copy) == contents(done)


def test_one_takes_the_place_of_another(copy: Path, done: Path) -> None:
    """Whole files, in the wrong place: of another seed, and of another kind."""
    for suffix in (".json", ".onnx"):
        for place, source in (
            ("lstm/fold0-seed0", "lstm/fold0-seed1"),
            ("shuffled/fold1-seed1", "lstm/fold1-seed1"),
        ):
            (copy / place).with_suffix(suffix).write_bytes(
                (done / source).with_suffix(suffix).read_bytes()
            )
    assert trained_again(copy) == {("lstm", 0, 0), ("shuffled", 1, 1)}
    assert contents(copy) == contents(done)


@pytest.mark.parametrize("change", [{"epochs": 3}, {"dropout": 0.1}, {"target": "close"}])
def test_a_changed_config_is_not_taken_over(change: dict[str, Any], copy: Path) -> None:
    wanted = [(0, kind, 1) for kind in KINDS]
    again = trained_again(copy, wanted=wanted, config=CONFIG.model_copy(update=change))
    assert again == {(kind, 0, 1) for kind in KINDS}


def test_changed_dates_are_not_taken_over(copy: Path) -> None:
    later = FOLDS[1].validation_start + pd.Timedelta(7, "D")
    folds = [FOLDS[0], FOLDS[1].model_copy(update={"validation_start": later})]
    assert {fold for _, fold, _ in trained_again(copy, folds=folds)} == {1}


def test_new_test_bars_are_compared(copy: Path, done: Path) -> None:
    """The models stay what they are; their records speak of the new bars."""
    records = run(copy, bars=BARS.iloc[:-20])
    windows = [record["test_windows"]["windows"] for record in records.values()]
    old = [record["test_windows"]["windows"] for record in run(done).values()]
    assert [before - after for before, after in zip(old, windows, strict=True)] == [
        20 * fold for fold, _, _ in ALL
    ]
    models = [job.path.read_bytes() for job in jobs_in(copy)]
    assert models == [job.path.read_bytes() for job in jobs_in(done)]


# --- kinds -----------------------------------------------------------------------------------


def test_the_placebo_learns_nothing_where_the_others_learn(tmp_path: Path) -> None:
    bars = planted_bars(3300, seed=1)
    config = TrainingConfig(units=(8,), window=5, epochs=10, learning_rate=0.01, dropout=0.0)
    first = 2200
    folds = [Fold(validation_start=bars.index[1700].date(), test_start=bars.index[first].date())]
    wanted = [(0, "lstm", 0), (0, "logistic", 0), *((0, "shuffled", seed) for seed in range(3))]
    run(tmp_path, wanted, bars, config, folds)
    move = np.diff(np.log(bars["open"].to_numpy()))[1:][first:] > 0
    right: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for job in jobs_in(tmp_path, wanted):
        score = load_model(job.path).score(bars.to_numpy())[first - config.window + 1 : -2]
        right[job.kind].append(float(np.mean((score > 0.5) == move)))
    assert np.mean(right["lstm"]) >= 0.9 * PLANTED
    assert np.mean(right["logistic"]) >= 0.9 * PLANTED
    assert abs(np.mean(right["shuffled"]) - 0.5) < 0.05


def test_the_placebo_has_the_same_labels_in_another_order(done: Path) -> None:
    records = run(done)
    by_kind = {job.kind: record for job, record in records.items() if job.fold + job.seed == 0}
    for field in ("train_rows", "validation_rows", "validation_base_rate", "train_end"):
        assert by_kind["lstm"][field] == by_kind["shuffled"][field]
    first = {kind: by_kind[kind]["history"][0]["loss"] for kind in ("lstm", "shuffled")}
    assert first["lstm"] != first["shuffled"]


# --- workers ---------------------------------------------------------------------------------


def test_two_workers_give_the_same_files(done: Path, tmp_path: Path) -> None:
    told: list[Job] = []
    records = run(tmp_path, workers=2, on_done=lambda job, _: told.append(job))
    assert contents(tmp_path) == contents(done)
    assert list(records.values()) == list(run(done).values())
    assert list(records) == jobs_in(tmp_path)
    assert sorted(told, key=str) == sorted(jobs_in(tmp_path), key=str)


def test_an_error_in_a_worker_keeps_its_class(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"learning_rate": 1e38})
    with pytest.raises(ModelError, match=r"^TEST, fold [01] \(test from 200\d-.*\): .* diverged"):
        run(tmp_path, [(0, "lstm", 0), (1, "lstm", 0)], config=config, workers=2)


SLOW = """
import sys
from pathlib import Path
import pandas as pd
from tests.markets import random_bars
from nextbar.training import TrainingConfig
from nextbar.training.splits import make_folds
from nextbar.training.walkforward import Job, run_jobs

bars = random_bars(600)
folds = make_folds(pd.DatetimeIndex(bars.index), 1)
jobs = [Job("TEST", 0, "lstm", seed, Path(sys.argv[1])) for seed in range(500)]
config = TrainingConfig(units=(3,), window=6, epochs=40, patience=40)
try:
    run_jobs(jobs, {"TEST": bars}, config, folds, workers=2,
             on_done=lambda job, record: print("one", flush=True))
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_an_interrupt_ends_the_workers(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "one\n"
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to all of them
    begin = time.monotonic()
    _, noise = process.communicate(timeout=30)
    assert time.monotonic() - begin < 10
    assert process.returncode == 130
    assert "Traceback" not in noise
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.1)
    else:
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail("workers live on")
    for record in tmp_path.glob("*.json"):
        assert load_model(record.with_suffix(".onnx"))
    assert not list(tmp_path.glob(".*"))


class _ExecutorManagerThread(threading.Thread):
    """Ends with an error, as joblib's thread of that name does when its work is gone."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def run(self) -> None:
        raise self.error


class Other(_ExecutorManagerThread):
    pass


def test_only_the_noise_of_an_interruption_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda found: seen.append(found.exc_value))
    lost, other, last = KeyError(4), ValueError("broken"), KeyError(5)
    with _without_noise():
        for thread in (_ExecutorManagerThread(lost), _ExecutorManagerThread(other), Other(lost)):
            thread.start()
            thread.join()
    thread = _ExecutorManagerThread(last)
    thread.start()
    thread.join()
    assert seen == [other, lost, last]


# --- bad input -------------------------------------------------------------------------------


def test_errors_name_the_job_and_come_before_any_training(tmp_path: Path) -> None:
    early = Fold(validation_start="2001-02-01", test_start="2001-06-01")  # type: ignore[arg-type]
    with pytest.raises(BarsError, match=r"^TEST, fold 0 \(test from 2001-06-01\): \d+ training"):
        run(tmp_path, [(1, "lstm", 0), (0, "lstm", 0)], folds=[early, FOLDS[1]])
    rising = BARS.copy()
    rising[["open", "high", "low", "close"]] = np.exp(np.arange(560) * 0.001)[:, None] * np.ones(4)
    with pytest.raises(BarsError, match=r"^TEST, fold 1 .*: all \d+ .* the same label"):
        run(tmp_path, [(1, "logistic", 0)], rising)
    with pytest.raises(BarsError, match=r"^TEST, fold 0 .* no bars before it"):
        run(tmp_path, [(0, "lstm", 0)], BARS[BARS.index >= str(FOLDS[0].test_start)])
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"symbol": "TSET"}, "no bars of TSET. Did you mean 'TEST'"),
        ({"kind": "lsmt"}, "no kind 'lsmt'. Did you mean 'lstm'"),
        ({"fold": 2}, "expected a fold from 0 to 1, found 2 for TEST"),
        ({"fold": -1}, "expected a fold from 0 to 1, found -1"),
    ],
)
def test_jobs_that_cannot_be(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    job = Job(
        **({"symbol": "TEST", "fold": 0, "kind": "lstm", "seed": 0} | change), folder=tmp_path
    )
    with pytest.raises(ExperimentError, match=message):
        run_jobs([job], {"TEST": BARS}, CONFIG, FOLDS)


def test_jobs_that_clash(tmp_path: Path) -> None:
    pair = [Job("TEST", 0, kind, 0, tmp_path) for kind in ("lstm", "logistic")]
    with pytest.raises(ExperimentError, match=r"fold0-seed0\.onnx: two jobs would write this file"):
        run_jobs(pair, {"TEST": BARS}, CONFIG, FOLDS)
    with pytest.raises(ExperimentError, match="folds in the order of their tests"):
        run(tmp_path, [(0, "lstm", 0)], folds=FOLDS[::-1])
    with pytest.raises(ExperimentError, match="at least 1 seed, found 0"):
        walk_forward(BARS, CONFIG, tmp_path, folds=FOLDS, seeds=0)
