"""From what people name to something that can be run on bars: classes, functions, models."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import sys
import traceback
import warnings
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd

from ...signals.baselines import RuleDirection
from ...signals.chain import load_chain
from ...signals.errors import ExperimentError, NextbarError, did_you_mean
from ...signals.indicators import indicator_of
from ...signals.model import MANIFEST
from .cerebros import indicator_program, is_cerebro, kind_of, run_program, strategy_program
from .functions import run_function
from .settings import check_settings
from .traces import Trace

__all__ = ["Target", "TargetCrashError", "as_target", "find_target", "settle_kind"]


class TargetCrashError(Exception):
    """What is audited raised an error of its own: that is never a finding."""


@dataclass(frozen=True)
class Target:
    """Something to audit: `run` gives its trace on bars."""

    name: str
    kind: str
    """strategy, indicator, model, chain, cerebro or function."""
    program: Callable[[pd.DataFrame], Any]

    @property
    def has_modes(self) -> bool:
        """Whether backtrader runs it."""
        return self.kind != "function"

    def run(self, frame: pd.DataFrame, check: str, **mode: Any) -> Trace:
        """Return the trace of a fresh run on a copy of `frame`; it prints and warns nothing.

        Raises
        ------
        TargetCrashError
            For an error of the target's own, with `check` and the error's last line.
        NextbarError
            As raised by the parts of nextbar that the target uses.
        """
        frame = frame.copy()
        try:
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")
                if self.has_modes:
                    return run_program(self.program, frame, **mode)
                return run_function(self.program, frame)
        except NextbarError:
            raise
        except (Exception, SystemExit) as error:
            raise TargetCrashError(
                f"{self.name} crashed in the check '{check}' on {len(frame)} bars:"
                f" {last_line(error)}{_hint(error)}"
            ) from error


def _hint(error: BaseException) -> str:
    if isinstance(error, IndexError) and "array index" in str(error):
        return "; to read past the last bar, as close[1] does, would be a look ahead"
    return ""


def last_line(error: BaseException) -> str:
    """Return kind and text of an error and the line that raised it, not one of backtrader's."""
    places = traceback.extract_tb(error.__traceback__)
    ours = str(Path(__file__).parent)
    own = [p for p in places if "backtrader" not in p.filename and ours not in p.filename]
    place = (own or places)[-1]
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text} ({Path(place.filename).name}, line {place.lineno})"


def as_target(thing: Any, params: Mapping[str, Any] | None = None, name: str = "") -> Target:
    """Return the target for a strategy or indicator class, or a function on bars.

    A function gets a frame of bars. It returns a Series, a frame or an array of features, a row
    for each bar; or a Cerebro that has those bars as its first feed.

    Raises
    ------
    ExperimentError
        For anything else, or a setting that it does not have.
    """
    params = dict(params or {})
    kind = kind_of(thing)
    name = name or getattr(thing, "__name__", type(thing).__name__)
    if kind is None and (isinstance(thing, type) or not callable(thing)):
        found = "a class of its own" if isinstance(thing, type) else f"a {type(thing).__name__}"
        raise ExperimentError(
            f"{name}: expected a subclass of bt.Strategy or bt.Indicator, or a function on bars;"
            f" found {found}."
        )
    check_settings(thing, params, name)
    if kind == "strategy":
        return Target(name, kind, strategy_program(thing, params))
    if kind == "indicator":
        return Target(name, kind, indicator_program(thing, params))
    return Target(name, "function", partial(thing, **params) if params else thing)


def settle_kind(target: Target, frame: pd.DataFrame) -> Target:
    """Return the target itself, or, for a function that builds a Cerebro, a target of that kind."""
    if target.kind != "function":
        return target
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            made = target.program(frame.copy())
    except (Exception, SystemExit) as error:
        if isinstance(error, NextbarError):
            raise
        raise TargetCrashError(
            f"{target.name} crashed on {len(frame)} bars: {last_line(error)}"
        ) from error
    return Target(target.name, "cerebro", target.program) if is_cerebro(made) else target


def find_target(text: str, params: Mapping[str, Any] | None = None) -> Target:
    """Return what is named: a model file, a chain folder, FILE.py:NAME or PACKAGE.MODULE:NAME.

    Raises
    ------
    ExperimentError
        When there is no such file, module or name, or it does not import.
    ModelError
        For a model file that is damaged.
    """
    path = Path(text)
    if path.suffix == ".onnx" or (path / MANIFEST).is_file():
        return _of_model(path, dict(params or {}))
    if path.is_dir():
        raise ExperimentError(
            f"{text}: a folder without {MANIFEST}. Name a model file in it, or a class as"
            " FILE.py:CLASS."
        )
    where, colon, name = text.rpartition(":")
    if not colon or not name.isidentifier():
        source = text.rstrip(":")
        hint = f" {source} has: {', '.join(_names(_import(source)))}." if _is_file(source) else ""
        raise ExperimentError(
            f"{text}: expected a model file (.onnx), FILE.py:NAME or MODULE:NAME.{hint}"
        )
    module = _import(where)
    if not hasattr(module, name):
        raise ExperimentError(f"{where} has no {name!r}.{did_you_mean(name, _names(module))}")
    return as_target(getattr(module, name), params, name)


def _of_model(path: Path, params: dict[str, Any]) -> Target:
    """Return the target for a model file or a chain; a damaged one is refused here."""
    kind = "chain" if path.is_dir() else "model"
    if path.is_dir() and load_chain(path).rules:
        signal, named = RuleDirection, "chain"
    else:
        # As in a comparison: a line `share` says how much of the account a position takes.
        signal, named = indicator_of(path), "model"
    check_settings(signal, params, path.name)
    make = indicator_program(signal, {named: path, **params})
    return Target(path.name, kind, make)


def _is_file(text: str) -> bool:
    return text.endswith(".py") and Path(text).is_file()


def _names(module: ModuleType) -> list[str]:
    """Return what can be audited in a module, or all of its public names if nothing can."""
    public = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    own = [
        name
        for name, value in public.items()
        if kind_of(value) or getattr(value, "__module__", None) == module.__name__
    ]
    return sorted(own or public)


def _import(where: str) -> ModuleType:
    if where.endswith(".py") and not Path(where).is_file():
        folder = Path(where).parent
        near = [file.name for file in folder.glob("*.py")] if folder.is_dir() else []
        hint = did_you_mean(Path(where).name, near) if near else " Check its name."
        raise ExperimentError(f"{where}: no such file.{hint}")
    folder = Path(where).resolve().parent if where.endswith(".py") else Path.cwd()
    try:
        with _importable(folder), contextlib.redirect_stdout(io.StringIO()):
            return _from_file(Path(where)) if _is_file(where) else importlib.import_module(where)
    except (Exception, SystemExit) as error:
        raise ExperimentError(f"{where} does not import: {last_line(error)}.") from error


@contextlib.contextmanager
def _importable(folder: Path) -> Generator[None]:
    """Let modules of `folder` be imported for a while, as when a script there is run."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _from_file(path: Path) -> ModuleType:
    # A name of its own: a user's `signals.py` must not take the place of another module.
    name = f"nextbar_audited_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # backtrader and dataclasses look classes up there
    spec.loader.exec_module(module)
    return module
