"""Asking a server more than once, with pauses that grow."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ..errors import SourceError

__all__ = ["TransientError", "with_retries"]

T = TypeVar("T")

ATTEMPTS = 4
FIRST_WAIT = 1.0  # seconds; doubles with each attempt
LONGEST_WAIT = 20.0


class TransientError(SourceError):
    """A failure that may pass: no connection, a time-out, a server error."""


def with_retries(call: Callable[[], T]) -> T:
    """Return ``call()``, tried again after a `TransientError`; the last one is raised."""
    # Imported here: loading a file or the sample should not pay for it.
    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

    attempts = Retrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential(multiplier=FIRST_WAIT, max=LONGEST_WAIT),
        retry=retry_if_exception_type(TransientError),
        reraise=True,
    )
    return attempts(call)
