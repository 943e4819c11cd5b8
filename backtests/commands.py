"""What each command does. Heavy modules are imported where used: --help must be instant."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from . import console
from . import options as o

__all__ = ["bars", "inspect", "signal", "train"]


def train(
    symbols: o.Symbols = None,
    out: o.ModelOut = None,
    source: o.Source = "sample",
    csv: o.Csv = None,
    start: o.Start = None,
    end: o.End = None,
    interval: o.Interval = None,
    adjust: o.Adjust = None,
    refresh: o.Refresh = False,
    validation_start: o.ValidationStart = None,
    test_start: o.TestStart = None,
    seed: o.Seed = 0,
    epochs: o.Epochs = None,
    window: o.Window = None,
    horizon: o.Horizon = None,
    units: o.Units = None,
    features: o.Features = None,
    setting: o.Setting = None,
    runs: o.Runs = Path("runs"),
    as_json: o.AsJson = False,
) -> None:
    """Train a model on one symbol and write it as an ONNX file.

    Without --test-start all bars are used; the last fifth of them is the validation part. The
    training is noted in the trial ledger of the folder of --runs.
    """
    from ..signals.sources.request import parse_date
    from .facts import training_facts
    from .inputs import load_all, only_one, training_config
    from .outputs import check_writable, tidy
    from .trials import note_training

    config = training_config(seed, epochs, window, horizon, units, features, setting)
    dates = {
        "validation_start": parse_date(validation_start, "--validation-start"),
        "test_start": parse_date(test_start, "--test-start"),
    }
    bars = load_all(symbols, csv, source, start, end, interval, adjust, refresh)
    symbol, frame = only_one(bars)
    out = out or Path(f"{symbol}.onnx")
    check_writable(out)
    from ..training.fit import train  # not before all has been checked: it brings tensorflow

    with console.TrainingProgress() as progress, tidy(out.parent):
        on_epoch = partial(progress.epoch, symbol)
        trained = train(frame, config, out, on_epoch=on_epoch, **dates)
        progress.trained(symbol)
    note_training(config, symbol, trained.card.training_hash, runs)
    facts = training_facts(trained)
    if as_json:
        console.say(json.dumps(facts))
    else:
        console.show(console.facts_table(str(out), facts))


def bars(
    symbols: o.Symbols = None,
    source: o.Source = "sample",
    csv: o.Csv = None,
    start: o.Start = None,
    end: o.End = None,
    interval: o.Interval = None,
    adjust: o.Adjust = None,
    refresh: o.Refresh = False,
    out: o.BarsOut = None,
    as_json: o.AsJson = False,
) -> None:
    """Load and check bars, and say what they are."""
    from ..signals.store import write_atomic
    from .facts import bars_facts
    from .inputs import load_all, only_one
    from .outputs import check_writable, tidy

    loaded = load_all(symbols, csv, source, start, end, interval, adjust, refresh)
    facts = {symbol: bars_facts(frame) for symbol, frame in loaded.items()}
    if out is not None:
        _, frame = only_one(loaded)
        check_writable(out)
        with tidy(out.parent):
            write_atomic(out, frame.to_csv())
    if as_json:
        console.say(json.dumps(facts))
        return
    for symbol, row in facts.items():
        console.show(console.facts_table(symbol, row))
    if out is not None:
        console.say(f"Written: {out}")


def signal(
    symbols: o.Symbols = None,
    model: o.SignalModel = None,
    source: o.Source = "sample",
    csv: o.Csv = None,
    start: o.Start = None,
    end: o.End = None,
    interval: o.Interval = None,
    adjust: o.Adjust = None,
    refresh: o.Refresh = False,
    dead_band: o.DeadBand = 0.0,
    close: o.Close = "16:00",
    timezone: o.Timezone = "America/New_York",
    as_json: o.AsJson = False,
) -> None:
    """Print the newest up/down call for each symbol, for use from cron.

    A bar whose session is not over yet is dropped and named; a stale last bar is a warning.
    """
    from .facts import newest_calls, session_of
    from .inputs import load_all

    session = session_of(close, timezone)
    # Today's bar is asked for by name: it may be over already.
    if end is None and source in ("yahoo", "alphavantage"):
        end = str(session.now().date())
    loaded = load_all(symbols, csv, source, start, end, interval, adjust, refresh)
    calls, cautions = newest_calls(loaded, model, session, dead_band)
    for caution in cautions:
        console.warn(f"warning: {caution}")
    if as_json:
        console.say(json.dumps(calls))
    else:
        console.show(console.calls_table(calls))
        console.say(f"Model: {model}")


def inspect(model: o.ModelFile, as_json: o.AsJson = False) -> None:
    """Verify a model file again and print its card."""
    from ..signals.model import load_model

    loaded = load_model(model)
    card = loaded.card.model_dump(mode="json")
    if as_json:
        console.say(json.dumps({"path": str(model), "sha256": loaded.sha256, "card": card}))
        return
    answers = loaded.card.golden.outputs.items()
    numbers = (f"{name} {' '.join(f'{value:.6g}' for value in row)}" for name, row in answers)
    card["golden"] = f"repeated: {', '.join(numbers)}"
    console.show(console.facts_table(str(model), {"sha256": loaded.sha256, **card}))
    console.say("Verified: card and graph are as exported, and the golden answer was repeated.")
