"""Who may import whom, what stays out of a plain import, and what the packages must list."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("signals", "strategies", "training", "backtests")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

ALLOWED = {
    "signals": {"signals"},
    "strategies": {"signals", "strategies"},
    "training": {"signals", "training"},
    "backtests": {"signals", "strategies", "training", "backtests"},
}
LIGHT = {
    "training.config",
    "training.labels",
    "training.rivals",
    "training.search_space",
    "training.splits",
}
"""What backtests may import from training at module level; the rest brings tensorflow."""

ONLY_IN = {
    "onnxruntime": {"signals/model.py"},
    "yfinance": {"signals/sources/yahoo.py"},
    "keras": {"training"},
    "tensorflow": {"training"},
    "optuna": {"training"},
    "tf2onnx": {"training"},
    "numba": {"backtests/kernel.py"},
    "plotly": {"backtests/report"},
    "jinja2": {"backtests/report"},
    "typer": {"backtests/audit_command.py", "backtests/cli.py", "backtests/options.py"},
    "arch": {"backtests/evidence.py", "backtests/evidence/"},
    "statsmodels": {"backtests/evidence.py", "backtests/evidence/", "training/forecasters.py"},
    "purgedcv": {"backtests/evidence.py", "backtests/evidence/"},
    "sklearn": {"backtests/evidence.py", "backtests/evidence/", "training"},
}


def imports(path: Path) -> list[tuple[str, bool]]:
    """Return the absolute names imported by a module, and whether at its top level."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = path.relative_to(ROOT).parts[:-1]
    lazy = {
        id(node)
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef) or _is_type_checking(outer)
        for node in ast.walk(outer)
    }
    found: list[tuple[str, bool]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) not in lazy) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{name}.{alias.name}" for alias in node.names] if not node.module else [name]
            found += [(name, id(node) not in lazy) for name in names]
    return found


def _is_type_checking(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and (node.test.id == "TYPE_CHECKING")
    )


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_way_of_the_data(path: Path) -> None:
    home = path.relative_to(ROOT).parts[0]
    where = path.relative_to(ROOT).as_posix()
    for name, at_top in imports(path):
        first = name.split(".")[0]
        assert first != "nextbar", f"{where}: imports inside the packages are relative"
        if first in PACKAGES:
            assert first in ALLOWED[home], f"{where} imports {name}"
            if home == "backtests" and first == "training" and at_top:
                assert name in LIGHT, f"{where} imports {name} at module level"
        if first in ONLY_IN:
            homes = ONLY_IN[first]
            assert any(where.startswith(home) for home in homes), f"{where} imports {name}"


@pytest.mark.parametrize("package", ["signals", "strategies", "backtests", "training"])
def test_plain_imports_stay_light(package: str) -> None:
    code = (
        f"import sys, nextbar.{package} as package;"
        "[getattr(package, name) for name in package.__all__ if package.__name__ !="
        " 'nextbar.training'];"
        "print(sorted({'tensorflow', 'keras', 'tf2onnx', 'yfinance', 'plotly'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.anchor
    )
    assert done.stdout.strip() == "[]"


def test_every_package_is_installed() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = config["tool"]["setuptools"]["packages"]
    folders = {path.parent for path in MODULES}
    expected = {"nextbar." + ".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert set(listed) == expected
    mapping = config["tool"]["setuptools"]["package-dir"]
    assert {name: "/".join(name.split(".")[1:]) for name in listed} == mapping


def test_public_names_are_sorted() -> None:
    for path in MODULES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
                names = ast.literal_eval(node.value)
                assert names == sorted(names, key=lambda n: (not n.isupper(), n[0].islower(), n)), (
                    path
                )


def test_type_reports_are_switched_off_only_at_the_edges() -> None:
    switch = re.compile(r"^# pyright:", re.MULTILINE)
    switched = [path for path in MODULES if switch.search(path.read_text(encoding="utf-8"))]
    edges = {path.relative_to(ROOT).as_posix() for path in switched}
    assert edges <= {
        "backtests/audit/cerebros.py",
        "backtests/engine.py",
        "backtests/evidence/calls.py",
        "backtests/kernel.py",
        "backtests/report/figures.py",
        "signals/baselines.py",
        "signals/direction.py",
        "signals/indicators.py",
        "signals/model.py",
        "signals/running.py",
        "signals/sources/yahoo.py",
        "strategies/follow.py",
        "strategies/hold.py",
        "training/backend.py",
        "training/canonical.py",
        "training/cells.py",
        "training/certify.py",
        "training/convert.py",
        "training/export.py",
        "training/features.py",
        "training/fit.py",
        "training/forecasters.py",
        "training/heads.py",
        "training/linear.py",
        "training/loop.py",
        "training/seeding.py",
        "training/networks.py",
        "training/prices.py",
        "training/rollout.py",
        "training/scalings.py",
        "training/stateful.py",
        "training/template.py",
        "training/twins.py",
    }
