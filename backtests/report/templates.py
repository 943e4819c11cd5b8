"""The templates of the report's pages, with the ways in which they write numbers."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from . import tables

__all__ = ["template_named"]


def template_named(name: str) -> Template:
    """Return a template; what it is given is escaped, and what it misses is an error."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(amount=tables.amount, day=tables.day, short=tables.short)
    return environment.get_template(name)
