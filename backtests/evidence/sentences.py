"""The verdict in words, the same everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..verdict import Pair, Verdict

__all__ = ["overall_sentence", "pair_sentence"]


def overall_sentence(verdict: Verdict, margin: float) -> str:
    """Return the sentence to print for the overall verdict."""
    word, pairs = verdict.overall, verdict.pairs
    if word == "cannot tell":
        because = f" ({verdict.reason})" if verdict.reason else ""
        return f"cannot tell{because}: {_could_have_shown(verdict)}"
    if verdict.reason:
        return f"{word} any baseline ({verdict.reason})"
    if word == "beats":
        least = min(pairs, key=lambda pair: pair.difference)
        if len(pairs) == 1:
            return pair_sentence(least, margin)
        return (
            f"beats all {len(pairs)} baselines; smallest lead {least.difference:+.2f},"
            f" over {least.label} ({_range(least)})"
        )
    ruled_out = [pair for pair in pairs if pair.verdict == word]
    return pair_sentence(min(ruled_out, key=lambda pair: (pair.q, pair.difference)), margin)


def pair_sentence(pair: Pair, margin: float) -> str:
    """Return the sentence to print for one baseline."""
    if pair.verdict == "beats":
        return f"beats {pair.label}: lead {pair.difference:+.2f} ({_range(pair)})"
    if pair.verdict == "does not beat":
        if pair.reason:
            return f"does not beat {pair.label} ({pair.reason})"
        return f"does not beat {pair.label}: a lead of {margin:g} is ruled out ({_range(pair)})"
    because = f" ({pair.reason})" if pair.reason else ""
    return (
        f"cannot tell against {pair.label}{because}: lead {pair.difference:+.2f} ({_range(pair)});"
        f" this history could only have shown one of {pair.detectable:.2f} Sharpe or more"
    )


def _range(pair: Pair) -> str:
    low, high = pair.interval
    return f"90 % range {low:+.2f} to {high:+.2f}"


def _could_have_shown(verdict: Verdict) -> str:
    if verdict.detectable is None:
        return "the positions are those of every baseline, so no lead could have shown"
    percent = verdict.detectable_percent
    money = f" (about {percent:.0f} % a year)" if percent is not None else ""
    return (
        f"this history could only have shown a lead of {verdict.detectable:.2f} Sharpe{money}"
        " or more over all baselines"
    )
