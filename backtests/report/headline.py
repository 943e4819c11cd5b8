"""The verdict as the page opens with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..common import LABELS
from .tables import NOT_DEFINED, amount, count, day, number
from .words import MEANINGS, NO_VERDICT

__all__ = ["Headline", "headline"]


class Headline(NamedTuple):
    """The word, the sentence, what it means, and figures with their names."""

    word: str
    sentence: str
    meaning: str
    tone: str
    """Name of the colour: up, down or quiet."""
    facts: list[tuple[str, str]]
    """Value and what it is."""
    counted_once: list[str]
    """Baselines with the returns of another one."""


_TONES = {"beats": "up", "does not beat": "down", "cannot tell": "quiet"}


def headline(content: Mapping[str, Any]) -> Headline:
    """Return the verdict of a comparison, or why there is none."""
    evidence = content["evidence"]
    if evidence is None:
        reason = f"No verdict: {content['obstacle']}."
        return Headline("no verdict", reason, NO_VERDICT, "quiet", _setting(content), [])
    verdict = evidence["verdict"]
    word = verdict["overall"]
    said = verdict["sentence"]
    sentence = f"C{said[1:]}." if word == "cannot tell" else f"The LSTM {said}."
    beaten = sum(pair["verdict"] == "beats" for pair in verdict["pairs"])
    facts = [
        *_power(verdict),
        (f"{beaten} of {len(verdict['pairs'])}", "baselines beaten"),
        (count(verdict["days"]), "test days"),
        *_setting(content),
    ]
    dropped = [
        f"{LABELS[name]} has the returns of {LABELS[other]} and is counted once."
        for name, other in sorted(verdict["dropped"].items())
    ]
    return Headline(word, sentence, MEANINGS[word], _TONES[word], facts, dropped)


def _power(verdict: Mapping[str, Any]) -> list[tuple[str, str]]:
    lead, money = verdict["detectable"], verdict["detectable_percent"]
    if lead is None:
        return [(NOT_DEFINED, "smallest lead that could have shown")]
    yearly = "" if money is None else f", about {number(money, 0)} % a year"
    return [(f"{number(lead)} Sharpe{yearly}", "smallest lead that could have shown")]


def _setting(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    settings = content["experiment"]
    bars = [content["symbols"][symbol]["bars"] for symbol in settings["symbols"]]
    first, last = min(b["test_first"] for b in bars), max(b["test_last"] for b in bars)
    facts = [
        (count(content["trials"]), "trials on these days"),
        (f"{day(first)} to {day(last)}", "tested"),
        (f"{amount(settings['cost_bps'])} bps", "cost a side"),
        (count(len(settings["folds"])), "folds"),
    ]
    given = settings["model_sha256"] is not None
    return [*facts, ("one, given" if given else count(settings["seeds"]), "models a fold")]
