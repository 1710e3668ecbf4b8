"""GET /api/study/next and /api/study/images, POST /api/study/answer: blind questions and their answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi import Path as InPath
from fastapi.responses import Response
from pydantic import Field

from camlucida.app.failures import NotFound
from camlucida.app.job_responses import answer
from camlucida.app.jobs import Job
from camlucida.app.routes.dependencies import AppDep
from camlucida.app.routes.study.current import PersonName, person_of, study_of
from camlucida.app.schemas import Schema
from camlucida.user_study.study import Kind

router = APIRouter()

LONGEST = 24 * 3600
"""Maximum duration of an answer, in seconds."""

AnonymousId = Annotated[str, Field(pattern=r"^[0-9a-f]{8,64}$")]


class StudyTrial(Schema):
    """One question as a participant sees it.

    Attributes:
        position: Its position in this participant's order, from 0.
        original: The id of the image without a map.
        maps: The ids of the maps from left to right: two of a pair, or one to be rated.
        answer: The previous answer of this participant: 1 left, 2 right; or a rating from 1 to 5.
    """

    position: int
    kind: Kind
    question: str
    original: str
    maps: list[str]
    answer: int | None


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
    position: Annotated[int, Field(ge=0, le=10**6)]
    maps: Annotated[list[AnonymousId], Field(min_length=1, max_length=2)]
    answer: Annotated[int, Field(ge=1, le=5, strict=True)]
    seconds: Annotated[float, Field(ge=0, le=LONGEST, allow_inf_nan=False)] = 0.0


class StudyProgress(Schema):
    """The progress of a participant."""

    answered: int
    total: int


@router.get("/study/next", responses={200: {"model": StudyQuestion}})
async def next_question(
    request: Request,
    page: AppDep,
    person: Annotated[PersonName, Query()],
    position: Annotated[int | None, Query(ge=0, le=10**6)] = None,
) -> Response:
    """Return the next unanswered question of a participant, or the one at `position` in their order."""

    def work(job: Job) -> StudyQuestion:
        study, name = study_of(page), person_of(person)
        order, answers = study.trial_order(name), study.answers_of(name)
        index = (
            next((i for i, number in enumerate(order) if number not in answers), None) if position is None else position
        )
        trial = None
        if index is not None and index < len(order):
            question = study.trial(order[index], name)
            trial = StudyTrial(
                position=index,
                kind=question.kind,
                question=question.question,
                original=Path(question.original).stem,
                maps=[Path(file).stem for file in question.files],
                answer=answers.get(question.id),
            )
        return StudyQuestion(person=name, answered=len(answers), total=len(order), trial=trial)

    return await answer(request, work)


@router.post("/study/answer", responses={200: {"model": StudyProgress}})
async def store_answer(request: Request, page: AppDep, body: StudyAnswer) -> Response:
    """Store an answer; a later answer to the same question replaces it."""

    def work(job: Job) -> StudyProgress:
        study, name = study_of(page), person_of(body.person)
        order = study.trial_order(name)
        question = study.trial(order[body.position], name) if body.position < len(order) else None
        if question is None or [Path(file).stem for file in question.files] != body.maps:
            raise NotFound(
                "These maps do not belong to this question of the study, which was created again. Reload the page."
            )
        study.record_answer(question.id, name, body.answer, body.seconds)
        return StudyProgress(answered=len(study.answers_of(name)), total=len(order))

    return await answer(request, work)


@router.get(
    "/study/images/{id}", responses={200: {"content": {"image/png": {}, "image/jpeg": {}}}}, response_class=Response
)
def image(page: AppDep, id: Annotated[AnonymousId, InPath()]) -> Response:
    """Return a map or an image of the study. Browsers must not cache it, because another study may reuse its id."""
    file = study_of(page).image(id)
    kind = None if file is None else {".png": "image/png", ".jpg": "image/jpeg"}.get(file.suffix.lower())
    if file is None or kind is None:
        raise NotFound("The study has no such image.")
    try:
        content = file.read_bytes()
    except OSError as error:
        raise NotFound(f"The image {file.name} of the study cannot be read: {error.strerror or error}.") from None
    return Response(content, media_type=kind, headers={"cache-control": "no-store"})
