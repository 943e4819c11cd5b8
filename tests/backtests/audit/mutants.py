"""Leaks of every kind, each with its clean twin, and the table of what the audit says of them.

``python -m tests.backtests.audit.mutants`` writes the table into docs/audit.md.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
from nextbar.backtests.audit import (
    AuditReport,
    audit_scorers,
    audit_target,
    audit_training,
)
from nextbar.signals import LSTMDirection
from nextbar.signals.model import open_session, run_windows
from nextbar.signals.windows import windows_of
from nextbar.training.config import FLAWS

from ...markets import random_bars
from ...models import lstm_graph, write_model
from . import experiments, fits, trainings, twins

DOCS = Path(__file__).parents[3] / "docs" / "audit.md"
BEGIN, END = "<!-- detection table -->", "<!-- end of the table -->"
N = 140


@dataclass(frozen=True)
class Mutant:
    """A leak, the name it must be found by, and how to audit it and its clean twin."""

    row: str
    """Of the leak catalogue in docs/audit.md."""
    title: str
    expected: str
    grade: str
    leaky: Callable[[Path], AuditReport]
    clean: Callable[[Path], AuditReport]


def target(thing: Any, **params: Any) -> Callable[[Path], AuditReport]:
    return lambda _: audited(thing, tuple(params.items()))


@cache
def audited(thing: Any, params: tuple[tuple[str, Any], ...]) -> AuditReport:
    """Return the report on a target; many mutants share a clean twin."""
    return audit_target(thing, random_bars(N, seed=11), params=dict(params))


def model(**params: Any) -> Callable[[Path], AuditReport]:
    def audit(folder: Path) -> AuditReport:
        end = str(random_bars(N).index[90].date())
        path = write_model(folder / "model.onnx", 12, train_end=end)
        return audit_target(partial(LSTMDirection, model=path), random_bars(N), params=params)

    return audit


def calls(ahead: int) -> Callable[[Path], AuditReport]:
    """Audit calls read from a file: made from bars that are `ahead` of their dates."""

    def audit(folder: Path) -> AuditReport:
        bars, path = random_bars(N, seed=11), folder / f"calls{ahead}.csv"
        np.sign(bars["open"].diff().shift(-ahead)).rename("direction").to_csv(path)

        def direction(frame: pd.DataFrame) -> pd.DataFrame:
            made = pd.read_csv(path, index_col="date", parse_dates=True)
            return made.reindex(frame.index).fillna(0.0)

        return audit_target(direction, bars)

    return audit


def scorers(change: Callable[[bytes], Callable[..., Any]]) -> Callable[[Path], AuditReport]:
    def audit(_: Path) -> AuditReport:
        bars = random_bars(N)[["open", "high", "low", "close", "volume"]].to_numpy(np.float32)
        graph = lstm_graph(12)
        trained = partial(run_windows, open_session(graph))
        return audit_scorers(trained, change(graph), windows_of(bars, 12)[:60])

    return audit


def as_exported(graph: bytes) -> Callable[..., Any]:
    return partial(run_windows, open_session(graph))


def without_its_gain(graph: bytes) -> Callable[..., Any]:
    """Return the scorer of the same network whose export lost the scaling of its features."""
    proto = onnx.load_from_string(graph)
    for tensor in proto.graph.initializer:
        if tensor.name == "gain":
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.array([1.0], np.float32), "gain"))
    return partial(run_windows, open_session(proto.SerializeToString()))


def batch_scaled(graph: bytes) -> Callable[..., Any]:
    """Return a scorer that centres the scores of a batch, as a batch norm in training mode does."""

    def score(windows: np.ndarray) -> np.ndarray:
        scores = run_windows(open_session(graph), windows)
        return scores - scores.mean() + 0.5 if len(scores) > 1 else scores

    return score


def trace(make: Callable[[], Any]) -> Callable[[Path], AuditReport]:
    return lambda _: audit_training(make())


def plain(audit: Callable[[], AuditReport]) -> Callable[[Path], AuditReport]:
    return lambda _: audit()


M, T = Mutant, target
X, F = experiments, fits
fitted = trainings.traced
MUTANTS = [
    M("1", "feature scaled by mean and deviation of all bars", "whole-sample-scaler", "leak",
      T(twins.scaled_by_all), T(twins.scaled_so_far)),
    M("1", "scaler fitted on all bars", "scaler-on-all-data", "leak",
      trace(partial(fitted, scaler_on="all")), trace(fitted)),
    M("1", "network retrained with a scaler of all bars", "training-sees-future", "leak",
      plain(partial(trainings.retrained, scaler_on="all")), plain(trainings.retrained)),
    M("1", "experiment: scaler of all bars", "scaler-on-all-data", "leak",
      X.spoilt(X.scaler_on_all_bars), X.clean),
    M("1", "tutorial: range of all prices", "scaler-on-all-data", "leak",
      F.trained(F.TUTORIAL, "scaler-on-all-data"), F.trained(F.TUTORIAL)),
    M("1", "tutorial: the card of a model scaled on all bars", "scaler-on-all-data", "leak",
      F.of_card(*FLAWS), F.of_card()),
    M("2", "test part as validation part", "validation-is-test", "leak",
      trace(partial(fitted, validation="test")), trace(fitted)),
    M("2", "experiment: the test validates", "validation-is-test", "leak",
      X.spoilt(X.validation_is_test), X.clean),
    M("2", "tutorial: the test steers the training", "validation-is-test", "leak",
      F.trained(F.TUTORIAL, "validation-is-test"), F.trained(F.TUTORIAL)),
    M("2", "tutorial: the card of a model validated on its test", "validation-is-test", "leak",
      F.of_card(*FLAWS), F.of_card()),
    M("3", "overlapping windows shuffled before the split", "shuffled-windows", "leak",
      trace(partial(fitted, shuffled=True)), trace(fitted)),
    M("4", "labels of 5 bars, boundary not purged", "unpurged-horizon", "leak",
      trace(partial(fitted, purge=0)), trace(fitted)),
    M("4", "experiment: split without a purge", "unpurged-horizon", "leak",
      X.spoilt(X.not_purged), X.clean),
    M("4", "tutorial: labels of the next bar, not purged", "unpurged-horizon", "leak",
      F.trained(F.TUTORIAL, "unpurged-horizon"), F.trained(F.TUTORIAL)),
    M("4", "tutorial: the card of a model not purged", "unpurged-horizon", "leak",
      F.of_card(*FLAWS), F.of_card()),
    M("5", "centred rolling mean", "centred-window", "leak",
      T(twins.centred), T(twins.trailing)),
    M("5", "warm-up filled backwards", "backfill", "leak",
      T(twins.back_filled), T(twins.not_filled)),
    M("5", "shift(-1)", "future-bar", "leak", T(twins.shifted_back), T(twins.shifted_on)),
    M("5", "the next close in once()", "future-bar", "leak", T(twins.PeeksInOnce), T(twins.Change)),
    M("5", "backtrader's close(+1)", "future-bar", "leak",
      T(twins.ReadsForwardLine), T(twins.ReadsBackwardLine)),
    M("5", "close[1] in a strategy's next()", "future-bar", "leak",
      T(twins.PeeksInNext), T(twins.PeeksInNext, ahead=0, guarded=False)),
    M("5", "close[-1] on the first bar", "wrapped-index", "leak",
      T(twins.PeeksInNext, ahead=0, guarded=False, first=1),
      T(twins.PeeksInNext, ahead=0, guarded=False)),
    M("5", "shuffled labels still predicted", "labels-in-features", "leak",
      plain(partial(trainings.permuted, leaky=True)), plain(trainings.permuted)),
    M("6", "scaled by a later window", "future-bar", "leak",
      T(twins.scaled_by_later_window), T(twins.trailing)),
    M("7", "cheat-on-close", "same-bar-fill", "leak",
      T(twins.BuysAtTheClose), T(twins.BuysAtTheClose, cheat=False)),
    M("7", "cheat-on-open", "same-bar-fill", "leak",
      T(twins.trades_on_open), T(twins.trades_after_close)),
    M("7", "calls from a file, made with the bar they earn on", "delay-collapse", "fragile",
      calls(2), calls(0)),
    M("9", "feature in dollars", "price-level", "fragile",
      T(twins.price_in_dollars), T(twins.trailing)),
    M("9", "calls by the price level", "price-level", "fragile",
      T(twins.InDollars), T(twins.Change)),
    M("9", "training on prices as they are", "price-level", "fragile",
      F.trained(F.TUTORIAL), F.trained(F.RATIOS)),
    M("9", "model of prices as they are", "price-level", "fragile",
      F.of_card(*FLAWS), F.of_card()),
    M("11", "look-back chosen on the test", "test-chosen-parameter", "leak",
      plain(partial(trainings.retrained, choose_on="test")), plain(trainings.retrained)),
    M("11", "experiment: rules tuned on all bars", "test-chosen-parameter", "leak",
      X.spoilt(X.tuned_on_everything), X.clean),
    M("12", "threshold from all bars", "whole-sample-threshold", "leak",
      T(twins.WholeThreshold), T(twins.Change)),
    M("12", "volatility target from all bars", "whole-sample-size", "leak",
      T(twins.SizesByTheFuture), T(twins.SizesByTheFuture, whole=False)),
    M("13", "model used on bars of its training", "in-sample-model", "leak",
      model(in_sample="allow"), model()),
    M("13", "test inside the training", "in-sample-model", "leak",
      trace(partial(fitted, test_from=300)), trace(fitted)),
    M("13", "experiment: training reaches into its test", "in-sample-model", "leak",
      X.spoilt(X.trained_on_later_bars), X.clean),
    M("13", "experiment: trainings that need later bars", "training-sees-future", "leak",
      X.spoilt(X.trained_on_later_bars), X.clean),
    M("15", "a week stamped on its first day", "higher-timeframe", "leak",
      T(twins.week_at_its_start), T(twins.week_at_its_end)),
    M("16", "window of next() off by one", "window-skew", "leak",
      T(twins.OffByOneInNext), T(twins.Change)),
    M("16", "window without the newest bar", "stale-window", "fragile",
      T(twins.Stale), T(twins.Change)),
    M("17", "export without a scaling", "train-serve-skew", "leak",
      scorers(without_its_gain), scorers(as_exported)),
    M("17", "batch normalised as a whole in once()", "batch-mixing", "leak",
      T(twins.MixesItsBatch), T(twins.Change)),
    M("17", "served in batches that mix", "batch-mixing", "leak",
      scorers(batch_scaled), scorers(as_exported)),
    M("-", "tutorial: a label that is the input", "label-is-input", "fragile",
      F.of_card(*FLAWS), F.of_card()),
    M("-", "tutorial: a row against one output", "row-against-one-output", "fragile",
      F.of_card(*FLAWS), F.of_card()),
    M("-", "tutorial: relu as the last layer", "relu-head", "fragile",
      F.of_card(*FLAWS), F.of_card()),
    M("-", "no order on the last bar", "last-bar", "fragile",
      T(twins.PeeksInNext, ahead=0), T(twins.PeeksInNext, ahead=0, guarded=False)),
    M("-", "sum from the first bar on", "long-memory", "fragile",
      T(twins.SumsFromTheStart), T(twins.Change)),
    M("-", "random numbers without a seed", "not-repeatable", "fragile",
      T(twins.Random), T(twins.Change)),
]  # fmt: skip


def table_row(mutant: Mutant, leaky: AuditReport, clean: AuditReport) -> str:
    """Return what the audit says of a mutant and of its twin, as a line of the table."""
    mine = [finding for finding in leaky.findings if finding.name == mutant.expected]
    seen = ", ".join(dict.fromkeys(finding.check for finding in mine)) or "**missed**"
    grade = mine[0].grade if mine else "-"
    twin = ", ".join(dict.fromkeys(finding.name for finding in clean.findings)) or "clean"
    return f"| {mutant.row} | {mutant.title} | `{mutant.expected}` | {grade} | {seen} | {twin} |"


def table(rows: list[str]) -> str:
    """Return the whole table."""
    head = "| row | leak | found as | grade | seen by | clean twin |\n|---|---|---|---|---|---|"
    return "\n".join([head, *rows])


def documented(text: str) -> str:
    """Return the table of a document."""
    return text.partition(BEGIN)[2].partition(END)[0].strip()


def main() -> None:
    """Write the table into the document."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [table_row(m, m.leaky(folder), m.clean(folder)) for m in MUTANTS]
    text = DOCS.read_text(encoding="utf-8")
    head, rest = text.partition(BEGIN)[::2]
    tail = rest.partition(END)[2]
    DOCS.write_text(f"{head}{BEGIN}\n{table(rows)}\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
