"""The tables of what was fitted: the rules that each fold chose, and the models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..common import LABELS
from .tables import Line, Table, count, day, percent, short

__all__ = ["folds_table", "given_facts", "models_table", "rules_table", "trained_facts"]

CALLS = {-1: "always down", 0: "no call", 1: "always up"}


def folds_table(folds: Sequence[Mapping[str, Any]]) -> Table:
    """Return the dates of every fold."""
    head = ("Fold", "Trained from", "Validated from", "Tested from", "Tested to")
    ends = [f"before {fold['test_start']}" for fold in folds[1:]] + ["the last bar"]
    rows = [
        Line(
            str(i),
            [
                fold["train_start"] or "the first bar",
                fold["validation_start"],
                fold["test_start"],
                end,
            ],
        )
        for i, (fold, end) in enumerate(zip(folds, ends, strict=True), 1)
    ]
    return Table([(text, "") for text in head], [rows], 4)


def rules_table(
    rules: Mapping[str, Sequence[Mapping[str, int]]], folds: Sequence[Mapping[str, Any]]
) -> Table:
    """Return by fold what the rules with a choice chose."""
    names = [name for name in LABELS if any(rules.get(name, ()))]
    head = [("Fold", ""), ("Tested from", ""), *((LABELS[name], "") for name in names)]
    rows = [
        Line(str(i + 1), [fold["test_start"], *(_rule(rules[name][i]) for name in names)])
        for i, fold in enumerate(folds)
    ]
    return Table(head, [rows], len(head))


def _rule(parameters: Mapping[str, int]) -> str:
    if "direction" in parameters:
        return CALLS[parameters["direction"]]
    return " / ".join(str(value) for _, value in sorted(parameters.items())) + " bars"


def models_table(models: Sequence[Mapping[str, Any]]) -> Table:
    """Return a row for each fold and kind of model, the seeds of an LSTM together."""
    head = [
        ("Fold", ""),
        ("Model", ""),
        ("Trained up to", ""),
        ("Rows", "training"),
        ("Rows", "validation"),
        ("Best epoch", "by seed"),
        ("Right", "validation"),
        ("Base rate", "validation"),
    ]
    found: dict[tuple[int, str], list[Mapping[str, Any]]] = {}
    for model in models:
        found.setdefault((model["fold"], model["kind"]), []).append(model)
    folds = list(dict.fromkeys(fold for fold, _ in found))
    kinds = [kind for kind in LABELS if any(kind == other for _, other in found)]
    groups = [
        [_fit(fold, kind, found[fold, kind]) for kind in kinds if (fold, kind) in found]
        for fold in folds
    ]
    return Table(head, groups, 2)


def _fit(fold: int, kind: str, seeds: Sequence[Mapping[str, Any]]) -> Line:
    first = seeds[0]
    accuracy = sum(seed["validation_accuracy"] for seed in seeds) / len(seeds)
    cells = [
        LABELS[kind],
        day(first["train_end"]),
        count(first["train_rows"]),
        count(first["validation_rows"]),
        ", ".join(str(seed["best_epoch"]) for seed in seeds),
        percent(accuracy),
        percent(first["validation_base_rate"]),
    ]
    return Line(str(fold + 1), cells, lstm=kind == "lstm")


def trained_facts(models: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what holds for all of a symbol's trained models."""
    largest = f"{models['max_difference']:.1e}"
    chains = "; ".join(f"{LABELS[k]} {short(v)}" for k, v in sorted(models["chains"].items()))
    return [
        ("Architecture", models["architecture"]),
        (
            "Keras against ONNX on the test bars",
            f"largest difference {largest}, {count(models['flipped_calls'])} flipped calls",
        ),
        ("Digests of the chains", chains),
    ]


def given_facts(model: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what is known of a model that was given; there is no record of its training."""
    return [
        ("File", f"{model['file']}, sha256 {short(model['sha256'])}"),
        ("Trained on", ", ".join(model["symbols"]) or "not recorded"),
        ("Bars new to it", f"from {day(model['unseen_from'])} on"),
        ("Known flaws", ", ".join(model["known_flaws"]) or "none"),
    ]
