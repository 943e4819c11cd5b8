"""The error classes. Every message says what was expected, what was found and how to mend it."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from difflib import get_close_matches

__all__ = [
    "BarsError",
    "ExperimentError",
    "InSampleError",
    "ModelError",
    "NextbarError",
    "SourceError",
    "did_you_mean",
    "error_prefix",
]


class NextbarError(ValueError):
    """Bad input that the caller can mend; the base of all errors raised on purpose."""


class BarsError(NextbarError):
    """A price history that breaks the OHLCV contract."""


class SourceError(NextbarError):
    """Bars could not be fetched or read: file, symbol, key, network or cache."""


class ModelError(NextbarError):
    """A model file that is not what its card says, or does not fit the bars it is given."""


class InSampleError(NextbarError):
    """A model was asked for calls on bars it was trained on."""


class ExperimentError(NextbarError):
    """A configuration that contradicts itself, or a run that cannot be written."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the known name nearest to `name`, else all known names.

    Case is ignored. The result starts with a space, ready to be appended to a sentence.
    """
    choices = {choice.lower(): choice for choice in sorted(known)}
    close = get_close_matches(name.lower(), choices, n=1)
    if close:
        return f" Did you mean {choices[close[0]]!r}?"
    return f" Known: {', '.join(choices.values())}."


@contextmanager
def error_prefix(where: str) -> Generator[None]:
    """Say in nextbar's errors of the body what they are about."""
    try:
        yield
    except NextbarError as error:
        raise type(error)(f"{where}: {error}") from error
