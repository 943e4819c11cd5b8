"""Where the trials of a search are kept: a study in a SQLite file or another database."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..signals.errors import ExperimentError, NextbarError

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import RDBStorage

__all__ = ["open_study"]


@contextmanager
def open_study(name: str, url: str | None, folder: Path) -> Generator[Study]:
    """Open or begin the study `name` at the database `url`, or in ``folder/search.db``.

    Raises
    ------
    NextbarError
        When optuna is not installed.
    ExperimentError
        When the database is none, cannot be reached or is lost on the way. No password is shown.
    """
    optuna = _optuna()
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    path = folder / "search.db"
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        storage = _in_file(path) if url is None else _at(url)
        try:
            yield optuna.create_study(storage=storage, study_name=name, load_if_exists=True)
        finally:
            storage.remove_session()
            storage.engine.dispose()
    except (SQLAlchemyError, StorageInternalError, sqlite3.Error, _UnusableError) as error:
        # Not chained: drivers repeat the URL, and with it the password.
        raise _unusable(error, url, path) from None
    finally:
        optuna.logging.set_verbosity(verbosity)


class _UnusableError(Exception):
    """A storage that cannot be opened, for a reason that is safe to show."""


def _optuna() -> Any:
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise NextbarError(
            f"a search needs {error.name}, which is not installed: pip install 'nextbar[train]'."
        ) from error
    return optuna


def _in_file(path: Path) -> RDBStorage:
    from optuna.storages import RDBStorage

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _UnusableError(error.strerror or str(error)) from error
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA schema_version")
    # A path may hold characters that mean something in a URL.
    return RDBStorage("sqlite://", {"creator": partial(sqlite3.connect, path)})


def _at(url: str) -> RDBStorage:
    from optuna.storages import RDBStorage
    from sqlalchemy import create_engine, inspect
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    if set(url) & set("{}"):
        raise _UnusableError("braces in a URL are written %7B and %7D")
    try:
        engine = create_engine(url)
    except NoSuchModuleError as error:
        raise _UnusableError("there is no such kind of database") from error
    except ImportError as error:
        raise _UnusableError(f"its driver {error.name or ''} is not installed") from error
    except (ArgumentError, ValueError) as error:
        raise _UnusableError("it is no database URL such as postgresql://host/name") from error
    try:
        # When it cannot be used, optuna would leave it open.
        inspect(engine).get_table_names()
    finally:
        engine.dispose()
    try:
        return RDBStorage(url)
    except RuntimeError as error:  # of another version of optuna
        raise _UnusableError(str(error)) from error


def _unusable(error: Exception, url: str | None, path: Path) -> ExperimentError:
    """Return the error for the caller: where, why in short, and what to do."""
    # optuna hides the cause behind a guess of its own.
    cause = error.__cause__ or error if type(error).__name__ == "StorageInternalError" else error
    reason = str(getattr(cause, "orig", None) or cause)
    if url is None:
        where = str(path)
        remedy = "Name a folder you may write to, or move this file away to begin anew."
    else:
        where, reason = _shown(url, reason, own=isinstance(error, _UnusableError))
        remedy = "Correct storage, or leave it out to keep the search in a file of its folder."
    line = (reason.strip().splitlines() or [type(cause).__name__])[0].rstrip(".")
    return ExperimentError(f"the search cannot be kept at {where}: {line}. {remedy}")


def _shown(url: str, reason: str, *, own: bool) -> tuple[str, str]:
    """Return `url` without user, password and options, and `reason` without them too.

    Where it is not certain which part is the password, the kind of database is all that is shown.
    """
    from sqlalchemy.engine import make_url

    kind, found, _ = url.partition("://")
    hidden = f"{kind}://..." if found and "@" not in kind else "a URL without a kind of database"
    try:
        parts = make_url(url)
    except Exception:
        return hidden, reason if own else "it is no database URL"
    if "@" in f"{parts.host}{parts.database}":
        return hidden, reason if own else "it cannot be reached, and its password holds an '@'"
    query = [text for values in parts.query.values() for text in _texts(values)]
    for secret in (parts.password, *query):
        if secret and not own:
            reason = reason.replace(str(secret), "***")
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.drivername}://{parts.host or ''}{port}/{parts.database or ''}", reason


def _texts(values: str | tuple[str, ...]) -> tuple[str, ...]:
    return (values,) if isinstance(values, str) else values
