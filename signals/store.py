"""Files written whole or not at all, canonical JSON and digests."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from .errors import ExperimentError

__all__ = ["canonical_json", "digest", "write_atomic"]


def canonical_json(value: Any) -> str:
    """Return `value` as JSON with sorted keys and no spaces: equal values give equal text.

    Raises
    ------
    ValueError
        For NaN or infinity, which JSON does not know.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def digest(value: bytes | str) -> str:
    """Return the SHA-256 of `value` (text as UTF-8) as 64 hexadecimal digits."""
    return hashlib.sha256(value.encode() if isinstance(value, str) else value).hexdigest()


def write_atomic(path: str | Path, content: bytes | str) -> None:
    """Write `content` (text as UTF-8) to `path` so that a reader sees all of it or the old file.

    Missing parent folders are made. The new file is complete on disk before it takes the name.

    Raises
    ------
    ExperimentError
        When the folder cannot be written to (read-only, full, not a folder).
    """
    path = Path(path)
    data = content.encode() if isinstance(content, str) else content
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files private; take the usual permissions instead.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
        temporary = None
    except OSError as error:
        reason = error.strerror or str(error)
        raise ExperimentError(
            f"cannot write {path}: {reason}. Free space or name a folder you may write to."
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
