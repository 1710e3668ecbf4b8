"""Every command line in the documentation is parsed by the command line interface: unknown commands or options fail."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from camlucida.cli.commands import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "sources").glob("*.md"))]


def commands(page: Path) -> list[str]:
    return re.findall(r"^\s*(?:\$ )?(?:[A-Z_]+=\S+ )*camlucida (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=lambda page: page.name)
def test_documented_commands_are_parsed(page: Path) -> None:
    for command in commands(page):
        app.parse_args(shlex.split(command, comments=True), print_error=False, exit_on_error=False)
