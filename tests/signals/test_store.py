"""Files whole or not at all."""

from __future__ import annotations

import math
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nextbar.signals.errors import ExperimentError, did_you_mean
from nextbar.signals.store import canonical_json, digest, write_atomic


def test_writes_and_makes_folders(tmp_path: Path) -> None:
    write_atomic(path := tmp_path / "a" / "b.txt", "grün")
    assert path.read_text(encoding="utf-8") == "grün"
    write_atomic(path, b"\x00\x01")
    assert path.read_bytes() == b"\x00\x01"
    assert [file.name for file in path.parent.iterdir()] == ["b.txt"]


def test_takes_the_usual_permissions(tmp_path: Path) -> None:
    (plain := tmp_path / "plain").write_text("x")
    write_atomic(path := tmp_path / "atomic", "x")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_a_failure_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomic(path := tmp_path / "file", "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ExperimentError, match=r"write .*file: No space left on device\. Free"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ExperimentError, match="cannot write"):
        write_atomic(tmp_path / "file" / "below", "x")


@given(st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False)))
def test_equal_values_are_equal_text(value: dict[str, float]) -> None:
    backwards = dict(reversed(list(value.items())))
    assert canonical_json(value) == canonical_json(backwards)


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        canonical_json({"x": math.nan})


def test_digest_is_sha256() -> None:
    # FIPS 180-2, appendix B.1: the digest of "abc".
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digest("abc") == digest(b"abc") == known


def test_did_you_mean() -> None:
    assert did_you_mean("appl", ["AAPL", "MSFT"]) == " Did you mean 'AAPL'?"
    assert did_you_mean("zzz", ["b", "a"]) == " Known: a, b."
