"""The whole comparison, training included, on markets whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from nextbar.training import TrainingConfig

from ..markets import planted_walk, walk_bars
from ..simulations.markets import KINDS, Market, market, outcome, run_all, words

SMALL = TrainingConfig(units=(8,), window=8, epochs=12, patience=4, learning_rate=0.01, dropout=0.0)
"""Learns the planted rule in a second."""

PLANTED, TEST, END = 4000, 1600, 2800
"""Bars of a market with a planted rule, the first tested one, and where a fading rule ends."""


def small(made: Market, runs: Path, first: int) -> dict[str, Any]:
    day = made.bars["TEST"].index[first].date()
    return outcome(made, runs, folds=1, first_test=day, training=SMALL)


def planted(runs: Path, until: int | None = None) -> dict[str, Any]:
    bars, state = planted_walk(PLANTED, 2, accuracy=0.6, until=until)
    return small(Market({"TEST": bars}, {"TEST": state}), runs, TEST)


@pytest.mark.parametrize("number", range(3))
def test_nothing_beats_all_baselines_on_a_random_walk(number: int, tmp_path: Path) -> None:
    found = small(Market({"TEST": walk_bars(1000, number)}), tmp_path, 400)
    assert found["trials"] == 1
    assert found["overall"] != "beats"
    assert len(found["leads"]) == 9


def test_always_long_is_buy_and_hold(tmp_path: Path) -> None:
    found = market("long", 0, tmp_path)
    assert found["overall"] == "does not beat"
    assert "same positions" in found["sentence"]
    assert found["leads"]["buy_and_hold"] == 0.0
    # It truly beats who pays for a trade every other day, and nobody else.
    assert found["beaten"] == ["reversal"]
    assert market("long", 0, tmp_path) == found  # from the cache, its seconds too


def test_a_planted_rule_is_found(tmp_path: Path) -> None:
    found = planted(tmp_path)
    # The history is long enough for the lead of who reads the rule exactly.
    assert found["detectable"] < found["exact"]
    assert {"buy_and_hold", "random"} <= set(found["beaten"])
    assert found["overall"] != "does not beat"
    assert 0.53 < found["accuracy"] < 0.64
    assert 0 < found["leads"]["buy_and_hold"] < found["exact"] + 0.3
    assert found["decayed"] is False


def test_a_planted_rule_that_fades_is_called_decayed(tmp_path: Path) -> None:
    found = planted(tmp_path, until=END)
    assert found["decayed"] is True


def full(name: str, tmp_path: Path) -> list[dict[str, Any]]:
    kind = next(kind for kind in KINDS if kind.name == name)
    rows = run_all([kind], None, 2, tmp_path)[name]
    assert sum(words(rows)) == len(rows) == kind.markets
    assert {row["trials"] for row in rows} == {1}
    return rows


def beats_market_and_luck(row: dict[str, Any]) -> bool:
    return {"buy_and_hold", "random"} <= set(row["beaten"])


@pytest.mark.slow
def test_at_most_three_of_fifty_random_walks_are_beaten(tmp_path: Path) -> None:
    assert words(full("null", tmp_path))[0] <= 3


@pytest.mark.slow
def test_always_long_never_beats(tmp_path: Path) -> None:
    rows = full("long", tmp_path)
    assert words(rows)[0] == 0
    assert not any({"buy_and_hold", "random"} & set(row["beaten"]) for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["right60", "right55"])
def test_most_planted_rules_are_found(name: str, tmp_path: Path) -> None:
    rows = full(name, tmp_path)
    assert sum(row["detectable"] < row["exact"] for row in rows) >= 9
    assert sum(map(beats_market_and_luck, rows)) >= 7
    assert words(rows)[1] <= 1


@pytest.mark.slow
def test_most_rules_that_fade_are_called_decayed(tmp_path: Path) -> None:
    assert sum(row["decayed"] is True for row in full("fades", tmp_path)) >= 7


@pytest.mark.slow
def test_what_the_averages_find_as_well_is_no_win(tmp_path: Path) -> None:
    assert words(full("trend", tmp_path))[0] <= 1
