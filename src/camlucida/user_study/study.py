"""A study as one SQLite file: what is shown, to whom, and what they answered. Stopping loses nothing.

Pictures of maps lie beside it under names that say nothing, so that nobody can tell a method from what is served.
"""

from __future__ import annotations

import json
import os
import sqlite3
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from camlucida._files import atomic_path
from camlucida.errors import DataError
from camlucida.user_study.sqlite import open_database

Kind: TypeAlias = Literal["pair", "rating"]

LEFT, RIGHT = 1, 2
"""Answers to a pair: which of the two explains better."""
MIN_RATING, MAX_RATING = 1, 5
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
class StudyMap:
    """One map that is shown: its picture file beside the study, and what only the study knows."""

    id: str
    image: str
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
    image: str
    question: str
    original: str
    files: tuple[str, ...]
    swapped: bool


@dataclass(frozen=True)
class Answer:
    """What somebody said. Of a pair `winner` and `loser` are methods; of a rating `winner` is the method rated."""

    person: str
    kind: Kind
    image: str
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
    def metadata(self) -> dict[str, Any]:
        """Model, seed, methods, pictures: how the study was made."""
        with open_database(self.path) as data:
            return {key: json.loads(value) for key, value in data.execute("select key, value from about")}

    def trial_order(self, person: str) -> tuple[int, ...]:
        """The numbers of all trials, in the order in which a person is asked them: everybody has one of their own."""
        name = _participant_name(person)
        with open_database(self.path) as data:
            trials = [row[0] for row in data.execute("select id from trials order by id")]
            rng = np.random.default_rng(zlib.crc32(f"{_seed(data)}/{name}".encode()))
            return tuple(trials[i] for i in rng.permutation(len(trials)))

    def answers_of(self, person: str) -> dict[int, int]:
        """What a person answered so far, as they saw it: by the trial's number, 1 left, 2 right; or 1 to 5."""
        name = _participant_name(person)
        query = "select t.id, t.kind, a.answer from answers a join trials t on t.id = a.trial where a.person = ?"
        with open_database(self.path) as data:
            seed = _seed(data)
            return {
                trial: LEFT + RIGHT - answer if kind == "pair" and _is_swapped(seed, name, trial) else answer
                for trial, kind, answer in data.execute(query, (name,))
            }

    def trial(self, number: int, person: str) -> Trial:
        """A trial as this person sees it. Raises `DataError` for a number that there is not."""
        name = _participant_name(person)
        with open_database(self.path) as data:
            row = data.execute(
                """select t.kind, t.picture, t.question, t.original, l.file, r.file from trials t
                join maps l on l.id = t.left_map left join maps r on r.id = t.right_map where t.id = ?""",
                (number,),
            ).fetchone()
            if row is None:
                raise DataError(f"there is no trial {number} in this study.")
            kind, image, question, original, *files = row
            swapped = kind == "pair" and _is_swapped(_seed(data), name, number)
        displayed = tuple(file for file in files if file is not None)
        return Trial(number, kind, image, question, original, displayed[::-1] if swapped else displayed, swapped)

    def next_trial(self, person: str) -> Trial | None:
        """What to ask a person next, None where all is answered."""
        answered = self.answers_of(person)
        number = next((number for number in self.trial_order(person) if number not in answered), None)
        return None if number is None else self.trial(number, person)

    def progress(self, person: str) -> tuple[int, int]:
        """(answered, all) of a person."""
        return len(self.answers_of(person)), len(self.trial_order(person))

    def people(self) -> dict[str, int]:
        """Everybody who answered, with how many answers they gave."""
        with open_database(self.path) as data:
            return dict(data.execute("select person, count(*) from answers group by person order by min(rowid)"))

    def n_trials(self) -> dict[Kind, int]:
        """How many trials of each kind everybody is asked."""
        with open_database(self.path) as data:
            return dict(data.execute("select kind, count(*) from trials group by kind"))

    def image(self, id: str) -> Path | None:
        """The file of a map or of a picture that this study shows, by its name that says nothing; else None.

        Only files inside the study's folder: the file of a study may come from a stranger.
        """
        query = "select file from maps union select original from trials"
        with open_database(self.path) as data:
            name = next((file for (file,) in data.execute(query) if Path(file).stem == id), None)
        if name is None:
            return None
        file, folder = Path(os.path.realpath(self.folder / name)), Path(os.path.realpath(self.folder))
        return file if file.is_relative_to(folder) else None

    def record_answer(self, trial: int, person: str, answer: int, seconds: float = 0.0) -> None:
        """Keep an answer as the person saw the trial: 1 left, 2 right; or 1 to 5. Answering again overwrites.

        Raises `DataError` for a trial that does not exist, or an answer that it cannot have.
        """
        name = _participant_name(person)
        with open_database(self.path) as data:
            row = data.execute("select kind from trials where id = ?", (trial,)).fetchone()
            if row is None:
                raise DataError(f"there is no trial {trial} in this study.")
            max_answer = RIGHT if row[0] == "pair" else MAX_RATING
            if answer not in range(1, max_answer + 1):
                raise DataError(f"the answer to a {row[0]} is 1 to {max_answer}, not {answer!r}.")
            if row[0] == "pair" and _is_swapped(_seed(data), name, trial):
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
        with open_database(self.path) as data:
            return [_answer(*row) for row in data.execute(query)]


def create_study(
    path: Path, metadata: Mapping[str, Any], maps: Sequence[StudyMap], trials: Sequence[tuple[Any, ...]]
) -> Study:
    """Write a new study, whole or not at all; `DataError` where one lies there: its answers are worth keeping.

    trials   kind, picture, question, original, id of the left map, id of the right one or None
    """
    if path.exists():
        raise DataError(f"{path} holds a study already, perhaps with answers. Choose another folder.")
    with atomic_path(path) as temporary, open_database(temporary, new=True) as data:
        data.executescript(SCHEMA)
        data.executemany("insert into about values (?, ?)", [(k, json.dumps(v)) for k, v in metadata.items()])
        data.executemany("insert into maps values (?, ?, ?, ?)", [(m.id, m.image, m.method, m.file) for m in maps])
        data.executemany(
            "insert into trials (kind, picture, question, original, left_map, right_map) values (?, ?, ?, ?, ?, ?)",
            trials,
        )
    return Study(path)


def _answer(person: str, kind: Kind, image: str, left: str, right: str | None, answer: int, seconds: float) -> Answer:
    if kind == "rating":
        return Answer(person, kind, image, left, "", answer, seconds)
    winner, loser = (left, right) if answer == LEFT else (right, left)
    return Answer(person, kind, image, winner or "", loser or "", 0, seconds)


def _seed(data: sqlite3.Connection) -> int:
    row = data.execute("select value from about where key = 'seed'").fetchone()
    return 0 if row is None else int(json.loads(row[0]))


def _is_swapped(seed: int, person: str, trial: int) -> bool:
    """Whether this person sees the pair the other way round: side must not tell."""
    return bool(zlib.crc32(f"{seed}/{person}/{trial}".encode()) & 1)


def _participant_name(person: str) -> str:
    name = person.strip()
    if not name:
        raise DataError("a person needs a name, a number, anything: answers are kept by it.")
    return name
