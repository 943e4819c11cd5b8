"""Every leak is found by its name, no clean twin leaks, and the documented table is this one."""

from __future__ import annotations

from pathlib import Path

import pytest

from .mutants import DOCS, MUTANTS, Mutant, documented, table_row


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.title)
def test_a_leak_is_found_by_name_and_its_twin_is_clean(mutant: Mutant, tmp_path: Path) -> None:
    leaky, clean = mutant.leaky(tmp_path), mutant.clean(tmp_path)
    found = {finding.name: finding for finding in leaky.findings}
    assert mutant.expected in found, sorted(found)
    assert found[mutant.expected].grade == mutant.grade
    assert not clean.leaks
    assert mutant.expected not in {finding.name for finding in clean.findings}
    assert table_row(mutant, leaky, clean) in documented(DOCS.read_text("utf-8")).splitlines()


def test_the_documented_table_has_no_other_rows() -> None:
    assert len(documented(DOCS.read_text("utf-8")).splitlines()) == len(MUTANTS) + 2
