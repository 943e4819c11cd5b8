"""Tensorflow made quiet, and for training also deterministic and single-threaded."""

# pyright: reportMissingTypeStubs=false, reportMissingModuleSource=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from typing import Any

from ..signals.errors import NextbarError

__all__ = ["repeatable_tensorflow", "tensorflow"]


@cache
def tensorflow() -> Any:
    """Import tensorflow, keras and tf2onnx without a word on the terminal; return tensorflow.

    Raises
    ------
    NextbarError
        When the extra ``[train]`` is not installed, or keras runs on another backend.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"  # the default, said aloud: it changes the weights
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "tensorflow"
    try:
        with _quiet():
            import keras
            import tensorflow as tf
            import tf2onnx as _  # noqa: F401
    except ModuleNotFoundError as error:
        raise NextbarError(
            f"training needs {error.name}, which is not installed: pip install 'nextbar[train]'."
        ) from error
    if keras.backend.backend() != "tensorflow":
        raise NextbarError(
            f"expected keras on tensorflow, found it on {keras.backend.backend()}."
            " Set KERAS_BACKEND=tensorflow before keras is imported."
        )
    return tf


@cache
def repeatable_tensorflow() -> Any:
    """Return tensorflow on one CPU thread with deterministic operations.

    One thread, because the weights of large layers depend on the number of threads.

    Raises
    ------
    NextbarError
        As `tensorflow` does, and when the process has used tensorflow with other settings before.
    """
    tf = tensorflow()
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
    tf.get_logger().setLevel("ERROR")  # it warns of every network after the fifth
    return tf


@contextmanager
def _quiet() -> Generator[None]:
    """Hold back what native code writes to standard error; show it if the body fails."""
    sys.stderr.flush()
    keep = os.dup(2)
    with tempfile.TemporaryFile() as noise:
        os.dup2(noise.fileno(), 2)
        try:
            yield
        except Exception:
            noise.seek(0)
            os.write(keep, noise.read())
            raise
        finally:
            os.dup2(keep, 2)
            os.close(keep)
