"""Plant known bugs one at a time and see whether the tests notice.

    python scripts/planted_bugs.py                     # every bug of scripts/planted_bugs/*.toml
    python scripts/planted_bugs.py --only cli --jobs 2 # the bugs of cli.toml, in two copies of the tree
    python scripts/planted_bugs.py --check             # only: does every bug still fit the source?

A plan is a TOML file of `[[bug]]` tables:

    file      the file that is changed, from the root of the repository
    old       text that occurs in it exactly once
    new       what replaces it
    kind      the kind of bug, in a few words
    tests     the test files or nodes (file::function) of which at least one has to fail, or
    command   a command that has to fail instead, such as "npm --prefix frontend test"

The tree is copied to a temporary folder, so nothing happens to the work tree. The chosen tests run once without any
bug: a test that fails by itself catches nothing. Exit code 1 unless every bug is caught.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).resolve().parents[1]
PLANS = Path(__file__).resolve().with_suffix("")
COPIED = (
    "src", "tests", "scripts", "examples", "docs", "benchmarks", "frontend", "pyproject.toml", "constraints.txt",
    "Makefile", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "mkdocs.yml", "LICENSE",
)  # fmt: skip
TIMEOUT_S = 900
FAILED_TESTS = 1
"""Exit code of pytest when tests ran and some failed; any other code but 0 is an error of the plan."""
FIELDS = {"file", "old", "new", "kind", "tests", "command"}


@dataclass(frozen=True)
class Bug:
    """One planted bug."""

    plan: str
    number: int
    file: str
    old: str
    new: str
    kind: str
    tests: tuple[str, ...]
    command: str

    @property
    def label(self) -> str:
        """A name for the table."""
        return f"{self.plan} {self.number} · {self.file} · {self.kind}"


@dataclass(frozen=True)
class Outcome:
    """What the tests said about a bug: caught, green (nothing failed) or error (the plan itself is wrong)."""

    bug: Bug
    state: str
    detail: str = ""


def read_plans(only: Sequence[str] = (), folder: Path = PLANS) -> list[Bug]:
    """Read the plans of the folder.

    Args:
        only: The plans to read, as names of the files without .toml; all if empty.
        folder: The folder of the plans.

    Returns:
        The bugs, in the order of the files.

    Raises:
        SystemExit: A plan is missing, or has a table with wrong fields.
    """
    if missing := sorted(set(only) - {path.stem for path in folder.glob("*.toml")}):
        raise SystemExit(f"There is no plan {', '.join(missing)} in {folder}.")
    bugs: list[Bug] = []
    for path in sorted(folder.glob("*.toml")):
        if only and path.stem not in only:
            continue
        for number, table in enumerate(tomllib.loads(path.read_text(encoding="utf-8"))["bug"], start=1):
            if set(table) - FIELDS or FIELDS - {"tests", "command"} - set(table):
                raise SystemExit(f"{path.name} {number}: the fields are {', '.join(sorted(table))}.")
            tests, command = tuple(table.pop("tests", ())), table.pop("command", "")
            bugs.append(Bug(path.stem, number, tests=tests, command=command, **table))
    return bugs


def problems(bugs: Sequence[Bug], root: Path = ROOT) -> list[str]:
    """Return why bugs do not fit the tree: text that is not there exactly once, tests that do not exist."""
    sentences = []
    for bug in bugs:
        path = root / bug.file
        count = path.read_text(encoding="utf-8").count(bug.old) if path.is_file() else -1
        if count != 1:
            what = "is no file" if count < 0 else f"holds the old text {count} times, not once"
            sentences.append(f"{bug.label}: {bug.file} {what}.")
        if bug.old == bug.new:
            sentences.append(f"{bug.label}: old and new are the same.")
        if bool(bug.tests) == bool(bug.command):
            sentences.append(f"{bug.label}: it needs tests or a command.")
        for node in bug.tests:
            file, _, function = node.partition("::")
            name = function.rpartition("::")[2].partition("[")[0]
            if not (root / file).is_file():
                sentences.append(f"{bug.label}: there is no {file}.")
            elif name and f"def {name}(" not in (root / file).read_text(encoding="utf-8"):
                sentences.append(f"{bug.label}: {file} has no test {name}.")
    return sentences


def copy_tree(target: Path) -> None:
    """Copy what the tests need; packages of the front end are linked, not copied."""
    ignore = shutil.ignore_patterns("node_modules", "__pycache__", ".*_cache", "camlucida-out")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=ignore, symlinks=True)
        elif source.is_file():
            shutil.copy2(source, target / name)
    if (modules := ROOT / "frontend" / "node_modules").is_dir():
        (target / "frontend" / "node_modules").symlink_to(modules.resolve(), target_is_directory=True)


@contextmanager
def planted(bug: Bug, tree: Path) -> Iterator[None]:
    """Plant a bug in a copy of the tree, and take it out again at the end."""
    path = tree / bug.file
    source = path.read_bytes()
    path.write_text(source.decode().replace(bug.old, bug.new), encoding="utf-8")
    try:
        yield
    finally:
        path.write_bytes(source)


def run_tests(tree: Path, tests: Sequence[str], command: str) -> tuple[str, str]:
    """Run tests or a command in a copy of the tree.

    Returns:
        The state, which is green, caught or error, and the last lines of the output.
    """
    pytest = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *tests]
    # No byte code: a file that changes twice within a second, and keeps its size, would be taken from the cache.
    variables = os.environ | {"PYTHONPATH": str(tree / "src"), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            shlex.split(command) if command else pytest,
            cwd=tree, env=variables, timeout=TIMEOUT_S, capture_output=True, text=True, errors="replace",
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return "error", f"more than {TIMEOUT_S} s"
    tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-6:])
    if done.returncode == 0:
        return "green", tail
    if not command and (done.returncode != FAILED_TESTS or "ERROR collecting" in done.stdout):
        return "error", tail
    return "caught", tail


def run_bugs(bugs: Sequence[Bug], jobs: int) -> Iterator[Outcome]:
    """Run the tests of every bug, `jobs` at a time, each in a copy of the tree; first all tests without a bug."""
    with tempfile.TemporaryDirectory(prefix="planted-bugs-") as folder, ThreadPoolExecutor(jobs) as pool:
        trees: SimpleQueue[Path] = SimpleQueue()
        for number in range(jobs):
            (Path(folder) / str(number)).mkdir()
            copy_tree(Path(folder) / str(number))
            trees.put(Path(folder) / str(number))

        def sound(question: tuple[tuple[str, ...], str]) -> tuple[str, str]:
            tree = trees.get()
            try:
                return run_tests(tree, *question)
            finally:
                trees.put(tree)

        def outcome(bug: Bug) -> Outcome:
            tree = trees.get()
            try:
                with planted(bug, tree):
                    return Outcome(bug, *run_tests(tree, bug.tests, bug.command))
            finally:
                trees.put(tree)

        files = sorted({node for bug in bugs for node in bug.tests})
        questions = [(tuple(files), "")] * bool(files) + [((), c) for c in sorted({b.command for b in bugs} - {""})]
        for question, (state, tail) in zip(questions, pool.map(sound, questions), strict=True):
            if state != "green":
                raise SystemExit(f"Without any bug, {question[1] or 'the tests'} must pass:\n{tail}")
        yield from pool.map(outcome, bugs)


def main() -> int:
    """Run what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", default=[], metavar="FOLDER", help="only these plans, such as cli")
    parser.add_argument("--jobs", type=int, default=1, help="how many bugs run at once")
    parser.add_argument("--json", action="store_true", help="print the outcomes as JSON")
    parser.add_argument("--check", action="store_true", help="only check that every bug fits the source")
    given = parser.parse_args()
    bugs = read_plans(given.only)
    if sentences := problems(bugs):
        print("\n".join(sentences))
        return 1
    if given.check:
        print(f"{len(bugs)} bugs fit the source.")
        return 0
    outcomes = []
    for outcome in run_bugs(bugs, given.jobs):
        outcomes.append(outcome)
        print(f"{outcome.state:6} {outcome.bug.label}", file=sys.stderr, flush=True)
    if given.json:
        print(json.dumps([asdict(outcome) for outcome in outcomes], indent=1))
    else:
        print_table(outcomes)
    return 0 if all(outcome.state == "caught" for outcome in outcomes) else 1


def print_table(outcomes: Sequence[Outcome]) -> None:
    """Print how many bugs of each plan were caught, and those that were not."""
    every = Counter(outcome.bug.plan for outcome in outcomes)
    caught = Counter(outcome.bug.plan for outcome in outcomes if outcome.state == "caught")
    for plan, count in every.items():
        print(f"{plan:12} {caught[plan]:4} of {count:4} caught")
    print(f"{'all':12} {caught.total():4} of {every.total():4} caught")
    for outcome in outcomes:
        if outcome.state != "caught":
            print(f"\n{outcome.state}: {outcome.bug.label}\n- {outcome.bug.old.strip()}\n+ {outcome.bug.new.strip()}")
            print("\n".join(f"    {line}" for line in outcome.detail.splitlines()))


if __name__ == "__main__":
    raise SystemExit(main())
