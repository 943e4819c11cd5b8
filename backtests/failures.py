"""How a command that goes wrong ends: one line that says what to do, and an exit code."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, NoReturn

from .console import warn

__all__ = ["exit_after", "explain"]

INTERRUPTED = "interrupted; what was finished stays, the same command goes on with it."


def exit_after(run: Callable[[], Any], state: Mapping[str, bool]) -> NoReturn:
    """Exit as `run` did: 0 done, 2 bad input, 3 nextbar failed, 130 interrupted.

    Where an error came from is shown if `state` has "debug" by then.
    """
    try:
        code = run()
        message = INTERRUPTED if code == 130 else ""
    except KeyboardInterrupt:
        message, code = INTERRUPTED, 130
    except Exception as error:
        if state["debug"]:
            traceback.print_exc()
        message, code = explain(error)
    if message:
        warn(message)
    sys.exit(code)


def explain(error: Exception) -> tuple[str, int]:
    """Return the line for an error and the exit code: 2 for bad input, 3 for our own failure."""
    if hasattr(error, "format_message"):  # the parser's, which typer keeps in changing modules
        return f"error: {_usage(error)}", 2
    # Not at the top: it brings pandas, and --help must be instant.
    from ..signals.errors import NextbarError

    text = " ".join(str(error).split())
    if isinstance(error, NextbarError):
        return f"error: {text}", 2
    where = "`nextbar --debug COMMAND ...` shows where"
    return f"error: nextbar failed: {type(error).__name__}: {text} ({where})", 3


def _usage(error: Any) -> str:
    """Return what is wrong with a command line, with the nearest option for a mistyped one."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "nextbar"
    if context and hasattr(error, "possibilities"):
        known = [option for parameter in context.command.params for option in parameter.opts]
        near = get_close_matches(error.option_name, known, n=1)
        hint = f"Did you mean '{near[0]}'?" if near else f"`{path} --help` names all of them."
        return f"{path} has no option {error.option_name}. {hint}"
    if hasattr(error.__cause__, "errors"):  # newer versions of typer check values with pydantic
        from .experiment import one_line

        return f"{error.param.opts[0]}: {one_line(error.__cause__)}"
    text = " ".join(error.format_message().split())
    return text if text.endswith("?") else f"{text} `{path} --help` shows how it is used."
