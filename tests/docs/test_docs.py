"""The Python code of the documentation runs, generated pages are current, and links lead to existing files."""

from __future__ import annotations

import multiprocessing
import re
import runpy
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "sources").glob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["torch", "torchvision"])

START = """
import os, runpy, sys, warnings

os.chdir({folder!r})
sys.stdout, sys.stderr = (open(output, "w", encoding="utf-8") for output in {outputs!r})
sys.argv, sys.path[0] = {arguments!r}, os.path.dirname({arguments!r}[0])
warnings.simplefilter("error")
runpy.run_path(sys.argv[0], run_name="__main__")
"""


class Finished(NamedTuple):
    """What a program left."""

    returncode: int | None
    stdout: str
    stderr: str


def blocks(page: Path) -> str:
    """Return all Python blocks of a page as one program: later blocks use the names of earlier ones."""
    return "\n".join(re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
def test_documented_code_runs(page: Path, tmp_path: Path) -> None:
    program = tmp_path / "page.py"
    program.write_text(blocks(page), encoding="utf-8")
    process = run([str(program)], tmp_path)
    assert process.returncode == 0, process.stderr


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_example_runs(example: Path, tmp_path: Path) -> None:
    process = run([str(example)], tmp_path)
    assert process.returncode == 0, process.stderr
    assert process.stdout.strip()


def test_engine_by_hand_equals_attribute(tmp_path: Path) -> None:
    assert "by hand equals attribute: True" in run([str(ROOT / "examples" / "04_engine_by_hand.py")], tmp_path).stdout


def test_generated_page_is_current(tmp_path: Path) -> None:
    process = run([str(ROOT / "docs" / "generate.py"), "--check"], tmp_path)
    assert process.returncode == 0, process.stderr


def test_every_decision_is_listed() -> None:
    listed = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs" / "decisions").glob("0*.md"):
        assert page.name in listed


def test_decision_numbers_are_unique_and_without_gaps() -> None:
    numbers = sorted(int(page.name[:4]) for page in (ROOT / "docs" / "decisions").glob("0*.md"))
    assert numbers == list(range(1, len(numbers) + 1))


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        assert f" {page.relative_to(ROOT / 'docs').as_posix()}\n" in navigation, page.name


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 1_050


def test_no_page_links_to_a_missing_file() -> None:
    for page in [*PAGES, *sorted((ROOT / "docs" / "decisions").glob("*.md"))]:
        for target in re.findall(r"\]\(([^)#]+?)\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def run(arguments: list[str], folder: Path) -> Finished:
    """Run a file in another process, with warnings as errors, and with PyTorch imported, which takes seconds.

    Nothing of Camlucida is imported in it before, and its folder, arguments and output are its own.
    """
    with tempfile.TemporaryDirectory() as name:
        start, outputs = Path(name, "start.py"), (Path(name, "stdout"), Path(name, "stderr"))
        start.write_text(START.format(arguments=arguments, folder=str(folder), outputs=[*map(str, outputs)]))
        process = FORKS.Process(target=runpy.run_path, args=(str(start),))
        process.start()
        process.join()
        return Finished(process.exitcode, *(output.read_text(encoding="utf-8") for output in outputs))
