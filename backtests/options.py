"""The options that commands share: one spelling and one help text for each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "Adjust",
    "AsJson",
    "Band",
    "BarsOut",
    "Cash",
    "Close",
    "Compared",
    "Context",
    "CostBps",
    "Csv",
    "DeadBand",
    "End",
    "Epochs",
    "Faithful",
    "Features",
    "FirstTest",
    "Folds",
    "Fractional",
    "Full",
    "Hold",
    "Horizon",
    "Interval",
    "Listed",
    "ModelFile",
    "ModelOut",
    "Name",
    "ReadyModel",
    "Recipe",
    "RecipeName",
    "Refresh",
    "Rivals",
    "Rolling",
    "Runs",
    "Seed",
    "Seeds",
    "Setting",
    "Shorts",
    "SignalModel",
    "Source",
    "Start",
    "Storage",
    "Symbols",
    "Target",
    "TestStart",
    "Timezone",
    "Trials",
    "Units",
    "ValidationStart",
    "Window",
    "Workers",
    "was_typed",
]

Context = typer.Context

Symbols = Annotated[
    list[str] | None, typer.Argument(help="Symbols, such as AAPL MSFT.", show_default=False)
]
Compared = Annotated[
    list[str] | None,
    typer.Argument(help="Symbols, such as AAPL MSFT; or one experiment file.", show_default=False),
]
Listed = Annotated[
    list[str] | None,
    typer.Option("--symbols", help="The same; several with commas.", show_default=False),
]
Recipe = Annotated[
    str | None, typer.Option(help="A tutorial's system: `nextbar recipes` names all.")
]
RecipeName = Annotated[
    str | None, typer.Argument(help="A recipe; all are listed without.", show_default=False)
]
Full = Annotated[
    bool, typer.Option("--full", help="The recipe's own epochs on its own, single split.")
]
Faithful = Annotated[
    bool,
    typer.Option("--faithful", help="Beside it the tutorial's own form, flaws included: slow."),
]
Storage = Annotated[
    str | None, typer.Option(help="Database URL for a search; by default a file in --runs.")
]
Trials = Annotated[int | None, typer.Option(help="Trainings of a search.", min=1)]
Source = Annotated[
    str, typer.Option(help="Where bars come from: sample (embedded), yahoo, alphavantage.")
]
Csv = Annotated[
    list[Path] | None,
    typer.Option("--csv", help="A file of bars instead; may be repeated.", show_default=False),
]
Start = Annotated[str | None, typer.Option(help="First date, such as 2010-01-31.")]
End = Annotated[str | None, typer.Option(help="Last date, included.")]
Interval = Annotated[str | None, typer.Option(help="Length of a bar, such as 1d, 1wk, 5m.")]
Adjust = Annotated[
    bool | None,
    typer.Option(
        "--adjust/--raw", help="Adjust prices for splits and dividends, or not.", show_default=False
    ),
]
Refresh = Annotated[bool, typer.Option("--refresh", help="Fetch again what the cache has.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Runs = Annotated[Path, typer.Option(help="Folder for the run's folder.")]
ValidationStart = Annotated[
    str | None, typer.Option(help="First date of the validation part; by default the last fifth.")
]
TestStart = Annotated[
    str | None, typer.Option(help="First date that is not trained on; by default none.")
]
Folds = Annotated[int, typer.Option(help="Times that models and rules are fitted anew.")]
FirstTest = Annotated[
    str | None,
    typer.Option(
        help="First date of the first test; by default 30 % in, or what a given model has not seen."
    ),
]
Rolling = Annotated[
    bool, typer.Option("--rolling", help="Train on as long a history in every fold, not on all.")
]
Seeds = Annotated[
    int, typer.Option(help="Models of each fold, whose mean makes the calls; 10 for publication.")
]
Workers = Annotated[
    int | None, typer.Option(help="Processes that train; by default one for each core.", min=1)
]
Seed = Annotated[int, typer.Option(help="Seed of the training.")]
Epochs = Annotated[int | None, typer.Option(help="Most passes over the training bars.")]
Window = Annotated[int | None, typer.Option(help="Bars that a call is made from.")]
Horizon = Annotated[int | None, typer.Option(help="Bars that the predicted move lasts.")]
Units = Annotated[str | None, typer.Option(help="Units of each LSTM layer, such as 16 or 50,50.")]
Features = Annotated[
    str | None, typer.Option(help="What a model sees, such as return,gap or open,high.")
]
Setting = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUE",
        help="Any other of the training, such as head=forecast or cell=gru; may be repeated.",
        show_default=False,
    ),
]
Rivals = Annotated[
    str | None, typer.Option(help="Classical forecasters that join, such as knn,arima.")
]
DeadBand = Annotated[
    float, typer.Option(help="No call while the probability is this close to 0.5.")
]
ReadyModel = Annotated[
    Path | None, typer.Option(help="A model file, or a chain's folder, instead of training.")
]
CostBps = Annotated[float, typer.Option(help="Cost of each side in basis points.")]
Cash = Annotated[float, typer.Option(help="Starting cash.")]
Target = Annotated[
    float, typer.Option(help="Share of the account in a position; the rest is a buffer for gaps.")
]
Shorts = Annotated[bool, typer.Option("--shorts", help="Sell short on down calls.")]
Fractional = Annotated[bool, typer.Option("--fractional", help="Trade fractions.")]
Band = Annotated[float | None, typer.Option(help="Rebalance beyond this share.")]
Hold = Annotated[bool, typer.Option("--hold", help="No call keeps the position.")]
Name = Annotated[str, typer.Option(help="Start of the run folder's name.")]
ModelOut = Annotated[Path | None, typer.Option(help="The model file; by default SYMBOL.onnx.")]
BarsOut = Annotated[Path | None, typer.Option(help="Write the bars of one symbol as CSV.")]
SignalModel = Annotated[
    Path | None, typer.Option(help="The model file, or a chain's folder.", show_default=False)
]
Close = Annotated[str, typer.Option(help="When the exchange's session ends.")]
Timezone = Annotated[str, typer.Option(help="The exchange's time.")]
ModelFile = Annotated[Path, typer.Argument(help="A model file.")]


def was_typed(context: typer.Context, name: str) -> bool:
    """Return whether an option was given on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
