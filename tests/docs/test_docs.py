"""What the documentation shows runs, and what it says about the code is current."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def blocks(page: Path) -> str:
    """All Python of a page, as one program: later blocks go on where earlier ones ended."""
    return "\n".join(re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
def test_code_on_the_page_runs(page: Path, tmp_path: Path) -> None:
    done = run(["-c", blocks(page)], tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_example_runs(example: Path, tmp_path: Path) -> None:
    done = run([str(example)], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_engine_by_hand_equals_attribute(tmp_path: Path) -> None:
    assert "by hand equals attribute: True" in run([str(ROOT / "examples" / "04_engine_by_hand.py")], tmp_path).stdout


def test_generated_pages_are_current(tmp_path: Path) -> None:
    done = run([str(ROOT / "docs" / "generate.py"), "--check"], tmp_path)
    assert done.returncode == 0, done.stderr


def test_every_decision_is_listed() -> None:
    listed = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs" / "decisions").glob("0*.md"):
        assert page.name in listed


def test_no_page_links_to_a_missing_file() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+?)\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Python in a fresh process, with warnings as errors."""
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
