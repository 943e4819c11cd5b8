"""The search: what it sees, that it repeats and resumes, and what it refuses."""

from __future__ import annotations

import datetime as dt
import os
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nextbar.signals.errors import BarsError, ExperimentError
from nextbar.signals.store import digest
from nextbar.training import search_question, search_storage, train
from nextbar.training.config import Fold, TrainingConfig
from nextbar.training.course import Epoch
from nextbar.training.search_space import CHOICES, RANGES, Search
from nextbar.training.splits import make_folds
from nextbar.training.task import Task
from nextbar.training.tune import WARM_UP, Found, Trial, search
from pydantic import ValidationError

from ..markets import random_bars

ROOT = Path(__file__).parents[2]
CONFIG = TrainingConfig(units=(3,), window=6, epochs=2, batch_size=64, seed=7)
BARS = random_bars(420, seed=8)
FOLDS = make_folds(pd.DatetimeIndex(BARS.index), 1, first_test=BARS.index[300])
NOTHING: dict[str, Any] = dict.fromkeys((*RANGES, *CHOICES), ())
RATE: dict[str, Any] = NOTHING | {"trials": 3, "learning_rate": (1e-4, 0.1)}


def run(folder: Path, bars: pd.DataFrame = BARS, **changes: Any) -> Found:
    """Search on the default question but for `changes` of the search or of the call."""
    call = {"config": CONFIG, "folds": FOLDS, "test_start": None, "on_trial": None}
    call |= {"on_epoch": None}
    named = {name: changes.pop(name, default) for name, default in call.items()}
    config, folds = named.pop("config"), named.pop("folds")
    return search(bars, config, folds, Search(**RATE | changes), folder, **named)


def changed_from(date: pd.Timestamp) -> pd.DataFrame:
    """Return `BARS` with noise from `date` on."""
    first, noisy = BARS.index.searchsorted(date), BARS.copy()
    noisy.iloc[first:] = random_bars(420, seed=99, sigma=0.1).iloc[first:] * 5
    return noisy


def states(folder: Path) -> list[str]:
    """Return what the file says of each trial in turn."""
    with closing(sqlite3.connect(folder / "search.db")) as file:
        return [state for (state,) in file.execute("SELECT state FROM trials ORDER BY trial_id")]


class Log:
    """What the caller is told; raises KeyboardInterrupt where told to."""

    def __init__(self, stop: Callable[[Log], bool] = lambda log: False) -> None:
        self.trials: list[Trial] = []
        self.epochs: list[tuple[int, int]] = []
        self.stop = stop

    def trial(self, trial: Trial) -> None:
        if self.stop(self):
            raise KeyboardInterrupt
        self.trials.append(trial)

    def epoch(self, number: int, epoch: Epoch) -> None:
        self.epochs.append((number, epoch.number))
        if self.stop(self):
            raise KeyboardInterrupt

    @property
    def both(self) -> dict[str, Any]:
        return {"on_trial": self.trial, "on_epoch": self.epoch}


def stand_in(task: Task, on_epoch: Callable[[Epoch], None]) -> None:
    """Tell losses that depend on all that training sees and is told: quick, and repeatable.

    They are least at a rate of 0.01 and in the second epoch.
    """
    config, check = task.config, task.part(task.split.validation)
    seen = [part.windows.sum() + part.up.sum() for part in (task.train_part, check)]
    noise = int(digest(f"{seen} {config.model_dump_json()}")[:4], 16) / 16**4
    level = 0.7 + 0.01 * noise + (np.log10(config.learning_rate) + 2) ** 2 / 20
    for number in range(1, config.epochs + 1):
        loss = level + abs(number - 2) / 1000
        on_epoch(Epoch(number, config.epochs, loss, loss, 0.5))


@pytest.fixture(autouse=True)
def _stand_in(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a network train only where its numbers are what is tested."""
    if "real" not in request.fixturenames:
        monkeypatch.setattr(search_question, "fit_loop", stand_in)


@pytest.fixture(scope="module")
def real() -> None:
    """Train networks in this test."""


@pytest.fixture(scope="module")
def trained(real: None, tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What the default question comes to with networks."""
    return run(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What the default question comes to without any interruption."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_question, "fit_loop", stand_in)
        return run(tmp_path_factory.mktemp("found"))


# --- what comes out --------------------------------------------------------------------------


def test_the_best_of_all_trials(trained: Found, tmp_path: Path) -> None:
    assert [trial["number"] for trial in trained.trials] == [0, 1, 2]
    assert all(trial["state"] == "complete" for trial in trained.trials)
    assert [trial["epochs"] for trial in trained.trials] == [2, 2, 2]
    rates = [trial["params"]["learning_rate"] for trial in trained.trials]
    assert len(set(rates)) == 3
    assert all(1e-4 <= rate <= 0.1 for rate in rates)
    values = [trial["value"] for trial in trained.trials]
    assert trained.value == min(values) < max(values)
    assert trained.number == values.index(trained.value)
    assert trained.config == CONFIG.model_copy(update={"learning_rate": rates[trained.number]})
    fold = FOLDS[0]
    model = train(
        BARS,
        trained.config,
        tmp_path / "m.onnx",
        validation_start=pd.Timestamp(fold.validation_start),
        test_start=pd.Timestamp(fold.test_start),
    )
    assert min(epoch.validation_loss for epoch in model.history) == trained.value


def test_networks_repeat_and_see_no_test(trained: Found, real: None, tmp_path: Path) -> None:
    assert run(tmp_path, changed_from(pd.Timestamp(FOLDS[0].test_start))) == trained


def test_the_same_again(found: Found, tmp_path: Path) -> None:
    log = Log()
    assert run(tmp_path, **log.both) == found
    assert [trial.as_dict() for trial in log.trials] == list(found.trials)
    assert len({trial.digest for trial in log.trials}) == 3
    assert log.trials[found.number].config == found.config
    assert log.epochs == [(trial, epoch) for trial in range(3) for epoch in (1, 2)]
    other = run(tmp_path, config=CONFIG.model_copy(update={"seed": 8}), trials=1)
    assert other.trials[0]["params"] != found.trials[0]["params"]


def test_every_field_goes_to_the_config_by_its_name(real: None, tmp_path: Path) -> None:
    space: dict[str, Any] = {"layers": (2, 2), "units": (2,), "window": (5,), "dropout": (0.1, 0.1)}
    space |= {"cell": ("gru",), "optimizer": ("rmsprop",)}
    config = run(tmp_path, trials=1, **space).config
    expected = {"units": (2, 2), "window": 5, "dropout": 0.1, "cell": "gru", "optimizer": "rmsprop"}
    rate = {"learning_rate": config.learning_rate}
    assert config == TrainingConfig.model_validate(CONFIG.model_dump() | expected | rate)


def test_without_patience_the_last_epoch_counts(tmp_path: Path) -> None:
    for patience in (8, None):
        told: list[float] = []
        config = CONFIG.model_copy(update={"patience": patience, "epochs": 4})
        result = run(
            tmp_path,
            config=config,
            trials=1,
            on_epoch=lambda _, epoch, told=told: told.append(epoch.validation_loss),
        )
        assert min(told) == told[1] < told[-1]
        assert result.value == told[1 if patience else -1]


# --- what it sees ----------------------------------------------------------------------------


def test_bars_from_the_test_on_change_nothing(found: Found, tmp_path: Path) -> None:
    run(tmp_path)
    start = pd.Timestamp(FOLDS[0].test_start)
    log = Log()
    assert run(tmp_path, changed_from(start), **log.both) == found
    assert not log.epochs, "it is the same question"
    assert run(tmp_path / "new", changed_from(start)) == found
    earlier = changed_from(BARS.index[BARS.index < start][-1])
    assert run(tmp_path, earlier, trials=1).study != found.study


def test_no_later_bar_reaches_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    last: list[pd.Timestamp] = []
    make = search_question.make_task

    def make_and_note(bars: pd.DataFrame, *rest: Any) -> Any:
        last.append(bars.index[-1])
        return make(bars, *rest)

    monkeypatch.setattr(search_question, "make_task", make_and_note)
    run(tmp_path, trials=1)
    assert len(last) == 2
    assert max(last) < pd.Timestamp(FOLDS[0].test_start)


def test_the_mean_over_folds_inside_the_bars_before_the_test(tmp_path: Path) -> None:
    before = pd.DatetimeIndex(BARS.index[:300])
    inner = make_folds(before, 2, first_test=before[220])
    log, losses = Log(), {}
    end = dt.date.fromisoformat(str(FOLDS[0].test_start))
    both = run(tmp_path, folds=inner, test_start=end, trials=1, **log.both)
    assert log.epochs == [(0, 1), (0, 2), (0, 1), (0, 2)]
    assert both.trials[0]["epochs"] == 4
    rate = both.config.learning_rate
    for fold in inner:
        alone = run(tmp_path, folds=[fold], trials=1, learning_rate=(rate, rate))
        losses[fold.test_start] = alone.value
    assert len(set(losses.values())) == 2
    assert both.value == pytest.approx(np.mean(list(losses.values())), rel=1e-12)
    # Without a word on the test, the first fold's ends all that is seen.
    late = Fold(validation_start=inner[0].test_start, test_start=inner[1].test_start)
    with pytest.raises(ExperimentError, match="Search on folds that validate earlier"):
        run(tmp_path, folds=[inner[0], late])


# --- interruptions ---------------------------------------------------------------------------


@pytest.mark.parametrize("told", [0, 1, 2])
def test_an_interruption_while_telling(told: int, found: Found, tmp_path: Path) -> None:
    first, second = Log(lambda log: len(log.trials) == told), Log()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, on_trial=first.trial)
    assert run(tmp_path, **second.both) == found
    assert [trial.number for trial in first.trials] == [0, 1, 2][:told]
    assert [trial.number for trial in second.trials] == [0, 1, 2]
    assert {number for number, _ in second.epochs} == set(range(told + 1, 3))


def test_an_interruption_while_training(found: Found, tmp_path: Path) -> None:
    first, second, third = Log(lambda log: log.epochs[-1:] == [(1, 1)]), Log(), Log()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, **first.both)
    assert run(tmp_path, **second.both) == found
    assert [trial.number for trial in first.trials] == [0]
    assert [trial.number for trial in second.trials] == [0, 1, 2]
    assert [number for number, _ in second.epochs] == [1, 1, 2, 2]
    assert states(tmp_path) == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert run(tmp_path, **third.both) == found
    assert third.trials == second.trials
    assert not third.epochs


def test_interrupted_when_earlier_trials_guide_what_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first ten trials are drawn at random, whatever came of the ones before."""
    config = CONFIG.model_copy(update={"epochs": 1})
    guided: dict[str, Any] = {"trials": 12, "units": (2, 3, 4), "config": config}
    whole, stopped = run(tmp_path / "a", **guided), Log(lambda log: log.epochs[-1:] == [(10, 1)])
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "b", **guided, **stopped.both)
    assert run(tmp_path / "b", **guided) == whole

    def upside_down(task: Task, on_epoch: Callable[[Epoch], None]) -> None:
        stand_in(task, lambda epoch: on_epoch(Epoch(1, 1, 0.0, -epoch.validation_loss, 0.5)))

    monkeypatch.setattr(search_question, "fit_loop", upside_down)
    other = run(tmp_path / "c", **guided | {"trials": 11})
    same = [a["params"] == b["params"] for a, b in zip(whole.trials, other.trials, strict=False)]
    assert same == [True] * 10 + [False]


def test_killed_on_the_way(found: Found, tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from nextbar.training import search_question\n"
        "from tests.training.test_tune import run, stand_in\n"
        "search_question.fit_loop = stand_in\n"
        "def stop(number, epoch):\n"
        "    if (number, epoch.number) == (1, 2):\n"
        "        os._exit(9)\n"
        "run(Path(sys.argv[1]), on_epoch=stop)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], cwd=ROOT, timeout=120)
    assert done.returncode == 9
    log = Log()
    assert run(tmp_path, **log.both) == found
    assert [number for number, _ in log.epochs] == [1, 1, 2, 2]


def test_more_and_fewer_trials(found: Found, tmp_path: Path) -> None:
    log = Log()
    assert len(run(tmp_path, trials=2, on_trial=log.trial).trials) == 2
    assert run(tmp_path, on_trial=log.trial) == found
    assert [trial.number for trial in log.trials] == [0, 1, 0, 1, 2]
    assert run(tmp_path, trials=1, **log.both).trials == found.trials[:1]
    assert not log.epochs


def test_late_begins_no_trial(found: Found, tmp_path: Path) -> None:
    assert run(tmp_path, seconds=1e-9).trials == found.trials[:1]
    assert run(tmp_path, seconds=1e-9).trials == found.trials[:1]
    assert run(tmp_path, seconds=0) == found


def test_another_question_is_another_study(found: Found, tmp_path: Path) -> None:
    run(tmp_path)
    for changes in (
        {"config": CONFIG.model_copy(update={"epochs": 1})},
        {"learning_rate": (1e-4, 0.2)},
        {"startup": 6},
        {"folds": make_folds(pd.DatetimeIndex(BARS.index), 1, first_test=BARS.index[301])},
    ):
        log = Log()
        assert run(tmp_path, trials=1, on_epoch=log.epoch, **changes).study != found.study
        assert log.epochs


# --- pruning and failures --------------------------------------------------------------------


def test_a_trial_worse_than_the_median_is_given_up(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"epochs": WARM_UP + 4, "patience": None})
    log = Log()
    wide = {"trials": 5, "learning_rate": (1e-5, 10.0), "config": config}
    result = run(tmp_path / "a", startup=2, **wide, **log.both)
    states = [trial["state"] for trial in result.trials]
    assert states[:2] == ["complete", "complete"]
    assert "pruned" in states
    told = Counter(number for number, _ in log.epochs)
    for trial in result.trials:
        assert trial["epochs"] == told[trial["number"]]
        if trial["state"] == "pruned":
            assert WARM_UP <= trial["epochs"] < config.epochs
            assert trial["value"] > result.value
    assert result.trials[result.number]["state"] == "complete"
    assert len(log.trials) == 5
    never = run(tmp_path / "b", startup=5, **wide)
    assert {trial["state"] for trial in never.trials} == {"complete"}


def test_a_trial_that_diverges_is_not_the_end(real: None, tmp_path: Path) -> None:
    log = Log()
    wild = {"trials": 4, "learning_rate": (1e-3, 1e38)}
    result = run(tmp_path, on_trial=log.trial, **wild)
    states = [trial["state"] for trial in result.trials]
    assert {"failed", "complete"} <= set(states)
    failed = result.trials[states.index("failed")]
    assert failed["value"] is None
    assert failed["error"].startswith("training diverged")
    assert len(log.trials) == 4
    again = Log()
    assert run(tmp_path, **wild, **again.both) == result
    assert not again.epochs
    assert again.trials == log.trials
    assert not again.epochs, "a failure of its own is not tried again"


def test_all_diverge(real: None, tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match=r"all 2 trials .* failed. The first: training div"):
        run(tmp_path, trials=2, learning_rate=(1e37, 1e38))


# --- storage ---------------------------------------------------------------------------------


def test_a_storage_of_ones_own(found: Found, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/mine.db"
    assert run(tmp_path / "folder", storage=url) == found
    assert (tmp_path / "mine.db").exists()
    assert not (tmp_path / "folder").exists()


def test_a_folder_of_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "why? {not} #1 %41"
    run(folder, trials=1)
    assert [file.name for file in folder.iterdir()] == ["search.db"]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://me:secret@host/db", "postgresql://host/db: its driver psycopg"),
        ("postgresql://host/db?user=me&password=secret", "postgresql://host/db: its driver"),
        ("postgresql://me:sec@ret@host/db", r"postgresql://\.\.\.: its driver"),
        ("postgresql://me:secret", r"postgresql://\.\.\.: it is no database URL"),
        ("http://me:secret@host/db", "http://host/db: there is no such kind of database"),
        ("sqlite:///{tmp}/none/secret.db", "none/secret.db: unable to open database file"),
        ("sqlite:///{tmp}/text.db", "text.db: file is not a database"),
        ("me:secret@host", "a URL without a kind of database: it is no database URL"),
        ("sqlite:///{which}.db", "braces in a URL are written %7B"),
        ("", "a URL without a kind of database: it is no"),
    ],
)
def test_storages_that_cannot_be_used(
    url: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    (tmp_path / "text.db").write_text("these are no trials " * 100, encoding="utf-8")
    with pytest.raises(ExperimentError, match=told) as caught:
        run(tmp_path, storage=url.replace("{tmp}", str(tmp_path)))
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith("or leave it out to keep the search in a file of its folder.")
    if "@" in url or "?" in url:
        assert not {"secret", "sec", "ret"} & set(message.replace("@", "/").split("/"))
        assert "secret" not in message
        assert "me:" not in message
    assert caught.value.__suppress_context__


def test_what_a_driver_says_is_shown_without_the_password() -> None:
    error = ValueError("no login with 'pa#ss' at host\nsecond line")
    url = "postgresql://me:pa%23ss@host:5433/db?sslpassword=hidden"
    found = search_storage._unusable(error, url, Path())
    assert "postgresql://host:5433/db: no login with '***' at host." in str(found)
    error = ValueError('could not translate "ss@host"')
    found = search_storage._unusable(error, "postgresql://me:pa@ss@host/db", Path())
    assert "ss@" not in str(found)
    assert "ss" not in str(found).replace("password", "")


def test_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "search.db").write_text("these are no trials " * 100, encoding="utf-8")
    with pytest.raises(ExperimentError, match=r"search\.db: file is not a database. .*move this"):
        run(tmp_path)
    with pytest.raises(ExperimentError, match="cannot be kept at"):
        run(tmp_path / "search.db")


def test_a_storage_lost_on_the_way(tmp_path: Path) -> None:
    def lose(trial: Trial) -> None:
        (tmp_path / "search.db").write_bytes(b"no trials" * 1000)

    with pytest.raises(ExperimentError, match=r"cannot be kept at .*search\.db: "):
        run(tmp_path, on_trial=lose)


def test_optuna_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.enable_propagation()
    try:
        optuna.create_study()
        assert caplog.messages, "or nothing could be heard"
        caplog.clear()
        run(tmp_path, trials=1)
    finally:
        optuna.logging.disable_propagation()
    assert not caplog.messages
    assert optuna.logging.get_verbosity() == verbosity


def test_the_space_does_not_import_optuna() -> None:
    code = "import sys, nextbar.training.search_space;" + (
        "print({'optuna', 'sqlalchemy', 'tensorflow'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=os.sep
    )
    assert done.stdout.strip() == "set()"


# --- the space -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"learning_rate": (0.0, 0.1)}, "learning_rate: expected more than 0"),
        ({"learning_rate": (0.1, 0.01)}, "expected lowest and highest, or nothing"),
        ({"learning_rate": (0.1,)}, "expected lowest and highest, or nothing"),
        ({"learning_rate": ()}, "nothing to search"),
        ({"dropout": (0.0, 1.0)}, "dropout: expected fractions"),
        ({"dropout": (-0.1, 0.5)}, "dropout: expected fractions"),
        ({"layers": (0, 2)}, "layers: expected 1 or more"),
        ({"units": (8, 0)}, "units: expected 1 or more"),
        ({"units": (8, 8)}, "expected each value once"),
        ({"window": (1,)}, "window: expected 2 or more"),
        ({"cell": ("rnn",)}, "'lstm', 'gru' or 'peephole'"),
        ({"optimizer": ("adma",)}, "'adam', 'rmsprop' or 'sgd'"),
        ({"trials": 0}, "greater than or equal to 1"),
        ({"seconds": -1}, "greater than or equal to 0"),
        ({"startup": 0}, "greater than or equal to 1"),
        ({"batch_size": (1,)}, "Extra inputs"),
    ],
)
def test_spaces_that_are_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told) as caught:
        Search(**RATE | changes)
    assert len(caught.value.errors()) == 1


def test_the_defaults_go_with_the_default_config() -> None:
    Search().check(TrainingConfig())
    assert list(Search().space) == [*RANGES, *CHOICES]
    assert "secret" not in repr(Search(storage="postgresql://me:secret@host/db"))


@pytest.mark.parametrize(
    ("config", "changes", "told"),
    [
        ({"architecture": "vanilla"}, {"layers": (1, 2)}, "has one layer"),
        ({"architecture": "vanilla"}, {"layers": (2, 2), "units": (8,)}, "layers = 2, units = 8"),
        (
            {"head": "forecast", "rollout": True, "features": ("close",), "fields": ("close",)},
            {"cell": ("lstm", "gru")},
            "cell = 'gru'.*rollout unrolls",
        ),
    ],
)
def test_spaces_that_contradict_the_config(
    config: dict[str, Any], changes: dict[str, Any], told: str, tmp_path: Path
) -> None:
    base = TrainingConfig.model_validate(CONFIG.model_dump() | config)
    with pytest.raises(ExperimentError, match=told + r".*Narrow its space\.$") as caught:
        run(tmp_path, config=base, **changes)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_what_no_trial_could_do_is_refused_before_any(tmp_path: Path) -> None:
    log = Log()
    with pytest.raises(BarsError, match="training rows"):
        run(tmp_path, window=(6, 250), **log.both)
    assert not log.epochs
    with pytest.raises(BarsError, match="no bars before the first test"):
        run(tmp_path, BARS.iloc[310:])
    with pytest.raises(ExperimentError, match="at least one fold"):
        run(tmp_path, folds=[])
    flawed = CONFIG.model_copy(update={"flaws": ("validation-is-test",)})
    with pytest.raises(ExperimentError, match="search without flaws"):
        run(tmp_path, config=flawed)


@given(
    base=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    layers=st.none() | st.integers(1, 4),
    units=st.none() | st.integers(10, 20),
    rate=st.none() | st.floats(1e-5, 1.0),
)
@settings(max_examples=40, deadline=None)
def test_layers_times_units(
    base: list[int], layers: int | None, units: int | None, rate: float | None
) -> None:
    config = CONFIG.model_copy(update={"units": tuple(base)})
    drawn = {"layers": layers, "units": units, "learning_rate": rate}
    chosen = {name: value for name, value in drawn.items() if value is not None}
    found = Search().apply(config, chosen)
    assert len(found.units) == (layers or len(base))
    for number, width in enumerate(found.units):
        assert width == (units or base[min(number, len(base) - 1)])
    assert found.learning_rate == (rate or config.learning_rate)
    kept = {"units", "learning_rate"}
    assert found.model_dump(exclude=kept) == config.model_dump(exclude=kept)
