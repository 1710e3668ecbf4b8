"""The plans of planted bugs: every one still fits the source, and the runner tells a caught bug from a missed one."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("planted_bugs_script", ROOT / "scripts" / "planted_bugs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


script = _load()


def test_every_bug_fits_the_source() -> None:
    bugs = script.read_plans()
    assert bugs
    assert script.problems(bugs) == []


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "sum.py").write_text("def add(a, b):\n    return a + b\n")
    (tmp_path / "test_sum.py").write_text("from sum import add\n\n\ndef test_add():\n    assert add(2, 3) == 5\n")
    (tmp_path / "test_weak.py").write_text("from sum import add\n\n\ndef test_zero():\n    assert add(0, 0) == 0\n")
    return tmp_path


def _bug(**changes: object) -> object:
    fields = {"file": "sum.py", "old": "a + b", "new": "a - b", "kind": "sign", "tests": ("test_sum.py",)}
    return script.Bug("demo", 1, **({"command": ""} | fields | changes))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"old": "a * b"}, "0 times"),
        ({"old": "d", "file": "test_sum.py"}, "times, not once"),
        ({"file": "no.py"}, "is no file"),
        ({"new": "a + b"}, "the same"),
        ({"tests": ()}, "tests or a command"),
        ({"tests": ("no.py",)}, "there is no no.py"),
        ({"tests": ("test_sum.py::test_no",)}, "no test test_no"),
    ],
)
def test_a_bug_that_does_not_fit_is_named(tree: Path, changes: dict[str, object], sentence: str) -> None:
    assert any(sentence in problem for problem in script.problems([_bug(**changes)], tree))


def test_a_bug_that_fits_has_no_problem(tree: Path) -> None:
    assert script.problems([_bug(tests=("test_sum.py::test_add",))], tree) == []


@pytest.mark.parametrize(
    ("test", "new", "state"),
    [
        ("test_sum.py", "a - b", "caught"),
        ("test_weak.py", "a - b", "green"),
        ("test_sum.py", "a +", "error"),  # it cannot be imported: that shows nothing about the tests
        ("test_missing.py", "a - b", "error"),
    ],
)
def test_the_outcome_of_a_bug(tree: Path, test: str, new: str, state: str) -> None:
    (tree / "src").mkdir()
    (tree / "sum.py").rename(tree / "src" / "sum.py")
    bug = _bug(file="src/sum.py", new=new)
    source = (tree / "src" / "sum.py").read_text()
    with script.planted(bug, tree):
        assert script.run_tests(tree, (test,), "")[0] == state
    assert (tree / "src" / "sum.py").read_text() == source
