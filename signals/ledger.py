"""The trial ledger: what was ever tried, one line each, so that a lucky find can be discounted.

Every line holds the digest of the line before it, and a small file beside the ledger holds the
number of lines and the last digest: a line that was edited, cut out or cut off is found. That
guards against accidents and quiet editing, not against somebody who rewrites both files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from .errors import ExperimentError
from .store import canonical_json, digest, write_atomic

__all__ = ["append_trial", "read_trials"]

Trial = dict[str, Any]


def read_trials(path: str | Path) -> list[Trial]:
    """Return all trials in the order in which they were written; none where there is no ledger.

    Raises
    ------
    ExperimentError
        When a line is no JSON, was changed, or is missing: the message names the line.
    """
    path = Path(path)
    lines, head = _lines(path), _head(path)
    trials: list[Trial] = []
    before = ""
    for number, line in enumerate(lines, start=1):
        entry = _entry(line)
        if entry is None or entry.pop("before", None) != before:
            raise _broken(path, f"line {number} was changed, or one before it is missing")
        before = digest(line)
        trials.append(entry)
    # A crash may come between the two files: then the ledger is one good line ahead.
    ahead = len(lines) - int(head["lines"])
    known = digest(lines[-1 - ahead]) if 0 <= ahead < len(lines) else ""
    if ahead not in (0, 1) or known != head["last"]:
        raise _broken(path, f"expected {head['lines']} lines, found {len(lines)}")
    return trials


def append_trial(path: str | Path, trial: Mapping[str, Any]) -> list[Trial]:
    """Write `trial` at the end unless one with its ``id`` is there already; return all trials.

    Only one process may write at a time. The line is complete on disk before this returns.
    """
    path = Path(path)
    trials = read_trials(path)
    lines = _lines(path)
    if all(known["id"] != trial["id"] for known in trials):
        before = digest(lines[-1]) if lines else ""
        lines.append(canonical_json({**trial, "before": before}))
        write_atomic(path, "".join(f"{line}\n" for line in lines))
        trials.append(dict(trial))
    if lines:
        state = {"lines": len(lines), "last": digest(lines[-1])}
        write_atomic(_head_path(path), canonical_json(state))
    return trials


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise _broken(path, "it cannot be read as text") from error
    if text and not text.endswith("\n"):
        raise _broken(path, "its last line was cut")
    return text.splitlines()


def _entry(line: str) -> Trial | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    known = cast("Trial", entry) if isinstance(entry, dict) else {}
    return known if "id" in known and "kind" in known else None


def _head(path: Path) -> dict[str, Any]:
    try:
        head = json.loads(_head_path(path).read_text(encoding="utf-8"))
        return {"lines": int(head["lines"]), "last": str(head["last"])}
    except (FileNotFoundError, NotADirectoryError):
        return {"lines": 0, "last": ""}
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise _broken(path, f"{_head_path(path).name} was changed") from error


def _head_path(path: Path) -> Path:
    return path.with_suffix(".head")


def _broken(path: Path, what: str) -> ExperimentError:
    return ExperimentError(
        f"{path}: the trial ledger was edited or cut: {what}. Without it nobody knows how often"
        " was tried: restore it from a copy, or name another folder with --runs and say that its"
        " count starts anew."
    )
