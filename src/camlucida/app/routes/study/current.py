"""The study of the app, and the names of participants."""

from __future__ import annotations

import unicodedata
from typing import Annotated

from pydantic import Field

from camlucida.app.app_state import Page
from camlucida.app.failures import NotFound
from camlucida.app.schemas import Schema
from camlucida.errors import DataError
from camlucida.user_study import Study

PersonName = Annotated[str, Field(min_length=1, max_length=60)]


class StudyPerson(Schema):
    """A participant, and the number of answered questions."""

    name: str
    answered: int


def study_of(page: Page) -> Study:
    """Return the study of the app.

    Raises:
        NotFound: If there is none (any more).
    """
    file = None if page.study is None else page.study / "study.sqlite"
    if file is None or not file.exists():
        raise NotFound("There is no study in the app (any more). Reload the page and create one.")
    return Study(file)


def person_of(text: str) -> str:
    """Return the normalised name of a participant, by which answers are stored.

    A name must not begin with a symbol, because a spreadsheet program could interpret it as a formula.

    Raises:
        DataError: If the text is not a valid name.
    """
    name = unicodedata.normalize("NFC", " ".join(text.split()))
    if not name or not name.isprintable() or not name[0].isalnum():
        raise DataError("the name of a participant begins with a letter or a digit and has no invisible characters.")
    return name


def people_of(study: Study) -> list[StudyPerson]:
    """Return all participants with their number of answers."""
    return [StudyPerson(name=name, answered=answered) for name, answered in study.people().items()]
