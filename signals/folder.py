"""The folder of a chain: its manifest and model files, read and checked."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from .errors import ModelError, did_you_mean
from .manifest import MANIFEST_SCHEMA, Manifest
from .model import MANIFEST
from .store import digest

__all__ = ["check_digest", "content_digest", "inside", "read_manifest"]


def inside(folder: Path, name: str) -> Path:
    """Return the path of the file `name` in `folder`, or raise ModelError if it leaves it."""
    path = folder / PurePosixPath(name)
    if not path.resolve().is_relative_to(folder.resolve()) or path.resolve() == folder.resolve():
        raise ModelError(
            f"{folder}: expected files inside this folder, found {name!r}. Copy the model into it."
        )
    return path


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest in `folder`, or raise ModelError in one line."""
    path = folder / MANIFEST
    try:
        content = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelError(_missing(folder)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: cannot be read: {error}.") from error
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        first: Any = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        if field == "schema_version":
            raise ModelError(
                f"{path}: expected schema {MANIFEST_SCHEMA}, found {first['input']}. Write the"
                " chain anew with this version of nextbar."
            ) from error
        raise ModelError(f"{path}: {field or 'content'}: {first['msg']}") from error


def content_digest(path: Path) -> str:
    """Return the digest of a file that a chain names, or raise ModelError."""
    try:
        return digest(path.read_bytes())
    except OSError as error:
        raise ModelError(
            f"{path}: the chain names this file, which cannot be read: {error.strerror or error}."
            " Copy the whole folder."
        ) from error


def check_digest(found: str, expected: str, path: Path) -> None:
    """Raise ModelError if a file is not the one that the chain was written with."""
    if found != expected:
        raise ModelError(
            f"{path}: expected the file with the digest {expected[:12]}..., found {found[:12]}...:"
            " it was changed after the chain was written. Copy the whole folder, or write it anew."
        )


def _missing(folder: Path) -> str:
    near = [folder, folder.parent] if folder.is_dir() else [folder.parent]
    try:
        found = [path.parent for place in near for path in sorted(place.glob(f"*/{MANIFEST}"))]
    except OSError:
        found = []
    hint = did_you_mean(folder.name, [path.name for path in found]) if found else ""
    what = "no " + MANIFEST + " in this folder" if folder.is_dir() else "no such folder of a chain"
    return f"{folder}: {what}.{hint or ' Write one with write_chain.'}"
