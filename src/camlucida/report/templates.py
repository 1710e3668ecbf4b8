"""From a template and what stands in it to a page that needs nothing else."""

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
    """A template, style sheet or script that lies beside this file."""
    return ASSETS.joinpath(name).read_text(encoding="utf-8")


def _escape_invisible(value: Any) -> Any:
    """Return text, also such as is HTML already, without characters that nobody sees but that turn its direction."""
    return type(value)(printable(value)) if isinstance(value, str) else value


def write_page(path: Path, template: str, content: Mapping[str, Any]) -> Path:
    """Write one HTML page; whatever stands in it is escaped."""
    jinja = need("jinja2", extra="analysis", what="writing a report")
    environment = jinja.Environment(
        loader=jinja.FunctionLoader(read_asset),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja.StrictUndefined,
        finalize=_escape_invisible,
    )
    text = environment.get_template(template).render(**content, style=read_asset("style.css"))
    atomic_write(path, text)
    return path
