"""The audit of a served model: does it say what the trained one said, in any batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...signals.arrays import Float32Array, FloatArray
from .findings import AuditReport, Finding, make_report

__all__ = ["audit_scorers"]

Judged = tuple[int, list[Finding]]

SKEW = 1e-5
"""Largest difference of probabilities between two runtimes."""


def audit_scorers(
    reference: Callable[[Float32Array], Any],
    served: Callable[[Float32Array], Any],
    windows: Float32Array,
    *,
    name: str = "model",
) -> AuditReport:
    """Check that the served model is the trained one, in batches and alone.

    Parameters
    ----------
    reference, served
        Two scorers, such as Keras and ONNX: windows of shape (n, window, fields) to (n,).
    windows : ndarray of shape (n, window, fields), float32
    """
    trained, batch = _flat(reference(windows)), _flat(served(windows))
    alone = np.concatenate([_flat(served(windows[i : i + 1])) for i in range(len(windows))])
    mixing = "the batch is normalised as a whole: use statistics that are stored in the model"
    skew = "the export lost or added a step: compare layer by layer, features first"
    checks = {
        "skew": _pairs("skew", "train-serve-skew", trained, alone, skew),
        "batches": _pairs("batches", "batch-mixing", batch, alone, mixing),
    }
    return make_report(name, "model", {"bars": len(windows)}, checks)


def _flat(scores: Any) -> FloatArray:
    return np.asarray(scores, np.float64).reshape(-1)


def _pairs(check: str, name: str, first: FloatArray, second: FloatArray, cause: str) -> Judged:
    apart = np.abs(first - second)
    apart[np.isnan(first) & np.isnan(second)] = 0.0
    rows = np.flatnonzero(~(apart <= SKEW))
    if not len(rows):
        return len(first), []
    worst = int(rows[np.nanargmax(apart[rows])]) if np.isfinite(apart[rows]).any() else int(rows[0])
    pair = float(first[worst]), float(second[worst])
    return len(first), [Finding(check, name, "leak", f"score: window {worst}", None, pair, cause)]
