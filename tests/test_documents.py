"""The worked examples of docs/architectures.md run as they stand, and do what they say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from nextbar.signals import load_model
from nextbar.training import TrainingConfig
from nextbar.training.choices import SCALINGS
from nextbar.training.heads import HEADS
from nextbar.training.networks import ARCHITECTURES

from .benchmarks import architectures

PAGE = (Path(__file__).parents[1] / "docs" / "architectures.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^### An? (\w+)\n.*?```python\n(.*?)```", PAGE, re.M | re.S)
SAID = {
    "architecture": r"skip 4 \d\.\d+e-\d+",
    "head": r"direction 0\.2\d+",
    "scaling": r"largest \d\.\d+e-\d+",
    "rival": r"\(\d+, 2\) 1\.0 0\.000\d+",
}
"""What each example prints."""


def test_there_is_an_example_of_each() -> None:
    assert [name for name, _ in EXAMPLES] == list(SAID)


ONE_BY_ONE = """
import sys
for name in sys.argv[1:]:
    with open(name + ".py", encoding="utf-8") as file:
        code = compile(file.read(), name + ".py", "exec")
    exec(code, {"__name__": "__main__"})
    print("-" * 9)
"""
"""Runs the examples in one process, which starts TensorFlow once, each by its own names alone."""


def test_examples_are_short_and_run(tmp_path: Path) -> None:
    for name, code in EXAMPLES:
        assert code.count("\n") < 30
        (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ONE_BY_ONE, *SAID],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    printed = done.stdout.split("-" * 9 + "\n")[:-1]
    for (name, pattern), text in zip(SAID.items(), printed, strict=True):
        assert re.fullmatch(pattern, text.strip()), (name, text)
    for path in tmp_path.glob("*.onnx"):  # a file of a head or scaling that is not known here
        assert load_model(path).card.certificate.flipped_calls == 0


@pytest.mark.parametrize(
    ("field", "registry"),
    [("architecture", ARCHITECTURES), ("head", HEADS), ("scaling", SCALINGS)],
)
def test_a_registered_name_is_known_and_listed(
    field: str, registry: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in registry:
        assert f"`{name}`" in PAGE
    first = next(iter(registry))
    with pytest.raises(ValueError, match=f"{field}\n.*unknown 'mine'"):
        TrainingConfig(**{field: "mine"})
    monkeypatch.setitem(registry, "mine", registry[first])
    units = (4,)
    assert getattr(TrainingConfig(units=units, **{field: "mine"}), field) == "mine"
    with pytest.raises(ValueError, match="Did you mean 'mine'"):
        TrainingConfig(**{field: "mein"})


def test_the_table_is_the_commands() -> None:
    begin, end = architectures.MARKERS
    rows = [line for line in PAGE.split(begin)[1].split(end)[0].splitlines() if "|" in line]
    names = [row.split("|")[1].strip() for row in rows[2:]]
    assert names == list(architectures.CASES)
    assert "python -m tests.benchmarks.architectures --write" in PAGE


def test_a_page_without_markers_is_refused() -> None:
    begin, end = architectures.MARKERS
    assert architectures.placed(f"a\n{begin}old\n{end}\nb", "new\n") == f"a\n{begin}new\n{end}\nb"
    with pytest.raises(SystemExit, match="found them 0 times"):
        architectures.placed("a page", "new")


@pytest.mark.parametrize("name", architectures.CASES)
def test_cases_are_configs(name: str) -> None:
    config = architectures.config_of(architectures.CASES[name], architectures.FULL)
    assert config.window == architectures.FULL.window
    assert len(config.columns) == (50 if "rollout" in name else "forecast" in name)
