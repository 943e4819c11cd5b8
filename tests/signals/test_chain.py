"""Chains: who scores which bar, what is refused, and the indicators on them."""

from __future__ import annotations

import datetime as dt
import json
import pickle
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nextbar.signals import LSTMDirection, RuleDirection, load_model
from nextbar.signals.chain import Chain, Period, Rule, load_chain, write_chain
from nextbar.signals.direction import day_numbers
from nextbar.signals.errors import BarsError, InSampleError, ModelError
from nextbar.signals.latest import check_fit, latest_call
from nextbar.signals.model import Model
from nextbar.signals.rules import rule_scores
from pydantic import ValidationError

from .. import lines
from ..markets import random_bars
from ..models import write_model

BARS = random_bars(120, seed=1)
VALUES = BARS.to_numpy()
ROWS = (30, 60, 90)
"""First row of each period."""
MODES = {"batched": {}, "streaming": {"runonce": False}}


def day(row: int) -> dt.datetime:
    return BARS.index[row].to_pydatetime()


def periods_of(*models: tuple[str, ...], end: int | None = None) -> list[Period]:
    ends = [*(day(row) for row in ROWS[1:]), None if end is None else day(end)]
    return [
        Period(start=day(start), end=last, models=names)
        for start, last, names in zip(ROWS, ends, models, strict=True)
    ]


def build(folder: Path, windows: tuple[int, ...] = (8, 5, 12), end: int | None = None) -> Chain:
    """Write a chain of three periods of two models each, of these windows."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, window in enumerate(windows):
        for seed in (0, 1):
            name = folder / f"p{i}-s{seed}.onnx"
            write_model(name, window, seed=10 * i + seed, train_end="2001-01-31")
    names = [(f"p{i}-s0.onnx", f"p{i}-s1.onnx") for i in range(3)]
    return write_chain(folder, periods_of(*names, end=end))


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return build(tmp_path_factory.mktemp("chain"))


def oracle(chain: Chain, row: int, values: np.ndarray = VALUES) -> float:
    """Score one bar the slow way: every model of its period on its own window."""
    when, scores = BARS.index[row], []
    if row < chain.window - 1:
        return float("nan")
    for period in chain.periods:
        if period.start <= when and (period.end is None or when < period.end):
            for name in period.models:
                model = load_model(chain.path / name)
                window = values[row - model.card.window + 1 : row + 1]
                scores.append(float(model.score(window)[0]))
    return float(np.mean(scores)) if scores else float("nan")


@pytest.mark.parametrize("end", [None, 110])
@pytest.mark.parametrize("holes", [(), (40, 95)])
def test_every_bar_is_scored_by_its_own_period(
    holes: tuple[int, ...], end: int | None, tmp_path: Path
) -> None:
    chain, values = build(tmp_path, end=end), VALUES.copy()
    values[list(holes)] = np.nan
    expected = [oracle(chain, row, values) for row in range(120)]
    for times in (BARS.index, day_numbers(BARS.index)):
        found = chain.score(values, times)
        np.testing.assert_allclose(found, expected, atol=1e-6)
        assert found.dtype == np.float64
    assert np.isnan(expected[:30]).all()
    assert np.isfinite(expected[30:110]).sum() == 80 - (8 + 12 if holes else 0)
    assert np.isnan(expected[110:]).all() == (end is not None)


def test_what_it_says_of_itself(chain: Chain, tmp_path: Path) -> None:
    assert (chain.window, chain.interval, chain.symbols) == (12, "1d", ("TEST",))
    assert not chain.uses_volume
    assert chain.unseen_from == day(30)
    assert chain.centre == 0.5
    assert build(tmp_path).sha256 == chain.sha256
    assert build(tmp_path, windows=(8, 5, 13)).sha256 != chain.sha256
    manifest = json.loads((tmp_path / "chain.json").read_text())
    assert list(manifest) == sorted(manifest)
    assert len(manifest["files"]) == 6


def test_the_mean_is_taken_in_float64(chain: Chain) -> None:
    one, two = (chain.only(k).score(VALUES, BARS.index) for k in (0, 1))
    both = chain.score(VALUES, BARS.index)
    assert np.array_equal(both, (one + two) / 2, equal_nan=True)
    assert not np.array_equal(one, two, equal_nan=True)


def test_one_seed(chain: Chain) -> None:
    one = chain.only(1)
    assert [period.models for period in one.periods] == [(f"p{i}-s1.onnx",) for i in range(3)]
    assert len({chain.sha256, one.sha256, chain.only(0).sha256}) == 3
    for k in (-1, 2):
        with pytest.raises(ModelError, match=f"one of 2 models .* found {k}"):
            chain.only(k)


def test_it_pickles_as_its_path(chain: Chain) -> None:
    chain.score(VALUES, BARS.index)
    for each in (chain, chain.only(1)):
        content = pickle.dumps(each)
        assert len(content) < 400
        again = pickle.loads(content)
        assert again == each
        assert np.array_equal(
            again.score(VALUES, BARS.index), each.score(VALUES, BARS.index), equal_nan=True
        )


@given(st.integers(0, 119), st.integers(0, 119), st.booleans())
@settings(max_examples=40, deadline=None)
def test_any_part_is_scored_as_in_the_whole(
    chain: Chain, start: int, stop: int, early: bool
) -> None:
    """Nothing counts but the window of a bar."""
    whole = chain.score(VALUES, BARS.index, early=early)
    part = chain.score(VALUES[start:stop], BARS.index[start:stop], early=early)
    silent = chain.window - 1
    np.testing.assert_allclose(part[silent:], whole[start:stop][silent:], atol=1e-6)
    assert np.isnan(part[:silent]).all()


def test_early_bars_are_scored_by_the_first_period(chain: Chain) -> None:
    found = chain.score(VALUES, BARS.index, early=True)
    models = [load_model(chain.path / f"p0-s{k}.onnx") for k in (0, 1)]
    expected = np.mean([model.score(VALUES[:30]) for model in models], axis=0)
    np.testing.assert_allclose(found[11:30], expected[4:], atol=1e-6)
    assert np.isnan(found[:11]).all()
    assert np.array_equal(found[30:], chain.score(VALUES, BARS.index)[30:])


def test_only_needed_models_are_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(tmp_path)
    chain = load_chain(tmp_path)
    ran: list[str] = []
    score = Model.score

    def noting(self: Model, bars: Any) -> Any:
        ran.append(self.path.name)
        return score(self, bars)

    loaded: list[str] = []
    monkeypatch.setattr(Model, "score", noting)
    monkeypatch.setattr(
        "nextbar.signals.chain.load_model",
        lambda path: loaded.append(path.name) or load_model(path),
    )
    chain.score(VALUES[:30], BARS.index[:30])
    assert not ran
    chain.score(VALUES[51:70], BARS.index[51:70])
    assert ran == loaded == ["p1-s0.onnx", "p1-s1.onnx"]
    chain.score(VALUES[51:80], BARS.index[51:80])
    assert len(loaded) == 2


def test_dates_and_numbers_meet_at_the_border(tmp_path: Path) -> None:
    """A bar stamped just before midnight is of its day; one at the border is of the next period."""
    chain = build(tmp_path)
    border = pd.Timestamp(day(60))
    times = pd.DatetimeIndex([border - pd.Timedelta(microseconds=11), border])
    assert chain.period_of(times).tolist() == [0, 1]
    assert chain.period_of(day_numbers(times)).tolist() == [0, 1]
    assert chain.period_of(np.array([np.nan])).tolist() == [-1]
    minutes = pd.date_range(border, periods=900, freq="min")
    start = minutes[7].to_pydatetime()
    rule = Rule(name="mean")
    short = write_chain(tmp_path / "rules", [Period(start=start, end=None, rule=rule)])
    assert short.period_of(minutes).tolist() == [-1] * 7 + [0] * 893


def lines_of(make: Any, frame: pd.DataFrame = BARS, **mode: Any) -> np.ndarray:
    return lines.lines_of(make, frame, **mode)


@pytest.mark.parametrize("mode", MODES)
def test_in_sample_bars(mode: str, chain: Chain) -> None:
    make = partial(LSTMDirection, model=chain.path)
    direction, score = lines_of(make, **MODES[mode])
    assert (direction[:30] == 0).all()
    assert np.isnan(score[:30]).all()
    assert (direction[30:] == np.sign(score[30:] - 0.5)).all()
    direction, score = lines_of(partial(make, in_sample="allow"), **MODES[mode])
    expected = chain.score(VALUES, BARS.index, early=True)
    np.testing.assert_allclose(score, expected, atol=1e-6)
    assert (direction[:11] == 0).all()
    assert (direction[11:] == np.sign(expected[11:] - 0.5)).all()
    with pytest.raises(InSampleError, match=f"2001-01-16.*first period, which begins at {day(30)}"):
        lines_of(partial(make, in_sample="raise"), **MODES[mode])


@pytest.mark.parametrize("mode", MODES)
def test_a_chain_of_one_model_is_the_model(mode: str, tmp_path: Path) -> None:
    path = write_model(tmp_path / "one.onnx", 8, train_end=str(BARS.index[29].date()))
    write_chain(tmp_path, [Period(start=day(30), end=None, models=("one.onnx",))])
    one, same = (
        lines_of(partial(LSTMDirection, model=model), **MODES[mode]) for model in (path, tmp_path)
    )
    assert np.array_equal(one[0], same[0])
    np.testing.assert_allclose(one[1][30:], same[1][30:], atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_bars_that_do_not_fit(mode: str, chain: Chain, tmp_path: Path) -> None:
    weekly = random_bars(60, freq="W-FRI")
    with pytest.raises(ModelError, match="bars of 1d, found 1wk"):
        lines_of(partial(LSTMDirection, model=chain.path), weekly, **MODES[mode])
    write_model(tmp_path / "v.onnx", 8, uses_volume=True)
    write_chain(tmp_path, [Period(start=day(30), end=None, models=("v.onnx",))])
    with pytest.raises(ModelError, match="uses volume, and the bars have none"):
        lines_of(partial(LSTMDirection, model=tmp_path), BARS.assign(volume=0.0), **MODES[mode])
    direction, _ = lines_of(partial(LSTMDirection, model=tmp_path), **MODES[mode])
    assert (direction[30:] != 0).all()
    other = BARS.copy()
    other.attrs["symbol"] = "MSFT"
    with pytest.warns(UserWarning, match="trained on TEST, the feed is MSFT"):
        lines_of(partial(LSTMDirection, model=chain.path), other, **MODES[mode])
    with pytest.raises(BarsError, match="shape"):
        chain.score(VALUES[:, :3], BARS.index)


RULES = [
    Rule(name="ema", parameters={"fast": 3, "slow": 10}),
    Rule(name="reversal"),
    Rule(name="mean"),
]


def rule_chain(folder: Path, rules: list[Rule], end: int | None = None) -> Chain:
    ends = [*(day(row) for row in ROWS[1:]), None if end is None else day(end)]
    return write_chain(
        folder,
        [
            Period(start=day(start), end=last, rule=rule)
            for start, last, rule in zip(ROWS, ends, rules, strict=True)
        ],
    )


@pytest.mark.parametrize("end", [None, 110])
@pytest.mark.parametrize("mode", MODES)
def test_rules_each_on_its_dates(mode: str, end: int | None, tmp_path: Path) -> None:
    chain = rule_chain(tmp_path / "new", RULES, end)
    close = BARS["close"].to_numpy()
    expected = np.full(120, np.nan)
    for rule, part in zip(RULES, ((30, 60), (60, 90), (90, end or 120)), strict=True):
        expected[slice(*part)] = rule_scores(rule, close)[slice(*part)]
    direction, score = lines_of(partial(RuleDirection, chain=tmp_path / "new"), **MODES[mode])
    assert np.array_equal(score, expected, equal_nan=True)
    assert np.array_equal(direction, np.nan_to_num(np.sign(expected)))
    assert np.array_equal(chain.score(VALUES, BARS.index), expected, equal_nan=True)
    assert (chain.window, chain.centre, chain.symbols) == (10, 0.0, ())
    assert pickle.loads(pickle.dumps(chain)) == chain


@pytest.mark.parametrize("mode", MODES)
def test_rules_warm_up_together(mode: str, tmp_path: Path) -> None:
    slow = Rule(name="momentum", parameters={"period": 50})
    chain = rule_chain(tmp_path, [RULES[1], RULES[1], slow])
    direction, score = lines_of(partial(RuleDirection, chain=tmp_path), **MODES[mode])
    assert np.isfinite(score).tolist() == [row >= 50 for row in range(120)]
    assert np.array_equal(chain.score(VALUES, BARS.index), score, equal_nan=True)
    assert (direction[:50] == 0).all()


def test_models_and_rules_have_their_indicators(chain: Chain, tmp_path: Path) -> None:
    rule_chain(tmp_path, RULES)
    with pytest.raises(ModelError, match="chain of rules: use RuleDirection"):
        lines_of(partial(LSTMDirection, model=tmp_path))
    with pytest.raises(ModelError, match="chain of models: use LSTMDirection"):
        lines_of(partial(RuleDirection, chain=chain.path))
    with pytest.raises(ModelError, match=r"found a chain.*load_chain take it"):
        load_model(chain.path)


def test_the_newest_call(chain: Chain, tmp_path: Path) -> None:
    scores = chain.score(VALUES, BARS.index, early=True)
    for rows, unseen in ((120, 97), (61, 38), (31, 8), (30, 0), (12, 0)):
        call = latest_call(chain, BARS.iloc[:rows])
        assert call.score == pytest.approx(scores[rows - 1], abs=1e-6)
        assert call.bars_since_train_end == unseen
        assert call.direction == (np.sign(call.score - 0.5) if unseen else 0)
    with pytest.raises(BarsError, match="11 bars, the model needs 12"):
        latest_call(chain, BARS.iloc[:11])
    ended = build(tmp_path, end=110)
    latest_call(ended, BARS.iloc[:110])
    with pytest.raises(ModelError, match=f"last period ends at {day(110)}, before the bar"):
        latest_call(ended, BARS.iloc[:111])
    with pytest.raises(ModelError, match="a model for bars of 1d"):
        check_fit(chain, VALUES[:60], pd.DatetimeIndex(random_bars(60, freq="W-FRI").index))


REFUSED: dict[str, tuple[Any, str]] = {
    "no period": ([], "at least one period, found none"),
    "gap": ([(30, 60), (61, None)], "with a gap between them"),
    "overlap": ([(30, 60), (59, None)], "overlapping"),
    "open end in the middle": ([(30, None), (60, None)], "overlapping"),
    "unsorted": ([(60, 90), (30, 60)], "not in order"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_periods_that_do_not_follow_each_other(name: str, tmp_path: Path) -> None:
    spans, message = REFUSED[name]
    write_model(tmp_path / "m.onnx", 8)
    periods = [
        Period(start=day(start), end=None if end is None else day(end), models=("m.onnx",))
        for start, end in spans
    ]
    with pytest.raises(ModelError, match=message):
        write_chain(tmp_path, periods)
    assert not (tmp_path / "chain.json").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"interval": "1wk"}, "models of one interval, found '1d' in a.onnx and '1wk' in b.onnx"),
        ({"horizon": 2}, "one horizon, found 1"),
        ({"target": "close"}, "one target, found 'open'"),
        ({"uses_volume": True}, "one uses_volume, found False"),
        ({"train_end": str(BARS.index[60].date())}, "b.onnx has seen bars before 2001-03-27"),
    ],
)
def test_models_that_do_not_fit(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_model(tmp_path / "a.onnx", 8)
    write_model(tmp_path / "b.onnx", 8, **changes)
    periods = [
        Period(start=day(30), end=day(60), models=("a.onnx",)),
        Period(start=day(60), end=None, models=("b.onnx",)),
    ]
    with pytest.raises(ModelError, match=message):
        write_chain(tmp_path, periods)


def test_a_model_trained_up_to_its_period_fits(tmp_path: Path) -> None:
    write_model(tmp_path / "a.onnx", 8, train_end=str(BARS.index[29].date()))
    write_chain(tmp_path, [Period(start=day(30), end=None, models=("a.onnx",))])
    with pytest.raises(ModelError, match="has seen bars"):
        write_chain(tmp_path, [Period(start=day(29), end=None, models=("a.onnx",))])


def test_all_periods_are_alike(tmp_path: Path) -> None:
    for name in "ab":
        write_model(tmp_path / f"{name}.onnx", 8)
    first = {"start": day(30), "end": day(60)}
    second = {"start": day(60), "end": None, "models": ("a.onnx",)}
    for part, found in (
        ({"models": ("a.onnx", "b.onnx")}, "1 and 2 models"),
        ({"rule": RULES[0]}, "models and rules"),
    ):
        with pytest.raises(ModelError, match=f"all periods alike, found {found}"):
            write_chain(tmp_path, [Period(**first, **part), Period(**second)])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"end": day(30)}, "before it starts"),
        ({"models": ()}, "either models or a rule"),
        ({"rule": RULES[0]}, "either models or a rule"),
        ({"models": ("a.onnx", "a.onnx")}, "names a model twice"),
        ({"start": day(30).replace(tzinfo=dt.UTC)}, "without a time zone"),
        ({"seed": 3}, "Extra inputs"),
    ],
)
def test_a_period_that_makes_no_sense(fields: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {"start": day(30), "end": None, "models": ("a.onnx",)}
    Period(**good)
    with pytest.raises(ValidationError, match=message):
        Period(**good | fields)


@pytest.mark.parametrize(
    "name", ["../m.onnx", "sub/../../m.onnx", "/etc/hostname", ".", "link.onnx"]
)
def test_files_outside_the_folder(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "chain"
    folder.mkdir()
    write_model(tmp_path / "m.onnx", 8)
    (folder / "link.onnx").symlink_to(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="expected files inside this folder"):
        write_chain(folder, [Period(start=day(30), end=None, models=(name,))])


def copy_of(chain: Chain, folder: Path) -> Path:
    return Path(shutil.copytree(chain.path, folder / "copy"))


def test_a_folder_may_be_moved(chain: Chain, tmp_path: Path) -> None:
    moved = load_chain(copy_of(chain, tmp_path))
    assert moved.sha256 == chain.sha256
    found = moved.score(VALUES, BARS.index)
    assert np.array_equal(found, chain.score(VALUES, BARS.index), equal_nan=True)


def test_missing_and_changed_files(chain: Chain, tmp_path: Path) -> None:
    folder = copy_of(chain, tmp_path)
    good = load_chain(folder)
    write_model(folder / "p1-s0.onnx", 5, seed=99)
    with pytest.raises(ModelError, match=r"p1-s0.onnx: expected the file with the digest"):
        load_chain(folder)
    # A chain loaded before the change sees it when it comes to that file.
    good.score(VALUES[:60], BARS.index[:60])
    with pytest.raises(ModelError, match="changed after the chain was written"):
        good.score(VALUES, BARS.index)
    (folder / "p1-s0.onnx").unlink()
    with pytest.raises(ModelError, match=r"p1-s0.onnx: the chain names this file.*cannot be read"):
        load_chain(folder)


def edited(folder: Path, change: Any) -> Path:
    manifest = json.loads((folder / "chain.json").read_text())
    change(manifest)
    (folder / "chain.json").write_text(json.dumps(manifest))
    return folder


def later(manifest: Any) -> None:
    manifest["periods"][1]["start"] = "2001-04-01T00:00:00"


def forget(manifest: Any) -> None:
    del manifest["files"]["p0-s0.onnx"]


EDITS: dict[str, tuple[Any, str]] = {
    "newer schema": (lambda m: m.update(schema_version=2), "expected schema 1, found 2"),
    "older schema": (lambda m: m.update(schema_version=0), "expected schema 1, found 0"),
    "unknown field": (lambda m: m.update(seed=1), "chain.json: seed: Extra inputs"),
    "period moved": (later, "gap"),
    "file forgotten": (forget, "says nothing of p0-s0.onnx"),
    "escaping": (
        lambda m: m["files"].update({"../x.onnx": m["files"]["p0-s0.onnx"]}),
        "inside this folder, found '../x.onnx'",
    ),
    "no digest": (
        lambda m: m["files"]["p0-s0.onnx"].update(sha256="x"),
        "chain.json: files.p0-s0.onnx.sha256",
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_manifest_changed_by_hand(name: str, chain: Chain, tmp_path: Path) -> None:
    change, message = EDITS[name]
    with pytest.raises(ModelError, match=message) as caught:
        load_chain(edited(copy_of(chain, tmp_path), change))
    assert "\n" not in str(caught.value)


def test_a_manifest_that_lies_of_a_card(chain: Chain, tmp_path: Path) -> None:
    """That a model has not seen its period is checked against its card when it is used."""

    def lie(manifest: Any) -> None:
        manifest["files"]["p0-s1.onnx"]["unseen_from"] = "2000-01-01T00:00:00"

    lying = load_chain(edited(copy_of(chain, tmp_path), lie))
    with pytest.raises(ModelError, match=r"says of p0-s1\.onnx what its card does not"):
        lying.score(VALUES, BARS.index)


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00", '{"schema_version": 1}'])
def test_a_manifest_that_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "chain.json").write_text(text)
    with pytest.raises(ModelError, match=r"chain\.json: "):
        load_chain(tmp_path)


def test_folders_that_are_no_chain(tmp_path: Path) -> None:
    (tmp_path / "empty" / "inner").mkdir(parents=True)
    with pytest.raises(ModelError, match=r"no chain\.json in this folder\. Write one"):
        load_chain(tmp_path / "empty" / "inner")
    rule_chain(tmp_path / "walk" / "AAPL", RULES)
    with pytest.raises(ModelError, match=r"no such folder of a chain\. Did you mean 'AAPL'"):
        load_chain(tmp_path / "walk" / "APPL")
    with pytest.raises(ModelError, match=r"no chain\.json in this folder\. .*'?AAPL'?"):
        load_chain(tmp_path / "walk")
    with pytest.raises(ModelError, match=r"no chain\.json in this folder"):
        lines_of(partial(LSTMDirection, model=tmp_path / "walk"))
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="no such folder of a chain"):
        load_chain(tmp_path / "file")
