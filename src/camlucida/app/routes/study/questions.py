"""GET /api/study/next and /api/study/pictures, POST /api/study/answer: blind questions and their answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi import Path as InPath
from fastapi.responses import Response
from pydantic import Field

from camlucida.app.jobs import Job, NotFound, answer
from camlucida.app.routes.dependencies import AppDep
from camlucida.app.routes.study.current import PersonName, person_of, study_of
from camlucida.app.schemas import Schema
from camlucida.user_study.study import Kind

router = APIRouter()

LONGEST = 24 * 3600
"""Maximum duration of an answer, in seconds."""

NamelessId = Annotated[str, Field(pattern=r"^[0-9a-f]{8,64}$")]


class StudyTrial(Schema):
    """One question as a participant sees it.

    Attributes:
        place: Its position in this participant's order, from 0.
        original: The id of the image without a map.
        maps: The ids of the maps from left to right: two of a pair, or one to be rated.
        said: The previous answer of this participant: 1 left, 2 right; or a rating from 1 to 5.
    """

    place: int
    kind: Kind
    question: str
    original: str
    maps: list[str]
    said: int | None


class StudyQuestion(Schema):
    """The progress of a participant, and the next question; null if all are answered."""

    person: str
    answered: int
    total: int
    trial: StudyTrial | None


class StudyAnswer(Schema):
    """An answer to the question at a position of a participant's order.

    Attributes:
        maps: The displayed maps from left to right, which the answer is about.
        answer: 1 for the left map, 2 for the right one; or a rating from 1 to 5.
        seconds: The time since the images were displayed.
    """

    person: PersonName
    place: Annotated[int, Field(ge=0, le=10**6)]
    maps: Annotated[list[NamelessId], Field(min_length=1, max_length=2)]
    answer: Annotated[int, Field(ge=1, le=5, strict=True)]
    seconds: Annotated[float, Field(ge=0, le=LONGEST, allow_inf_nan=False)] = 0.0


class StudyProgress(Schema):
    """The progress of a participant."""

    answered: int
    total: int


@router.get("/study/next", responses={200: {"model": StudyQuestion}})
async def ask(
    request: Request,
    page: AppDep,
    person: Annotated[PersonName, Query()],
    place: Annotated[int | None, Query(ge=0, le=10**6)] = None,
) -> Response:
    """Return the next unanswered question of a participant, or the one at a `place` of their order."""

    def work(job: Job) -> StudyQuestion:
        study, name = study_of(page), person_of(person)
        order, said = study.trial_order(name), study.answers_of(name)
        where = next((i for i, number in enumerate(order) if number not in said), None) if place is None else place
        trial = None
        if where is not None and where < len(order):
            seen = study.trial(order[where], name)
            trial = StudyTrial(
                place=where,
                kind=seen.kind,
                question=seen.question,
                original=Path(seen.original).stem,
                maps=[Path(file).stem for file in seen.files],
                said=said.get(seen.id),
            )
        return StudyQuestion(person=name, answered=len(said), total=len(order), trial=trial)

    return await answer(request, work)


@router.post("/study/answer", responses={200: {"model": StudyProgress}})
async def say(request: Request, page: AppDep, given: StudyAnswer) -> Response:
    """Store an answer; a later answer to the same question replaces it."""

    def work(job: Job) -> StudyProgress:
        study, name = study_of(page), person_of(given.person)
        order = study.trial_order(name)
        seen = study.trial(order[given.place], name) if given.place < len(order) else None
        if seen is None or [Path(file).stem for file in seen.files] != given.maps:
            raise NotFound("These maps are not those of this study's question: it was made anew. Load the page again.")
        study.record_answer(seen.id, name, given.answer, given.seconds)
        return StudyProgress(answered=len(study.answers_of(name)), total=len(order))

    return await answer(request, work)


@router.get(
    "/study/pictures/{id}", responses={200: {"content": {"image/png": {}, "image/jpeg": {}}}}, response_class=Response
)
def image(page: AppDep, id: Annotated[NamelessId, InPath()]) -> Response:
    """Return a map or an image of the study. Browsers must not cache it, because another study may reuse its id."""
    file = study_of(page).image(id)
    kind = None if file is None else {".png": "image/png", ".jpg": "image/jpeg"}.get(file.suffix.lower())
    if file is None or kind is None:
        raise NotFound("This study shows no such picture.")
    try:
        content = file.read_bytes()
    except OSError as error:
        raise NotFound(f"The study's picture {file.name} cannot be read: {error.strerror or error}.") from None
    return Response(content, media_type=kind, headers={"cache-control": "no-store"})
