"""Options of a training that contradict each other: each pair is named in one place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .config import TrainingConfig

__all__ = ["contradiction"]


def contradiction(config: TrainingConfig) -> str | None:
    """Return the first two options that cannot go together, in words; None when all can."""
    return next(_found(config), None)


def _found(config: TrainingConfig) -> Iterator[str]:
    head = f"head = {config.head!r}"
    if not config.features:
        yield "features: expected at least one, found none"
    if config.architecture == "vanilla" and len(config.units) > 1:
        yield (
            f"architecture = 'vanilla' has one layer, and units = {list(config.units)} names"
            f" {len(config.units)}: use 'stacked', or one number"
        )
    yield from _idle(config)
    if not config.fields:
        yield "fields: expected at least one, found none"
    if config.says == "position" and config.batch_size < 2:
        yield f"{head} needs a batch_size of at least 2: one bar has no Sharpe ratio"
    yield from _rollout(config)
    yield from _stateful(config)
    if config.blocks > 1 and config.scaling == "window":
        yield (
            "blocks scale parts of the training rows, and scaling = 'window' scales each window by"
            " itself: leave one of them out"
        )
    if config.says == "position" and config.target == "close":
        yield (
            f"{head} is trained on what an order earns, and target = 'close' is a move"
            " that no order earns: use target = 'open'"
        )
    yield from _flaws(config)


def _idle(config: TrainingConfig) -> Iterator[str]:
    """Tell of options that would do nothing, unless they say what they are by default."""
    head, architecture = f"head = {config.head!r}", f"architecture = {config.architecture!r}"
    # An architecture that was added may look at all of them.
    recurrent = config.architecture in ("vanilla", "stacked", "bidirectional")
    idle: list[tuple[bool, tuple[str, ...], str]] = [
        (recurrent, ("filters", "kernel"), f"is for a convolution, and {architecture} has none"),
        (
            config.says != "forecast",
            ("rollout", "augment", "steps", "fields"),
            f"is for forecasts of prices, and {head}",
        ),
        (config.says != "position", ("turnover_penalty",), f"is for a position, and {head}"),
        (config.plateau is None, ("least_rate",), "is for a plateau, and none is given"),
    ]
    for useless, names, reason in idle:
        for name in names:
            if useless and getattr(config, name) != type(config).model_fields[name].default:
                yield f"{name} {reason}: leave one of them out"


def _rollout(config: TrainingConfig) -> Iterator[str]:
    if not config.rollout:
        return
    if config.features != config.fields or len(config.fields) != 1:
        yield (
            "rollout feeds a forecast back as the next input, so features and fields must be the"
            f" same one price, found features = {list(config.features)} and fields ="
            f" {list(config.fields)}"
        )
    if config.steps == "every":
        yield "rollout forecasts every bar in turn, and steps = 'every' all at once: use one"
    if config.scaling in ("window", "rank"):
        yield (
            f"rollout feeds forecasts back scaled as the inputs are, and scaling ="
            f" {config.scaling!r} has no such scale for a bar to come: use 'minmax'"
        )
    if config.cell != "lstm":
        yield f"rollout unrolls cell = 'lstm' only, found {config.cell!r}: leave one of them out"
    if config.architecture not in ("vanilla", "stacked"):
        yield (
            f"rollout goes on from a state, and architecture = {config.architecture!r} has none at"
            " the window's end: use 'stacked'"
        )


def _stateful(config: TrainingConfig) -> Iterator[str]:
    if not config.stateful:
        return
    if config.scaling == "window":
        yield (
            "stateful carries a state across windows, and scaling = 'window' scales each by itself:"
            " leave one of them out"
        )
    if config.scaling == "rank":
        yield "stateful streams bar by bar, and scaling = 'rank' is for whole windows: use 'minmax'"
    if config.architecture not in ("vanilla", "stacked"):
        yield (
            f"stateful carries a state forward, and architecture = {config.architecture!r} reads"
            " whole windows: use 'stacked'"
        )
    if config.says == "position":
        yield (
            f"stateful has a loss at every bar, and head = {config.head!r} one for a batch: use"
            " one of them"
        )


def _flaws(config: TrainingConfig) -> Iterator[str]:
    affine = config.scaling in ("standard", "minmax", "robust")
    levels = not config.ratios and len(config.features) > 1
    wanted = {
        "scaler-on-all-data": (
            "one scaling for all rows: blocks = 1, and scaling not 'window'",
            config.blocks == 1 and config.scaling != "window",
        ),
        "label-is-input": (
            "augment of at least 2 for a forecast of the next bar",
            config.augment >= 2 and bool(config.columns) and config.columns[0][1] == 1,
        ),
        "row-against-one-output": (
            "one forecast, target = 'close', several prices or volume for features, and scaling"
            " 'standard', 'minmax' or 'robust'",
            len(config.columns) == 1 and config.target == "close" and levels and affine,
        ),
        "relu-head": (
            "head = 'forecast', prices for features, and scaling = 'minmax', whose 0 is the lowest",
            config.says == "forecast" and config.price_levels and config.scaling == "minmax",
        ),
    }
    for name, (needed, there) in wanted.items():
        if name in config.flaws and not there:
            yield f"the flaw {name!r} needs {needed}"
