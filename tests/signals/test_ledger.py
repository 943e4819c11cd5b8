"""The trial ledger: append only, one entry for each id, and every edit is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from nextbar.signals.errors import ExperimentError
from nextbar.signals.ledger import append_trial, read_trials


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.jsonl"
    for number in range(4):
        append_trial(path, {"id": f"t{number}", "kind": "x", "sharpe": number / 3})
    return path


def test_no_ledger_is_no_trial(tmp_path: Path) -> None:
    assert read_trials(tmp_path / "ledger.jsonl") == []


def test_trials_come_back_in_order(ledger: Path) -> None:
    assert [trial["id"] for trial in read_trials(ledger)] == ["t0", "t1", "t2", "t3"]
    assert read_trials(ledger)[1] == {"id": "t1", "kind": "x", "sharpe": 1 / 3}


def test_the_same_trial_again_adds_nothing(ledger: Path) -> None:
    before = ledger.read_bytes()
    assert len(append_trial(ledger, {"id": "t2", "kind": "x", "sharpe": 9.0})) == 4
    assert ledger.read_bytes() == before


def test_a_crash_between_the_two_files_is_no_damage(ledger: Path) -> None:
    head = ledger.with_suffix(".head")
    before = head.read_bytes()
    append_trial(ledger, {"id": "t4", "kind": "x"})
    head.write_bytes(before)
    assert len(read_trials(ledger)) == 5
    assert len(append_trial(ledger, {"id": "t5", "kind": "x"})) == 6
    assert len(read_trials(ledger)) == 6


def edited(lines: list[str]) -> list[str]:
    entry = json.loads(lines[1]) | {"sharpe": 0.0}
    return [lines[0], json.dumps(entry, sort_keys=True, separators=(",", ":")), *lines[2:]]


DAMAGE: dict[str, tuple[Callable[[list[str]], list[str]], str]] = {
    "a value was edited": (edited, "line 3 was changed, or one before it is missing"),
    "the first line is gone": (lambda lines: lines[1:], "line 1 was changed"),
    "a middle line is gone": (lambda lines: [lines[0], *lines[2:]], "line 2 was changed"),
    "the last line is gone": (lambda lines: lines[:-1], "expected 4 lines, found 3"),
    "all lines are gone": (lambda _: [], "expected 4 lines, found 0"),
    "two lines changed places": (lambda lines: [lines[1], lines[0], *lines[2:]], "line 1"),
    "no JSON": (lambda lines: [*lines[:2], "{", *lines[3:]], "line 3 was changed"),
    "no kind": (lambda lines: [*lines[:2], '{"id":"t2"}', *lines[3:]], "line 3 was changed"),
    "no object": (lambda lines: [*lines[:2], "[1]", *lines[3:]], "line 3 was changed"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_every_edit_is_found(name: str, ledger: Path) -> None:
    change, words = DAMAGE[name]
    lines = change(ledger.read_text().splitlines())
    ledger.write_text("".join(f"{line}\n" for line in lines))
    for use in (read_trials, lambda path: append_trial(path, {"id": "new", "kind": "x"})):
        with pytest.raises(ExperimentError, match="edited or cut") as caught:
            use(ledger)
        assert words in str(caught.value)


def test_the_last_line_edited_is_found(ledger: Path) -> None:
    ledger.write_text(ledger.read_text().replace("1.0}", "2.0}"))
    with pytest.raises(ExperimentError, match="edited or cut"):
        read_trials(ledger)


def test_half_a_line_is_found(ledger: Path) -> None:
    ledger.write_text(ledger.read_text()[:-9])
    with pytest.raises(ExperimentError, match="its last line was cut"):
        read_trials(ledger)


def test_a_damaged_or_missing_head_is_found(ledger: Path) -> None:
    head = ledger.with_suffix(".head")
    head.write_text("{}")
    with pytest.raises(ExperimentError, match="head was changed"):
        read_trials(ledger)
    head.unlink()
    with pytest.raises(ExperimentError, match="expected 0 lines, found 4"):
        read_trials(ledger)
