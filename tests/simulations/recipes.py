"""Every tutorial's system in full on one history: ``python -m tests.simulations.recipes``.

Prints the tables of docs/recipes.md, and says on standard error how far it is. Every recipe is one
``nextbar compare --recipe NAME --full``, with ``--faithful`` where the tutorial has a form of its
own. What is finished in the folder of ``--cache`` is taken over, so that it can be interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nextbar.backtests.recipe_plan import recipe_fields
from nextbar.signals import load_model, sample_bars
from nextbar.signals.errors import ExperimentError
from nextbar.signals.heads import CENTRES
from nextbar.training.recipes import Recipe, recipe_named, recipes
from scipy.stats import spearmanr

NEXTBAR = (sys.executable, "-c", "from nextbar.backtests.cli import main; main()")

BEAT = 60.0
"""Seconds between two lines on a recipe that is not done."""

HONEST = ("Recipe", "Test bars", "RMSE", "Naive", "MASE", "Score and price", "Up calls before",
          "Up calls", "Right calls", "Base rate", "Sharpe", "Buy & hold", "Verdict")  # fmt: skip
OWN = ("Recipe", "Known flaws", "RMSE", "Naive", "Right calls, traded", "Base rate",
       "Right calls, own label", "Base rate", "Sharpe")  # fmt: skip


def result_of(recipe: Recipe, symbol: str, runs: Path, say: Callable[[str], None]) -> Any:
    """Return what the command prints as JSON; raise when it ends with an error.

    In a process of its own, which draws its progress on a terminal; else a line now and then.
    """
    args = ["compare", symbol, "--recipe", recipe.name, "--full", "--json", "--runs", str(runs)]
    args += ["--faithful"] if recipe.faithful else []
    began = time.monotonic()
    with subprocess.Popen([*NEXTBAR, *args], stdout=subprocess.PIPE, text=True) as process:
        while True:
            try:
                output, _ = process.communicate(timeout=BEAT)
                break
            except subprocess.TimeoutExpired:
                models = len(list(runs.rglob("*.onnx")))
                say(f"    {(time.monotonic() - began) / 60:.0f} min, {models} models written")
    if process.returncode:
        raise ExperimentError(f"{recipe.name}: ended with {process.returncode}")
    facts = json.loads(output)
    return facts | {"habits": habits(facts, symbol)}


def habits(facts: Mapping[str, Any], symbol: str) -> dict[str, float]:
    """Return how the honest model's calls hang on the price: of levels, or of moves?

    ``correlation``: Spearman's, of score and close on the bars before the test, which are
    in-sample. ``before`` and ``from``: shares of up calls before the test, and from it on.
    """
    (path,) = (Path(facts["folder"]) / "models" / symbol / "lstm").glob("*.onnx")
    model, bars = load_model(path), sample_bars(symbol)
    score, decided = model.score(bars.to_numpy(np.float64)), bars.iloc[model.card.window - 1 :]
    before = np.asarray(decided.index < facts["symbols"][symbol]["bars"]["test_first"])
    up = score > CENTRES[model.card.head]
    return {
        "correlation": float(spearmanr(score[before], decided["close"][before]).statistic),
        "before": float(up[before].mean()),
        "from": float(up[~before].mean()),
    }


def text(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def honest_row(name: str, facts: Mapping[str, Any], symbol: str) -> str:
    """Return the line of one recipe in its honest form."""
    part = facts["symbols"][symbol]
    calls, strategies = part["calls"], part["strategies"]
    quality = part.get("forecasts", {}).get("quality", {}).get("lstm", {})
    rate = calls["base_rate"]
    verdict = facts["evidence"]["verdict"]["sentence"] if facts["evidence"] else "none"
    return row(
        [
            f"`{name}`",
            f"{part['bars']['test_bars']:,}",
            text(quality.get("rmse"), "{:.3g}"),
            text(quality.get("naive_rmse"), "{:.3g}"),
            text(quality.get("mase"), "{:.2f}"),
            text(facts["habits"]["correlation"], "{:+.2f}"),
            *(text(facts["habits"][part], "{:.0%}") for part in ("before", "from")),
            text(calls["accuracy"], "{:.1%}"),
            text(None if rate is None else max(rate, 1 - rate), "{:.1%}"),
            text(strategies["lstm"]["sharpe"], "{:.2f}"),
            text(strategies["buy_and_hold"]["sharpe"], "{:.2f}"),
            verdict,
        ]
    )


def own_row(name: str, facts: Mapping[str, Any], symbol: str) -> str:
    """Return the line of one tutorial's own form."""
    figures = facts["faithful"]["symbols"][symbol]["own"]
    forecast = figures["forecast"] or {}
    return row(
        [
            f"`{name}`",
            ", ".join(facts["faithful"]["flaws"]) or "none",
            text(forecast.get("rmse"), "{:.3g}"),
            text(forecast.get("naive_rmse"), "{:.3g}"),
            text(figures["traded"]["accuracy"], "{:.1%}"),
            text(figures["traded"]["base_rate"], "{:.1%}"),
            text(figures["label"]["accuracy"], "{:.1%}"),
            text(figures["label"]["base_rate"], "{:.1%}"),
            text(figures["sharpe"], "{:.2f}"),
        ]
    )


def table(head: Sequence[str], rows: Sequence[str]) -> str:
    return "\n".join([row(head), row(["---"] * len(head)), *rows])


def tables(found: Mapping[str, Mapping[str, Any]], symbol: str) -> str:
    """Return both tables of all results, by the name of their recipe."""
    honest = [honest_row(name, facts, symbol) for name, facts in found.items()]
    own = [own_row(name, facts, symbol) for name, facts in found.items() if "faithful" in facts]
    parts = [table(HONEST, honest), *([table(OWN, own)] if own else [])]
    return "\n\n".join(parts) + "\n"


def run_all(
    chosen: Sequence[Recipe], symbol: str, cache: Path, say: Callable[[str], None]
) -> dict[str, dict[str, Any]]:
    """Run all recipes one after the other; one that fails is named and left out.

    Each has a folder and so a ledger of its own: the figures do not depend on their order.
    """
    found: dict[str, dict[str, Any]] = {}
    for number, recipe in enumerate(chosen, start=1):
        fields = recipe_fields(recipe, full=True)
        forms = "both forms" if recipe.faithful else "the honest form"
        epochs = fields["training"].epochs
        say(f"[{number}/{len(chosen)}] {recipe.name}: {forms}, {epochs} epochs ...")
        began = time.monotonic()
        try:
            found[recipe.name] = result_of(recipe, symbol, cache / recipe.name, say)
        except ExperimentError as error:
            say(f"    failed: {error}")
            continue
        resumed = ", found finished" if found[recipe.name]["resumed"] else ""
        say(f"    {(time.monotonic() - began) / 60:.1f} min{resumed}")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", metavar="NAME", help="a recipe; may be repeated")
    parser.add_argument("--symbol", default="AAPL", help="an embedded history")
    parser.add_argument("--cache", type=Path, help="folder of runs, to go on with")
    given = parser.parse_args(arguments)
    chosen = [recipe_named(name) for name in given.only] if given.only else list(recipes())

    def say(line: str) -> None:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    with contextlib.ExitStack() as stack:
        cache = given.cache or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        found = run_all(chosen, given.symbol, cache, say)
    sys.stdout.write(tables(found, given.symbol))


if __name__ == "__main__":
    main()
