"""What is written: looked at before the work, and nothing half-written left after a failure."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..signals.errors import ExperimentError

__all__ = ["check_writable", "tidy"]


def check_writable(path: Path) -> None:
    """Raise ExperimentError where a file cannot be written: better before the work than after."""
    if path.is_dir():
        raise ExperimentError(f"cannot write {path}: it is a folder. Name a file in it.")
    folder = next(parent for parent in path.absolute().parents if os.path.exists(parent))  # noqa: PTH110
    if not folder.is_dir():
        raise ExperimentError(f"cannot write {path}: {folder} is not a folder. Name another file.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ExperimentError(
            f"cannot write {path}: no permission to write in {folder}. Name another folder."
        )


@contextmanager
def tidy(folder: Path) -> Generator[None]:
    """Remove a `folder` that the body made when it fails, unless a model in it was finished.

    So are the folders above it that were made for it.
    """
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        yield
    except BaseException:
        if folder in new and not any(folder.glob("models/*.json")):
            shutil.rmtree(folder, ignore_errors=True)
        for path in new:
            with suppress(OSError):  # it is in use, or never was
                path.rmdir()
        raise
