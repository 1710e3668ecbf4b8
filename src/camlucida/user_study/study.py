"""A study as one SQLite file: the trials, the order for each participant, and their answers, which are stored at once.

Rendered maps are stored in the same folder under anonymous names, so that the served files do not reveal the method.
"""

from __future__ import annotations

import json
import os
import sqlite3
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from camlucida.errors import DataError
from camlucida.user_study.sqlite import open_database

Kind: TypeAlias = Literal["pair", "rating"]

LEFT, RIGHT = 1, 2
"""Answers to a pair: the better map of the two."""
MAX_RATING = 5
"""Ratings are integers from 1 to this."""


@dataclass(frozen=True)
class StudyMap:
    """One map of the study.

    Attributes:
        id: Anonymous name.
        image: Name of the image.
        method: Name of the method, which only the study knows.
        file: Path of the rendered map, relative to the study's folder.
    """

    id: str
    image: str
    method: str
    file: str


@dataclass(frozen=True)
class Trial:
    """One question to a participant: which of two maps is better, or how good is one map.

    Attributes:
        id: Number of the trial.
        kind: Whether it is a pair or a rating.
        image: Name of the image.
        question: The question as text: "Why 'tabby cat'?".
        original: File of the image without a map.
        files: Files of the maps from left to right, as displayed to this participant: one for a rating, two for a pair.
        swapped: Whether the pair is displayed in the reverse of its stored order.
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
    """One answer of a participant.

    Attributes:
        person: Name of the participant.
        kind: Whether it answers a pair or a rating.
        image: Name of the image.
        winner: The preferred method of a pair, or the rated method.
        loser: The other method of a pair; empty for a rating.
        rating: The rating from 1 to 5; 0 for a pair.
        seconds: Time of the answer in seconds.
    """

    person: str
    kind: Kind
    image: str
    winner: str
    loser: str
    rating: int
    seconds: float


@dataclass(frozen=True)
class Study:
    """A study in an SQLite file. It can be opened several times at once.

    Attributes:
        path: The file.

    Raises:
        DataError: If the file does not exist.
    """

    path: Path

    def __post_init__(self) -> None:
        if not Path(self.path).exists():
            raise DataError(f"{self.path} contains no study. Create one with `camlucida study make`.")

    @property
    def folder(self) -> Path:
        """Return the folder of the study, which holds the images."""
        return Path(self.path).parent

    @property
    def metadata(self) -> dict[str, Any]:
        """Return how the study was created: model, weights, methods, number of images, seed."""
        with open_database(self.path) as data:
            return {key: json.loads(value) for key, value in data.execute("select key, value from about")}

    def trial_order(self, person: str) -> tuple[int, ...]:
        """Return the numbers of all trials in the order for one participant, which is random but reproducible.

        Args:
            person: Name of the participant.

        Returns:
            The numbers of the trials.
        """
        name = _participant_name(person)
        with open_database(self.path) as data:
            trials = [row[0] for row in data.execute("select id from trials order by id")]
            rng = np.random.default_rng(zlib.crc32(f"{_seed(data)}/{name}".encode()))
            return tuple(trials[i] for i in rng.permutation(len(trials)))

    def answers_of(self, person: str) -> dict[int, int]:
        """Return the answers of a participant so far, relative to the displayed order.

        Args:
            person: Name of the participant.

        Returns:
            By number of the trial: 1 for left and 2 for right, or the rating from 1 to 5.
        """
        name = _participant_name(person)
        query = "select t.id, t.kind, a.answer from answers a join trials t on t.id = a.trial where a.person = ?"
        with open_database(self.path) as data:
            seed = _seed(data)
            return {
                trial: LEFT + RIGHT - answer if kind == "pair" and _is_swapped(seed, name, trial) else answer
                for trial, kind, answer in data.execute(query, (name,))
            }

    def trial(self, number: int, person: str) -> Trial:
        """Return a trial as displayed to a participant.

        Args:
            number: Number of the trial.
            person: Name of the participant.

        Returns:
            The trial.

        Raises:
            DataError: If there is no such trial.
        """
        name = _participant_name(person)
        with open_database(self.path) as data:
            row = data.execute(
                """select t.kind, t.image, t.question, t.original, l.file, r.file from trials t
                join maps l on l.id = t.left_map left join maps r on r.id = t.right_map where t.id = ?""",
                (number,),
            ).fetchone()
            if row is None:
                raise DataError(f"the study has no trial {number}.")
            kind, image, question, original, *files = row
            swapped = kind == "pair" and _is_swapped(_seed(data), name, number)
        displayed = tuple(file for file in files if file is not None)
        return Trial(number, kind, image, question, original, displayed[::-1] if swapped else displayed, swapped)

    def next_trial(self, person: str) -> Trial | None:
        """Return the next unanswered trial of a participant; None if all are answered."""
        answered = self.answers_of(person)
        number = next((number for number in self.trial_order(person) if number not in answered), None)
        return None if number is None else self.trial(number, person)

    def progress(self, person: str) -> tuple[int, int]:
        """Return the number of answered trials of a participant, and the number of all trials."""
        return len(self.answers_of(person)), len(self.trial_order(person))

    def people(self) -> dict[str, int]:
        """Return the number of answers of each participant, by name."""
        with open_database(self.path) as data:
            return dict(data.execute("select person, count(*) from answers group by person order by min(rowid)"))

    def n_trials(self) -> dict[Kind, int]:
        """Return the number of trials of each kind."""
        with open_database(self.path) as data:
            return dict(data.execute("select kind, count(*) from trials group by kind"))

    def image(self, id: str) -> Path | None:
        """Return the file of a map or original image by its anonymous name.

        Only files inside the study's folder are returned, because the study may come from an untrusted source.

        Args:
            id: Anonymous name.

        Returns:
            The file; None if the study has no such image.
        """
        query = "select file from maps union select original from trials"
        with open_database(self.path) as data:
            name = next((file for (file,) in data.execute(query) if Path(file).stem == id), None)
        if name is None:
            return None
        file, folder = Path(os.path.realpath(self.folder / name)), Path(os.path.realpath(self.folder))
        return file if file.is_relative_to(folder) else None

    def record_answer(self, trial: int, person: str, answer: int, seconds: float = 0.0) -> None:
        """Store the answer of a participant; an earlier answer is replaced.

        Args:
            trial: Number of the trial.
            person: Name of the participant.
            answer: As displayed: 1 for left and 2 for right, or the rating from 1 to 5.
            seconds: Time of the answer in seconds.

        Raises:
            DataError: If there is no such trial, or the answer is not valid for it.
        """
        name = _participant_name(person)
        with open_database(self.path) as data:
            row = data.execute("select kind from trials where id = ?", (trial,)).fetchone()
            if row is None:
                raise DataError(f"the study has no trial {trial}.")
            max_answer = RIGHT if row[0] == "pair" else MAX_RATING
            if answer not in range(1, max_answer + 1):
                raise DataError(f"the answer to a {row[0]} is an integer from 1 to {max_answer}, not {answer!r}.")
            if row[0] == "pair" and _is_swapped(_seed(data), name, trial):
                answer = LEFT + RIGHT - answer
            data.execute(
                "insert into answers (trial, person, answer, seconds) values (?, ?, ?, ?) "
                "on conflict (trial, person) do update set answer = excluded.answer, seconds = excluded.seconds",
                (trial, name, answer, max(0.0, float(seconds))),
            )

    def answers(self) -> list[Answer]:
        """Return all answers so far, with the names of the methods."""
        query = """
            select a.person, t.kind, t.image, l.method, r.method, a.answer, a.seconds
            from answers a join trials t on t.id = a.trial
            join maps l on l.id = t.left_map left join maps r on r.id = t.right_map
            order by a.trial, a.person
        """
        with open_database(self.path) as data:
            return [_answer(*row) for row in data.execute(query)]


def _answer(person: str, kind: Kind, image: str, left: str, right: str | None, answer: int, seconds: float) -> Answer:
    """Return a row of the database as an answer."""
    if kind == "rating":
        return Answer(person, kind, image, left, "", answer, seconds)
    winner, loser = (left, right) if answer == LEFT else (right, left)
    return Answer(person, kind, image, winner or "", loser or "", 0, seconds)


def _seed(data: sqlite3.Connection) -> int:
    row = data.execute("select value from about where key = 'seed'").fetchone()
    return 0 if row is None else int(json.loads(row[0]))


def _is_swapped(seed: int, person: str, trial: int) -> bool:
    """Return whether a participant sees the pair in reverse order, so that the side does not reveal the method."""
    return bool(zlib.crc32(f"{seed}/{person}/{trial}".encode()) & 1)


def _participant_name(person: str) -> str:
    """Return the name of a participant without surrounding spaces."""
    name = person.strip()
    if not name:
        raise DataError("a participant needs a name or a number, by which the answers are stored.")
    return name
