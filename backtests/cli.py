"""The command line: one command for each thing that people do."""

from __future__ import annotations

import sys
import warnings
from functools import partial
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from . import audit_command, commands, compare_command, console, recipe_command
from .failures import exit_after

__all__ = ["app", "main"]

COMMANDS = {
    compare_command.demo: "nextbar demo",
    compare_command.compare: "nextbar compare AAPL MSFT --source yahoo --start 2005-01-01",
    recipe_command.recipes: recipe_command.EXAMPLE,
    audit_command.audit: audit_command.EXAMPLE,
    commands.train: "nextbar train AAPL --test-start 2010-01-01 --out aapl.onnx",
    commands.bars: "nextbar bars AAPL --source yahoo --out aapl.csv",
    commands.signal: "nextbar signal AAPL --model aapl.onnx --source yahoo --json",
    commands.inspect: "nextbar inspect aapl.onnx",
}
"""Each command and its example."""

_state = {"debug": False}


class Commands(TyperGroup):
    """All commands: whatever goes wrong in one becomes a line and an exit code."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run the command that is named, show help when none is, and exit."""
        _state["debug"] = False
        if not options.get("args", sys.argv[1:]):
            options["args"] = ["--help"]
        exit_after(partial(super().main, *args, **options | {"standalone_mode": False}), _state)


app = typer.Typer(
    name="nextbar",
    cls=Commands,
    help="Would an LSTM's up/down calls have made more money than an EMA cross or momentum?",
    epilog="Start with: nextbar demo",
    add_completion=False,
    pretty_exceptions_enable=False,
)
for body, example in COMMANDS.items():
    app.command(epilog=f"Example: {example}")(body)


def main() -> None:
    """Run the command line."""
    warnings.showwarning = console.show_warning
    app()


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
