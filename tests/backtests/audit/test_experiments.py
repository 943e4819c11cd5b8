"""The audit of a whole run and of an experiment file: what it sees, says, and leaves alone."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
import pytest
import typer
from nextbar.backtests import compare, contenders
from nextbar.backtests.audit import (
    AuditReport,
    Retrained,
    audit_run,
    experiments,
    read_subject,
    run_folder,
    subject_of,
)
from nextbar.backtests.audit.cases import tried_folds
from nextbar.backtests.audit.findings import make_report
from nextbar.backtests.audit.subjects import is_experiment
from nextbar.backtests.audit.targets import find_target
from nextbar.backtests.audit_command import audit
from nextbar.backtests.cli import Commands
from nextbar.signals.errors import NextbarError
from nextbar.signals.sources import load_bars
from nextbar.signals.store import canonical_json, digest
from nextbar.training.labels import direction_labels
from nextbar.training.splits import make_folds
from typer.testing import CliRunner

from .experiments import bars, experiment

app = typer.Typer(cls=Commands, add_completion=False, pretty_exceptions_enable=False)
app.command()(audit)
app.command()(lambda: None)

PLAN = """
schema = 2
csv = ["AA.csv"]
folds = 2
seeds = 1
ema_grid = [[2, 5]]
momentum_grid = [5]
[training]
epochs = 1
units = [2]
window = 5
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run on a file, which lies beside it as AA.csv."""
    home = tmp_path_factory.mktemp("audited")
    bars().to_csv(home / "AA.csv")
    loaded = load_bars(home / "AA.csv", "csv")
    loaded.attrs["symbol"] = "AA"
    done = compare(experiment(source="csv"), {"AA": loaded}, runs=home, workers=1)
    return done.folder.rename(home / "run")


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the run, to be spoilt; the audit's own files go to `temporary`."""
    shutil.copytree(finished.parent, tmp_path / "home")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.chdir(tmp_path / "home")
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path / "home" / "run"


def report_on(run: Path) -> AuditReport:
    return audit_run(read_subject(str(run), csv=[run.parent / "AA.csv"]), signals=False)


def names(report: AuditReport) -> dict[str, str]:
    return {finding.name: finding.check for finding in report.findings}


def results_of(report: AuditReport) -> dict[str, str]:
    return {check.name: check.result for check in report.checks}


def invoke(*args: str) -> Any:
    return CliRunner().invoke(app, ["audit", *args])


class Made(NamedTuple):
    """What a pipeline has made."""

    first: dict[int, Retrained]
    rules: dict[int, dict[str, dict[str, int]]]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the signals be looked up and not run; return their names."""
    seen: list[str] = []

    def found(target: str, frame: pd.DataFrame, **_: Any) -> AuditReport:
        seen.append(find_target(target).name)
        assert len(frame) == 120
        return make_report(target, "chain", {}, {"repeat": (1, [])})

    monkeypatch.setattr(experiments, "audit_target", found)
    return seen


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(canonical_json(content))


def contents(folder: Path) -> dict[str, str]:
    return {str(p): digest(p.read_bytes()) for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_run_is_audited_whole_and_left_alone(run: Path, tmp_path: Path) -> None:
    before = contents(run.parent)
    done = invoke("run", "--csv", "AA.csv", "--bars", "120", "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    checks = {check["name"]: check for check in report["checks"]}
    signals = {"lstm", "ema", "majority", "mean", "momentum", "reversal"}
    training = {"repeat", "truncation", "perturbation", "scaler", "validation", "windows"}
    folder = {"interval", "tuning", "skew", "reproduction", "placebo"}
    assert set(checks) == signals | training | folder | {"labels"}
    assert all(check["runs"] for check in checks.values())
    assert not {c["result"] for name, c in checks.items() if name not in signals} - {"clean"}
    # Three kinds of models in two folds, and what the two tried trainings were given.
    assert checks["interval"]["runs"] == 6 + 1
    assert checks["scaler"]["runs"] == 4
    assert any("Placebo (trained on shuffled labels): accuracy" in n for n in report["notes"])
    assert contents(run.parent) == before
    assert not list((tmp_path / "temporary").iterdir())


def test_a_model_that_has_seen_its_test_is_found(run: Path, quick: list[str]) -> None:
    chain = run / "models" / "AA" / "lstm" / "chain.json"
    late = "fold1-seed0.onnx"
    edit(chain, lambda content: content["periods"][0].update(models=[late]))
    done = invoke("run", "--csv", "AA.csv", "--bars", "120")
    assert done.exit_code == 1
    text = " ".join(done.stdout.split())
    assert "Leak: in-sample-model." in text
    assert f"lstm: {late}, unseen from, start of its period" in text
    assert "lstm: not judged" in text
    assert quick == ["ema", "majority", "mean", "momentum", "reversal"]


@pytest.mark.parametrize(("difference", "flipped"), [(2e-5, 0), (1e-7, 1), (float("inf"), 0)])
def test_a_record_that_keras_and_the_file_differ(
    run: Path, difference: float, flipped: int
) -> None:
    record = run / "models" / "AA" / "logistic" / "fold0-seed0.json"
    seen = json.loads(record.read_text())
    seen["test_windows"].update(max_difference=difference, flipped_calls=flipped)
    records = {"fold 0": seen}
    (finding,) = run_folder.check_agreement(records)[1]
    assert (finding.name, finding.grade) == ("train-serve-skew", "leak")
    seen["test_windows"].update(max_difference=1e-5, flipped_calls=0)
    assert not run_folder.check_agreement(records)[1]


def test_a_skewed_record_and_rules_and_models_not_made_again(run: Path) -> None:
    record = run / "models" / "AA" / "shuffled" / "fold1-seed0.json"
    edit(record, lambda content: content["test_windows"].update(max_difference=1.0))
    results = run / "results.json"
    edit(results, lambda c: c["symbols"]["AA"]["rules"]["momentum"][1].update(period=99))
    report = report_on(run)
    assert names(report) == {"train-serve-skew": "skew", "not-repeatable": "reproduction"}
    assert [finding.name for finding in report.leaks] == ["train-serve-skew"]
    assert report.findings[1].where == "momentum of fold 1"
    subject = read_subject(str(run), csv=[run.parent / "AA.csv"])
    made = Made({1: Retrained("0" * 64, "")}, {1: {}})
    _, (finding,) = run_folder.check_reproduction(subject, "AA", cast("Any", made))
    assert (finding.where, finding.values[1]) == ("model of fold 1", "0" * 64)  # noqa: PD011


def test_other_bars_are_named_and_nothing_is_compared(run: Path) -> None:
    frame = pd.read_csv(run.parent / "AA.csv", index_col="date", parse_dates=True)
    (frame * 2).to_csv(run.parent / "AA.csv")
    report = report_on(run)
    old = json.loads((run / "results.json").read_text())["symbols"]["AA"]["bars"]["sha256"]
    assert any(f"the run's had {old[:12]}" in note for note in report.notes)
    assert "reproduction" not in results_of(report)
    assert not report.leaks


def test_later_bars_of_the_source_are_left_out(run: Path) -> None:
    frame = pd.read_csv(run.parent / "AA.csv", index_col="date", parse_dates=True)
    later = frame.iloc[-3:].set_axis(frame.index[-3:] + pd.Timedelta(days=30))
    pd.concat([frame, later]).to_csv(run.parent / "AA.csv")
    subject = read_subject(str(run), csv=[run.parent / "AA.csv"])
    assert subject.same_bars("AA")
    assert subject.notes == []


def test_a_placebo_is_judged_by_its_chance_in_each_fold(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = read_subject(str(run), csv=[run.parent / "AA.csv"])
    up = direction_labels(subject.bars["AA"], 1, "open")["up"].to_numpy()
    rng = np.random.default_rng(0)

    def judged(scores: np.ndarray) -> tuple[Any, str]:
        monkeypatch.setattr(contenders, "chain_scores", lambda *_: scores)
        return run_folder.check_placebo(subject, "AA", run / "models" / "AA" / "shuffled")

    for calls in (np.ones(len(up)), rng.random(len(up))):
        assert not judged(calls)[0][1]
    told = np.where(rng.random(len(up)) < 0.3, np.nan_to_num(up), rng.random(len(up)))
    (_, (finding,)), line = judged(told)
    reached, _ = finding.values  # noqa: PD011
    assert (finding.name, finding.grade) == ("labels-in-features", "fragile")
    assert f"accuracy {reached:.3f}" in line
    nothing = judged(np.full(len(up), np.nan))
    assert nothing == ((0, []), "Placebo: no test bar with a label.")


def test_an_experiment_file(run: Path, tmp_path: Path, quick: list[str]) -> None:
    (run.parent / "plan.toml").write_text(PLAN)
    before = contents(run.parent)
    done = invoke("plan.toml", "--bars", "120", "--json")
    report = json.loads(done.stdout)
    assert done.exit_code == 0, done.output
    checks = {check["name"]: check["runs"] for check in report["checks"]}
    assert report["kind"] == "experiment"
    assert {"lstm", "ema", "tuning", "interval", "skew", "scaler"} <= {
        k for k in checks if checks[k]
    }
    assert not {"placebo", "reproduction"} & set(checks)
    assert quick[1:] == ["ema", "majority", "mean", "momentum", "reversal"]
    assert len(quick) == 6
    assert contents(run.parent) == before
    assert not list((tmp_path / "temporary").iterdir())


def test_the_middle_and_the_last_fold_are_tried() -> None:
    folds = make_folds(pd.DatetimeIndex(bars().index), 8)
    subject = subject_of(experiment(folds=folds), {"AA": bars()})
    assert tried_folds(subject, "AA") == [4, 7]
    assert tried_folds(subject, "AA", every_fold=True) == list(range(8))
    short = subject_of(experiment(folds=folds), {"AA": bars().iloc[:300]})
    assert max(tried_folds(short, "AA", every_fold=True)) < 7
    with pytest.raises(NextbarError, match="no bar in the test of any fold"):
        tried_folds(subject_of(experiment(folds=folds), {"AA": bars().iloc[:100]}), "AA")


def test_what_is_an_experiment(run: Path) -> None:
    assert is_experiment("mine.toml")
    assert is_experiment(str(run))
    assert not is_experiment(str(run / "models" / "AA" / "lstm"))
    assert not is_experiment("mine.py:Mine")


def unfinished(run: Path) -> None:
    (run / "results.json").unlink()


def of_another_schema(run: Path) -> None:
    edit(run / "results.json", lambda content: content.update(schema=1))


def edited(run: Path) -> None:
    edit(run / "experiment.json", lambda content: content.update(cost_bps=0.0))


def torn(run: Path) -> None:
    (run / "results.json").write_text("{")


def without_a_record(run: Path) -> None:
    (run / "models" / "AA" / "lstm" / "fold0-seed0.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "args", "message"),
    [
        (unfinished, "run --csv AA.csv", "the run is not finished: no results.json"),
        (of_another_schema, "run --csv AA.csv", "expected schema 2, found 1"),
        (edited, "run --csv AA.csv", "is not the experiment that results.json is of"),
        (torn, "run --csv AA.csv", "results.json: cannot be read"),
        (without_a_record, "run --csv AA.csv", "not the record of a model"),
        (None, "run", "which it does not keep: name it with --csv AA.csv"),
        (None, "run --csv BB.csv", "the run's bars cannot be loaded again: BB.csv: there is no"),
        (None, "run AB --csv AA.csv", "AB: not in the experiment. Known: AA."),
        (None, "run --csv AA.csv --start 2001-01-01", "--start: an experiment holds its own"),
        (None, "run --csv AA.csv --every-bar --param a=1", "--every-bar, --param: an experiment"),
        (None, "none.toml", "none.toml: cannot be read"),
    ],
)
def test_errors_are_one_line(
    run: Path, spoil: Callable[[Path], None] | None, args: str, message: str
) -> None:
    if spoil:
        spoil(run)
    done = invoke(*args.split())
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
