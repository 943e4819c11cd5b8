"""What is written: looked at before the work, and nothing half-written left after a failure."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..signals.errors import ExperimentError

__all__ = ["check_writable", "only_writer", "tidy"]


def check_writable(path: Path) -> None:
    """Raise ExperimentError where a file cannot be written: better before the work than after."""
    if path.is_dir():
        raise ExperimentError(f"cannot write {path}: it is a folder. Name a file in it.")
    _check_parents(path)


def _check_parents(path: Path) -> None:
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
        if folder in new and not any(folder.glob("models/*/*/*.json")):
            shutil.rmtree(folder, ignore_errors=True)
        for path in new:
            with suppress(OSError):  # it is in use, or never was
                path.rmdir()
        raise


@contextmanager
def only_writer(path: Path, wait: float = 0.0) -> Generator[None]:
    """Hold the lock ``.<name>.lock`` beside `path`; it is let go however the process ends.

    Raises
    ------
    ExperimentError
        When another process still holds it after `wait` seconds.
    """
    from filelock import FileLock, Timeout

    lock = path.parent / f".{path.name}.lock"
    _check_parents(path)
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=wait):
            try:
                yield
            finally:
                if not wait:  # somebody who waits may have it open already
                    with suppress(OSError):
                        lock.unlink()
    except Timeout as error:
        raise ExperimentError(
            f"{path}: another run is writing here. Wait for it, or name another folder with --runs."
        ) from error
