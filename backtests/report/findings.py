"""The tables of the evidence: pairs, luck, costs, years, volatility, calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..common import LABELS, PLACEBOS
from .tables import NOT_DEFINED, Line, Table, count, number, percent, signed

__all__ = [
    "calls_table",
    "costs_table",
    "luck_table",
    "pairs_table",
    "regimes_table",
    "sorted_pairs",
    "years_table",
]

LOOKS = {"beats": "good", "does not beat": "bad", "cannot tell": "even"}

STEPS = (0.02, 0.1, 0.25)
"""Returns from which a cell is tinted, tinted more, tinted most."""


def sorted_pairs(verdict: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the pairs from the smallest lead to the largest: the hardest baseline first."""
    return sorted(verdict["pairs"], key=lambda pair: pair["difference"])


def pairs_table(evidence: Mapping[str, Any]) -> Table:
    """Return a row for each distinct baseline."""
    head = [
        ("Against", ""),
        ("Verdict", ""),
        ("Lead", "Sharpe"),
        ("90 % range", "Newey-West"),
        ("90 % range", "bootstrap"),
        ("In a still market", "a year"),
        ("p", "of no lead"),
        ("Could show", "Sharpe"),
    ]
    bands = evidence["bands"]
    rows = [_pair(pair, bands.get(pair["baseline"])) for pair in sorted_pairs(evidence["verdict"])]
    return Table(head, [rows], 1)


def _pair(pair: Mapping[str, Any], band: Mapping[str, Any] | None) -> Line:
    cells = [
        pair["verdict"],
        signed(pair["difference"]),
        _range(*pair["interval"]),
        NOT_DEFINED if band is None else _range(band["low"], band["high"]),
        f"{pair['intercept']:+z.1%}",
        number(pair["p"], 3),
        number(pair["detectable"]),
    ]
    looks = [LOOKS[pair["verdict"]], *[""] * 6]
    return Line(LABELS[pair["baseline"]], cells, pair["reason"] or "", looks=looks)


def _range(low: float, high: float) -> str:
    return f"{signed(low)} to {signed(high)}"


def luck_table(evidence: Mapping[str, Any]) -> Table:
    """Return the single figures on luck, each with what it says."""
    rows = [*_chance(evidence), *_confidence(evidence["lstm"]), *_snooping(evidence["snooping"])]
    halves = evidence["halves"]
    reason = f": {halves['reason']}" if halves["reason"] else ""
    rows.append(Line("Two halves", [f"{halves['sentence']}{reason}", "Did the lead last?"]))
    return Table([("Question", ""), ("Answer", ""), ("What it says", "")], [rows], 2)


def _chance(evidence: Mapping[str, Any]) -> list[Line]:
    random, seeds = evidence["random"], evidence["seeds"]["sharpe"]
    share = percent(random["as_good_or_better"])
    spread = NOT_DEFINED
    if seeds is not None:
        spread = f"{number(seeds['min'])} to {number(seeds['max'])}"
        spread += f", sd {number(seeds['sd'])}" if seeds["sd"] is not None else ""
        spread += f" ({seeds['n']} seed{'s' if seeds['n'] > 1 else ''})"
    return [
        Line(
            "Random callers at or above it",
            [
                f"{share} of {count(random['callers'])}",
                "They make the LSTM's own calls at other times. Few of them: its timing matters.",
            ],
        ),
        Line(
            "Sharpe of single seeds",
            [spread, "The same training with other random numbers: noise of the training alone."],
        ),
    ]


def _confidence(lstm: Mapping[str, Any]) -> list[Line]:
    deflated, record = lstm["deflated_sharpe"], lstm["minimum_track_record"]
    trials = deflated["trials"]
    bar = number(deflated["threshold"])
    length = NOT_DEFINED
    if record["days"] is not None:
        length = f"{count(record['days'])} days, {number(record['years'], 1)} years"
    return [
        Line(
            "Probabilistic Sharpe ratio",
            [
                percent(lstm["probabilistic_sharpe"]),
                "Chance that the true Sharpe ratio is above 0. A low bar where markets rise.",
            ],
        ),
        Line(
            "Deflated Sharpe ratio",
            [
                percent(deflated["probability"]) + _because(deflated),
                f"The same against {bar}, what the best of {trials} without skill would show."
                if trials > 1
                else "The same, corrected for the number of trials: here there was one.",
            ],
        ),
        Line(
            "Shortest record needed",
            [length + _because(record), "Days after which such a record shows a Sharpe above 0."],
        ),
    ]


def _snooping(snooping: Mapping[str, Any]) -> list[Line]:
    test = snooping["superior_predictive_ability"]
    p = NOT_DEFINED if test["consistent"] is None else f"p = {number(test['consistent'], 3)}"
    better = ", ".join(LABELS[name] for name in snooping["step_m"]) or "none"
    return [
        Line(
            "Superior predictive ability",
            [
                p + _because(test),
                "Hansen's test: small if any strategy here, the LSTM or another, really earns more"
                " than buy & hold.",
            ],
        ),
        Line(
            "Better than buy & hold",
            [better, "Romano and Wolf's StepM: at most a 5 % chance that one is named wrongly."],
        ),
    ]


def _because(found: Mapping[str, Any]) -> str:
    return f" ({found['reason']})" if found["reason"] else ""


def costs_table(costs: Sequence[Mapping[str, Any]]) -> Table:
    """Return the Sharpe ratio of each strategy at each cost."""
    head = [("Sharpe at a cost of", "")] + [(f"{level['cost_bps']:g} bps", "") for level in costs]
    names = [name for name in LABELS if name in costs[0]["strategies"]]

    def line(name: str) -> Line:
        ratios = [level["strategies"][name]["sharpe"] for level in costs]
        return Line(LABELS[name], [number(ratio) for ratio in ratios], lstm=name == "lstm")

    real = [line(name) for name in names if name not in PLACEBOS]
    return Table(head, [real, [line(name) for name in names if name in PLACEBOS]])


def years_table(slices: Sequence[Mapping[str, Any]]) -> Table:
    """Return the return of each strategy, placebos left out, in each calendar year."""
    labels = list(dict.fromkeys(piece["label"] for piece in slices))
    found = {(piece["strategy"], piece["label"]): piece["total_return"] for piece in slices}

    def line(name: str) -> Line:
        values = [found.get((name, year)) for year in labels]
        return Line(
            LABELS[name], [percent(v) for v in values], "", name == "lstm", list(map(_tint, values))
        )

    return Table([("Year", "")] + [(year, "") for year in labels], [_each(slices, line)])


def _tint(value: float | None) -> str:
    step = 0 if value is None else sum(abs(value) >= limit for limit in STEPS)
    return f"{'up' if (value or 0) > 0 else 'down'}{step}" if step else ""


def regimes_table(slices: Sequence[Mapping[str, Any]]) -> Table:
    """Return Sharpe ratio and mean return of each strategy in calm, middle and stormy markets."""
    bars = {piece["label"]: piece["bars"] for piece in slices}
    found = {(piece["strategy"], piece["label"]): piece for piece in slices}
    head = [("Market", "")]
    for name, days in bars.items():
        head += [(name.capitalize(), f"Sharpe, {count(days)} bars"), ("", "return a year")]

    def line(name: str) -> Line:
        pieces = [found[name, regime] for regime in bars]
        cells = [f(piece) for piece in pieces for f in (_ratio, _mean)]
        return Line(LABELS[name], cells, lstm=name == "lstm")

    return Table(head, [_each(slices, line)])


def _ratio(piece: Mapping[str, Any]) -> str:
    return number(piece["sharpe"])


def _mean(piece: Mapping[str, Any]) -> str:
    return percent(piece["mean_return"])


def _each(slices: Sequence[Mapping[str, Any]], line: Callable[[str], Line]) -> list[Line]:
    named = {piece["strategy"] for piece in slices}
    return [line(name) for name in LABELS if name in named and name not in PLACEBOS]


def calls_table(calls: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return by symbol how its calls came true, beside what needs no skill."""
    head = [
        ("Symbol", ""),
        ("Calls", ""),
        ("Came true", ""),
        ("Commoner way", "in hindsight"),
        ("Up bars", ""),
        ("MCC", ""),
        ("Brier", "score"),
        ("Brier", "base rate"),
        ("Log loss", ""),
        ("Timing p", "Pesaran-Timmermann"),
        ("Sample", "bars"),
    ]
    return Table(head, [[_calls(symbol, found) for symbol, found in calls.items()]])


def _calls(symbol: str, found: Mapping[str, Any]) -> Line:
    up, timing = found["always_up"], found["timing"]
    cells = [
        count(found["calls"]),
        percent(found["accuracy"]),
        percent(None if up is None else max(up, 1 - up)),
        percent(found["base_rate"]),
        number(found["mcc"], 3),
        number(found["brier"], 4),
        number(found["brier_base"], 4),
        number(found["log_loss"], 4),
        number(timing["p"], 3),
        count(timing["bars"]),
    ]
    note = f"no timing test: {timing['reason']}" if timing["reason"] else ""
    return Line(symbol, cells, note)
