"""The study of the page, and the names of people."""

from __future__ import annotations

import unicodedata
from typing import Annotated

from pydantic import Field

from camlucida.app.app_state import Page
from camlucida.app.jobs import NotFound
from camlucida.app.schemas import Schema
from camlucida.errors import DataError
from camlucida.user_study import Study

PersonName = Annotated[str, Field(min_length=1, max_length=60)]


class StudyPerson(Schema):
    """Somebody who answered, and how many of the study's questions."""

    name: str
    answered: int


def study_of(page: Page) -> Study:
    """The study of the page. Raises `Missing` where there is none (any more)."""
    file = None if page.study is None else page.study / "study.sqlite"
    if file is None or not file.exists():
        raise NotFound("There is no study here (any more). Load the page again, and make one.")
    return Study(file)


def person_of(text: str) -> str:
    """The name that answers are kept by: the same however it was typed. Raises `DataError` for what is no name.

    A name that begins with a sign could be a formula to the program that opens the exported table.
    """
    name = unicodedata.normalize("NFC", " ".join(text.split()))
    if not name or not name.isprintable() or not name[0].isalnum():
        raise DataError(
            "a person's name begins with a letter or a number, and has no invisible signs. Any name will do."
        )
    return name


def people_of(study: Study) -> list[StudyPerson]:
    """Everybody who answered, and how much."""
    return [StudyPerson(name=name, answered=answered) for name, answered in study.people().items()]
