"""Rendering of templates to self-contained HTML pages."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from camlucida._escaping import printable
from camlucida._files import atomic_write
from camlucida._optional import need

ASSETS = files("camlucida.report")


def read_asset(name: str) -> str:
    """Return the text of a template, style sheet or script in this package."""
    return ASSETS.joinpath(name).read_text(encoding="utf-8")


STYLE = "\n".join(read_asset(name) for name in ("style.css", "forest.css"))
"""The style sheet of every report."""


def _escape_invisible(value: Any) -> Any:
    """Escape invisible characters and bidirectional marks in text and in markup."""
    return type(value)(printable(value)) if isinstance(value, str) else value


def write_page(path: Path, template: str, content: Mapping[str, Any]) -> Path:
    """Render a template to an HTML file; all values are escaped.

    Args:
        path: The HTML file to write.
        template: The name of the template.
        content: The variables of the template.

    Returns:
        The path.

    Raises:
        MissingExtra: If jinja2 is not installed.
    """
    jinja = need("jinja2", extra="analysis", what="writing a report")
    environment = jinja.Environment(
        loader=jinja.FunctionLoader(read_asset),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja.StrictUndefined,
        finalize=_escape_invisible,
    )
    text = environment.get_template(template).render(**content, style=STYLE)
    atomic_write(path, text)
    return path
