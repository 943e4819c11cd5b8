"""The command line: one command for each thing that people do."""

from __future__ import annotations

import functools
import json
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..signals.errors import NextbarError
from . import console
from . import options as o

if TYPE_CHECKING:
    from .comparison import Comparison

app = typer.Typer(
    name="nextbar",
    help="Would an LSTM's up/down calls have made more money than an EMA cross or momentum?",
    epilog="Start with: nextbar demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

DEMO_DATES = {"validation_start": "2008-01-01", "test_start": "2010-01-01"}

_state = {"debug": False}


def main() -> None:
    """Run the command line."""
    app()


def command(example: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a command; its errors become one line and an exit code.

    2 for bad input, 3 for a failure of nextbar itself, 130 when interrupted.
    """

    def register(body: Callable[..., None]) -> Callable[..., None]:
        @app.command(epilog=f"Example: {example}")
        @functools.wraps(body)
        def run(*args: Any, **kwargs: Any) -> None:
            try:
                body(*args, **kwargs)
            except NextbarError as error:
                _fail(" ".join(str(error).split()), 2)
            except KeyboardInterrupt:
                _fail(
                    "interrupted; what was finished stays, the same command goes on with it.", 130
                )
            except typer.Exit:
                raise
            except Exception as error:
                _fail(
                    f"nextbar failed: {type(error).__name__}: {' '.join(str(error).split())}"
                    " (`nextbar --debug ...` shows where)",
                    3,
                )

        return run

    return register


def _fail(message: str, code: int) -> None:
    if _state["debug"]:
        traceback.print_exc()
    console.warn(f"error: {message}" if code != 130 else message)
    raise typer.Exit(code)


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        console.say(f"nextbar {version('nextbar')}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take the options that come before a command."""
    _state["debug"] = debug


@command("nextbar demo")
def demo(runs: o.Runs = Path("runs"), as_json: o.AsJson = False) -> None:
    """Do the whole job on the embedded bars: train, export, backtest, compare."""
    from ..signals.sources import SAMPLE_SYMBOLS, load_bars
    from .experiment import make_experiment

    bars = {symbol: load_bars(symbol) for symbol in SAMPLE_SYMBOLS}
    experiment = make_experiment(name="demo", symbols=tuple(bars), **DEMO_DATES)
    _compare(experiment, bars, runs, None, as_json)


@command("nextbar compare AAPL MSFT --source yahoo --start 2005-01-01")
def compare(
    symbols: o.Symbols = None,
    source: o.Source = "sample",
    csv: o.Csv = None,
    model: Annotated[Path | None, typer.Option(help="A model file instead of training.")] = None,
    start: o.Start = None,
    end: o.End = None,
    interval: o.Interval = None,
    adjust: o.Adjust = None,
    refresh: o.Refresh = False,
    validation_start: o.ValidationStart = None,
    test_start: o.TestStart = None,
    cost_bps: Annotated[float, typer.Option(help="Cost of each side in basis points.")] = 5.0,
    cash: Annotated[float, typer.Option(help="Starting cash.")] = 100_000.0,
    target: Annotated[float, typer.Option(help="Share of the account in a position.")] = 0.95,
    shorts: Annotated[bool, typer.Option("--shorts", help="Sell short on down calls.")] = False,
    fractional: Annotated[bool, typer.Option("--fractional", help="Trade fractions.")] = False,
    band: Annotated[float | None, typer.Option(help="Rebalance beyond this share.")] = None,
    hold: Annotated[bool, typer.Option("--hold", help="No call keeps the position.")] = False,
    dead_band: o.DeadBand = 0.0,
    seed: o.Seed = 0,
    epochs: o.Epochs = None,
    window: o.Window = None,
    horizon: o.Horizon = None,
    units: o.Units = None,
    features: o.Features = None,
    name: Annotated[str, typer.Option(help="Start of the run folder's name.")] = "compare",
    runs: o.Runs = Path("runs"),
    as_json: o.AsJson = False,
) -> None:
    """Compare an LSTM with an EMA cross, momentum and buy & hold on the same bars."""
    from .experiment import make_experiment
    from .inputs import dates_for, load_all, training_config

    config = training_config(seed, epochs, window, horizon, units, features)
    bars = load_all(symbols, csv, source, start, end, interval, adjust, refresh)
    experiment = make_experiment(
        name=name,
        symbols=tuple(bars),
        source="csv" if csv else source,
        interval=next(iter(bars.values())).attrs["interval"],
        start=start,
        end=end,
        adjust=adjust,
        training=config,
        cash=cash,
        cost_bps=cost_bps,
        target=target,
        shorts=shorts,
        step=None if fractional else 1.0,
        band=band,
        on_zero="hold" if hold else "flat",
        dead_band=dead_band,
        **dates_for(bars, model, validation_start, test_start),
    )
    _compare(experiment, bars, runs, model, as_json)


def _compare(experiment: Any, bars: Any, runs: Path, model: Path | None, as_json: bool) -> None:
    from .comparison import STRATEGIES, compare

    with console.Steps(experiment.symbols, len(STRATEGIES)) as steps:
        done: Comparison = compare(experiment, bars, runs=runs, model=model, on_step=steps)
    if as_json:
        console.say(json.dumps(done.summary, indent=2))
        return
    for table in console.comparison_tables(done.summary, STRATEGIES):
        console.show(table)
    console.say(done.summary["caution"])
    console.say(f"{'Found finished' if done.resumed else 'Written'}: {done.folder}")
    if not (done.folder / "report.html").is_file():
        console.say("No report.html: pip install 'nextbar[compare]', then run this again.")


@command("nextbar train AAPL --test-start 2010-01-01 --out aapl.onnx")
def train(
    symbols: o.Symbols = None,
    out: Annotated[
        Path | None, typer.Option(help="The model file; by default SYMBOL.onnx.")
    ] = None,
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
    as_json: o.AsJson = False,
) -> None:
    """Train a model on one symbol and write it as an ONNX file.

    Without --test-start all bars are used; the last fifth of them is the validation part.
    """
    from .inputs import load_all, only_one, training_config

    config = training_config(seed, epochs, window, horizon, units, features)
    bars = load_all(symbols, csv, source, start, end, interval, adjust, refresh)
    symbol, frame = only_one(bars)
    from ..training.fit import train

    with console.TrainingProgress() as progress:
        trained = train(
            frame,
            config,
            out or Path(f"{symbol}.onnx"),
            validation_start=validation_start,
            test_start=test_start,
            on_epoch=lambda epoch: progress.epoch(symbol, epoch),
        )
        progress.trained(symbol)
    from .inputs import training_facts

    facts = training_facts(trained)
    console.say(json.dumps(facts)) if as_json else console.show(
        console.facts_table(str(trained.path), facts)
    )


@command("nextbar bars AAPL --source yahoo --out aapl.csv")
def bars(
    symbols: o.Symbols = None,
    source: o.Source = "sample",
    csv: o.Csv = None,
    start: o.Start = None,
    end: o.End = None,
    interval: o.Interval = None,
    adjust: o.Adjust = None,
    refresh: o.Refresh = False,
    out: Annotated[Path | None, typer.Option(help="Write the bars of one symbol as CSV.")] = None,
    as_json: o.AsJson = False,
) -> None:
    """Load and check bars, and say what they are."""
    from ..signals.store import write_atomic
    from .inputs import bars_facts, load_all, only_one

    loaded = load_all(symbols, csv, source, start, end, interval, adjust, refresh)
    facts = {symbol: bars_facts(frame) for symbol, frame in loaded.items()}
    if out is not None:
        _, frame = only_one(loaded)
        write_atomic(out, frame.to_csv())
    if as_json:
        console.say(json.dumps(facts))
        return
    for symbol, row in facts.items():
        console.show(console.facts_table(symbol, row))


@command("nextbar signal AAPL --model aapl.onnx --source yahoo --json")
def signal(
    symbols: o.Symbols = None,
    model: Annotated[Path | None, typer.Option(help="The model file.", show_default=False)] = None,
    source: o.Source = "sample",
    csv: o.Csv = None,
    start: o.Start = None,
    interval: o.Interval = None,
    adjust: o.Adjust = None,
    refresh: o.Refresh = False,
    dead_band: o.DeadBand = 0.0,
    close: Annotated[str, typer.Option(help="When the exchange's session ends.")] = "16:00",
    timezone: Annotated[str, typer.Option(help="The exchange's time.")] = "America/New_York",
    as_json: o.AsJson = False,
) -> None:
    """Print the newest up/down call for each symbol, for use from cron.

    A bar whose session is not over yet is dropped and named; a stale last bar is a warning.
    """
    from .inputs import load_all, newest_calls, session_of

    session = session_of(close, timezone)
    # Today's bar is asked for by name: it may be over already.
    today = str(session.now().date()) if source in ("yahoo", "alphavantage") else None
    loaded = load_all(symbols, csv, source, start, today, interval, adjust, refresh)
    calls, warnings = newest_calls(loaded, model, session, dead_band)
    for warning in warnings:
        console.warn(f"warning: {warning}")
    if as_json:
        console.say(json.dumps(calls))
        return
    columns = ("symbol", "call", "probability", "last_bar", "bars_since_train_end", "model")
    rows = [{name.replace("_", " "): call[name] for name in columns} for call in calls]
    console.show(console.rows_table("Newest calls, for an order at the next open", rows))


@command("nextbar inspect aapl.onnx")
def inspect(
    model: Annotated[Path, typer.Argument(help="A model file.")], as_json: o.AsJson = False
) -> None:
    """Verify a model file again and print its card."""
    from ..signals.model import load_model

    loaded = load_model(model)
    card = loaded.card.model_dump(mode="json")
    if as_json:
        console.say(json.dumps({"path": str(model), "sha256": loaded.sha256, "card": card}))
        return
    card["golden"] = f"repeated: probability {card['golden']['probability']:.6f}"
    console.show(console.facts_table(str(model), {"sha256": loaded.sha256, **card}))
    console.say("Verified: card and graph are as exported, and the golden answer was repeated.")
