"""Tensorflow made quiet, deterministic and single-threaded, before anything uses it."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from ..signals.errors import NextbarError

__all__ = ["tensorflow"]


@cache
def tensorflow() -> Any:
    """Import tensorflow once and return it, on one CPU thread with deterministic operations.

    One thread, because the weights of large layers depend on the number of threads.

    Raises
    ------
    NextbarError
        When the extra ``[train]`` is not installed, or the process has used tensorflow with other
        settings before.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    try:
        with _quiet():
            import tensorflow as tf
            import tf2onnx as _  # noqa: F401
    except ModuleNotFoundError as error:
        raise NextbarError(
            f"training needs {error.name}, which is not installed: pip install 'nextbar[train]'."
        ) from error
    try:
        tf.config.set_visible_devices([], "GPU")
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError as error:
        raise NextbarError(
            "tensorflow was used in this process before with more than one thread, so the training"
            " would not repeat exactly. Train in a new process."
        ) from error
    tf.config.experimental.enable_op_determinism()
    return tf


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what native code writes to standard error; show it if the body fails."""
    sys.stderr.flush()
    keep = os.dup(2)
    with tempfile.TemporaryFile() as noise:
        os.dup2(noise.fileno(), 2)
        try:
            yield
        except BaseException:
            noise.seek(0)
            os.write(keep, noise.read())
            raise
        finally:
            os.dup2(keep, 2)
            os.close(keep)
