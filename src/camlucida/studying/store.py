"""A study as one SQLite file: what is shown, to whom, and what they answered. Stopping loses nothing.

Pictures of maps lie beside it under names that say nothing, so that nobody can tell a method from what is served.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from camlucida.errors import DataError

Kind: TypeAlias = Literal["pair", "rating"]

LEFT, RIGHT = 1, 2
"""Answers to a pair: which of the two explains better."""
LOWEST, HIGHEST = 1, 5
"""Answers to a rating."""

SCHEMA = """
create table about (key text primary key, value text not null);
create table maps (id text primary key, picture text not null, method text not null, file text not null);
create table trials (
    id integer primary key, kind text not null, picture text not null, question text not null,
    original text not null, left_map text not null references maps, right_map text references maps
);
create table answers (
    trial integer not null references trials, person text not null, answer integer not null,
    seconds real not null, given text not null default current_timestamp, primary key (trial, person)
);
"""


@dataclass(frozen=True)
class Shown:
    """One map that is shown: its picture file beside the study, and what only the study knows."""

    id: str
    picture: str
    method: str
    file: str


@dataclass(frozen=True)
class Trial:
    """One question to a person: which of two maps is better, or how good is one.

    question  in words: "Why 'tabby cat'?"
    original  the file of the picture without a map
    files     of the maps, left to right, as this person sees them: one for a rating, two for a pair
    turned    whether a pair is shown the other way round than it is stored
    """

    id: int
    kind: Kind
    picture: str
    question: str
    original: str
    files: tuple[str, ...]
    turned: bool


@dataclass(frozen=True)
class Answer:
    """What somebody said. Of a pair `winner` and `loser` are methods; of a rating `winner` is the method rated."""

    person: str
    kind: Kind
    picture: str
    winner: str
    loser: str
    rating: int
    seconds: float


@dataclass(frozen=True)
class Study:
    """A study that lies in a file; open it as often as you like."""

    path: Path

    def __post_init__(self) -> None:
        if not Path(self.path).exists():
            raise DataError(f"{self.path} holds no study. `camlucida study make` begins one.")

    @property
    def folder(self) -> Path:
        """Where the pictures lie."""
        return Path(self.path).parent

    @property
    def about(self) -> dict[str, Any]:
        """Model, seed, methods, pictures: how the study was made."""
        with _open(self.path) as data:
            return {key: json.loads(value) for key, value in data.execute("select key, value from about")}

    def next(self, person: str) -> Trial | None:
        """What to ask a person next, None where all is answered. Everybody has an order of their own."""
        name = _named(person)
        with _open(self.path) as data:
            done = {row[0] for row in data.execute("select trial from answers where person = ?", (name,))}
            left = [row[0] for row in data.execute("select id from trials order by id")]
            seed = json.loads(data.execute("select value from about where key = 'seed'").fetchone()[0])
            chance = np.random.default_rng(zlib.crc32(f"{seed}/{name}".encode()))
            order = [left[i] for i in chance.permutation(len(left))]
            waiting = next((trial for trial in order if trial not in done), None)
            return None if waiting is None else self._trial(data, waiting, name, seed)

    def progress(self, person: str) -> tuple[int, int]:
        """(answered, all) of a person."""
        with _open(self.path) as data:
            (done,) = data.execute("select count(*) from answers where person = ?", (_named(person),)).fetchone()
            (total,) = data.execute("select count(*) from trials").fetchone()
            return done, total

    def answer(self, trial: int, person: str, answer: int, seconds: float = 0.0) -> None:
        """Keep an answer as the person saw the trial: 1 left, 2 right; or 1 to 5. Answering again overwrites.

        Raises `DataError` for a trial that does not exist, or an answer that it cannot have.
        """
        name = _named(person)
        with _open(self.path) as data:
            found = data.execute("select kind from trials where id = ?", (trial,)).fetchone()
            if found is None:
                raise DataError(f"there is no trial {trial} in this study.")
            most = RIGHT if found[0] == "pair" else HIGHEST
            if answer not in range(1, most + 1):
                raise DataError(f"the answer to a {found[0]} is 1 to {most}, not {answer!r}.")
            seed = json.loads(data.execute("select value from about where key = 'seed'").fetchone()[0])
            if found[0] == "pair" and _turned(seed, name, trial):
                answer = LEFT + RIGHT - answer
            data.execute(
                "insert into answers (trial, person, answer, seconds) values (?, ?, ?, ?) "
                "on conflict (trial, person) do update set answer = excluded.answer, seconds = excluded.seconds",
                (trial, name, answer, max(0.0, float(seconds))),
            )

    def answers(self) -> list[Answer]:
        """Everything that was said so far, by the methods' names."""
        query = """
            select a.person, t.kind, t.picture, l.method, r.method, a.answer, a.seconds
            from answers a join trials t on t.id = a.trial
            join maps l on l.id = t.left_map left join maps r on r.id = t.right_map
            order by a.trial, a.person
        """
        with _open(self.path) as data:
            return [_answer(*row) for row in data.execute(query)]

    def _trial(self, data: sqlite3.Connection, trial: int, person: str, seed: int) -> Trial:
        row = data.execute(
            """select t.kind, t.picture, t.question, t.original, l.file, r.file from trials t
            join maps l on l.id = t.left_map left join maps r on r.id = t.right_map where t.id = ?""",
            (trial,),
        ).fetchone()
        kind, picture, question, original, *files = row
        turned = kind == "pair" and _turned(seed, person, trial)
        shown = tuple(file for file in files if file is not None)
        return Trial(trial, kind, picture, question, original, shown[::-1] if turned else shown, turned)


def create(path: Path, about: Mapping[str, Any], maps: Sequence[Shown], trials: Sequence[tuple[Any, ...]]) -> Study:
    """Write a new study, whole or not at all; `DataError` where one lies there: its answers are worth keeping.

    trials   kind, picture, question, original, id of the left map, id of the right one or None
    """
    if path.exists():
        raise DataError(f"{path} holds a study already, perhaps with answers. Choose another folder.")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.unlink(missing_ok=True)
    with _open(beside) as data:
        data.executescript(SCHEMA)
        data.executemany("insert into about values (?, ?)", [(k, json.dumps(v)) for k, v in about.items()])
        data.executemany("insert into maps values (?, ?, ?, ?)", [(m.id, m.picture, m.method, m.file) for m in maps])
        data.executemany(
            "insert into trials (kind, picture, question, original, left_map, right_map) values (?, ?, ?, ?, ?, ?)",
            trials,
        )
    beside.rename(path)
    return Study(path)


def _answer(person: str, kind: Kind, picture: str, left: str, right: str | None, answer: int, seconds: float) -> Answer:
    if kind == "rating":
        return Answer(person, kind, picture, left, "", answer, seconds)
    winner, loser = (left, right) if answer == LEFT else (right, left)
    return Answer(person, kind, picture, winner or "", loser or "", 0, seconds)


def _turned(seed: int, person: str, trial: int) -> bool:
    """Whether this person sees the pair the other way round: side must not tell."""
    return bool(zlib.crc32(f"{seed}/{person}/{trial}".encode()) & 1)


def _named(person: str) -> str:
    name = person.strip()
    if not name:
        raise DataError("a person needs a name, a number, anything: answers are kept by it.")
    return name


@contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, timeout=30)) as data:
        data.execute("pragma foreign_keys = on")
        with data:
            yield data
