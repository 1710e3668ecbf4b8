"""The tab Study: make a blind study, ask its questions one by one, and say what follows from the answers.

Until somebody asks for the results, nothing that is served tells whose map is whose: methods are counted, not named;
a question is known by its place in a person's own order, not by its number in the file, which follows the methods;
pictures go out without the times at which their files were written.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, overload

import numpy as np
from fastapi import APIRouter, Query, Request
from fastapi import Path as InPath
from fastapi.responses import Response
from pydantic import Field

from camlucida.data.images import Source
from camlucida.errors import CamlucidaError, DataError
from camlucida.evaluation import Evaluation
from camlucida.evaluation.statistics import Interval
from camlucida.studying import Study, answers_csv, make_study, results
from camlucida.studying.results import Results, Standing, with_metrics
from camlucida.studying.store import Kind
from camlucida.web.limits import check_method
from camlucida.web.page import Page
from camlucida.web.routes.given import Given
from camlucida.web.wire import Name, Wire
from camlucida.web.work import Job, Missing, answer

router = APIRouter(tags=["study"])

LONGEST = 24 * 3600
"""Seconds that an answer may have taken."""

PersonName = Annotated[str, Field(min_length=1, max_length=60)]
NamelessId = Annotated[str, Field(pattern=r"^[0-9a-f]{8,64}$")]


class StudyPerson(Wire):
    """Somebody who answered, and how many of the study's questions."""

    name: str
    answered: int


class StudyInfo(Wire):
    """A study as those may know it who still answer: no method is named.

    methods, pictures   how many there are
    pairs, ratings      questions of each kind that everybody is asked
    """

    model: str
    methods: int
    pictures: int
    pairs: int
    ratings: int
    left_out: int
    people: list[StudyPerson]


class StudyState(Wire):
    """The study of this page; None where there is none yet, which `can_be_made` here or not."""

    study: StudyInfo | None
    can_be_made: bool


class StudyPlan(Wire):
    """What to ask about.

    model     one of the page's models; the first if not given
    methods   by name, with combinators round them or not
    pictures  how many, drawn from the data set by the seed
    layer     one layer; None for the default
    pairs     of methods that are compared on a picture, drawn by lot; at most all of them
    ratings   maps of a picture that are rated by themselves
    seed      of everything drawn
    """

    model: Name | None = None
    methods: Annotated[list[Name], Field(min_length=2, max_length=8)]
    pictures: Annotated[int, Field(ge=1, le=200)] = 12
    layer: Name | None = None
    pairs: Annotated[int, Field(ge=0, le=28)] = 3
    ratings: Annotated[int, Field(ge=0, le=8)] = 1
    seed: Annotated[int, Field(ge=0, le=2**31)] = 0


class StudyTrial(Wire):
    """One question, as one person sees it.

    place     its place in this person's order, from 0
    original  the id of the picture without a map
    maps      the ids of the maps, left to right: two of a pair, one to be rated
    said      what this person answered before: 1 left, 2 right; or 1 to 5
    """

    place: int
    kind: Kind
    question: str
    original: str
    maps: list[str]
    said: int | None


class StudyQuestion(Wire):
    """How far a person is, and the question; None where all are answered."""

    person: str
    answered: int
    total: int
    trial: StudyTrial | None


class StudyAnswer(Wire):
    """An answer to the question at a place of a person's order.

    maps      those that were shown, left to right: what was said is about them
    answer    1 the left one, 2 the right one; or a rating from 1 to 5
    seconds   from when the pictures were there
    """

    person: PersonName
    place: Annotated[int, Field(ge=0, le=10**6)]
    maps: Annotated[list[NamelessId], Field(min_length=1, max_length=2)]
    answer: Annotated[int, Field(ge=1, le=5, strict=True)]
    seconds: Annotated[float, Field(ge=0, le=LONGEST, allow_inf_nan=False)] = 0.0


class StudyProgress(Wire):
    """How far a person is."""

    answered: int
    total: int


class StudyNumber(Wire):
    """A number with its 95 % interval; None where nothing was measured."""

    value: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, one: Interval) -> StudyNumber:
        return cls(value=_known(one.value), low=_known(one.low), high=_known(one.high))


class StudyStanding(Wire):
    """How one method does: see `camlucida.studying.results.Standing`."""

    method: str
    strength: StudyNumber
    rating: StudyNumber
    won: int
    asked: int
    rated: int

    @classmethod
    def of(cls, one: Standing) -> StudyStanding:
        return cls(
            method=one.method,
            strength=StudyNumber.of(one.strength),
            rating=StudyNumber.of(one.rating),
            won=one.won,
            asked=one.asked,
            rated=one.rated,
        )


class StudyMetrics(Wire):
    """How far the metrics of an evaluation agree with people.

    run       the name of its folder
    methods   of the study that the run has, too
    taus      metric -> Kendall's tau-b between its means and the strengths; None where one has no order
    problem   why there are no numbers, in a sentence
    """

    run: str
    methods: list[str]
    taus: dict[str, float | None]
    problem: str | None = None


class StudyResults(Wire):
    """What the answers say so far: see `camlucida.studying.results.Results`."""

    standings: list[StudyStanding]
    people: list[StudyPerson]
    total: int
    answers: int
    agreement: float | None
    metrics: list[StudyMetrics]


@router.get("/study", responses={200: {"model": StudyState}})
async def state(request: Request, page: Given) -> Response:
    """Whether there is a study, how large it is, and how far everybody is."""
    return await answer(request, lambda job: _state(page))


@router.post("/study/make", responses={200: {"model": StudyState}})
async def make(request: Request, page: Given, asked: StudyPlan) -> Response:
    """Draw the maps, take the names off, write the questions. With `Accept: text/event-stream` also how far it is."""

    def work(job: Job) -> StudyState:
        if page.study is None:
            raise Missing("This page has no folder for a study: start it with --study FOLDER.")
        for method in asked.methods:
            check_method(method)
        make_study(
            page.study,
            page.model(asked.model).model,
            Drawn(page, asked.pictures, asked.seed),
            methods=asked.methods,
            layer=asked.layer,
            pairs=asked.pairs,
            ratings=asked.ratings,
            seed=asked.seed,
            progress=job.tick,
        )
        return _state(page)

    return await answer(request, work, "long")


@router.get("/study/next", responses={200: {"model": StudyQuestion}})
async def ask(
    request: Request,
    page: Given,
    person: Annotated[PersonName, Query()],
    place: Annotated[int | None, Query(ge=0, le=10**6)] = None,
) -> Response:
    """What to ask a person: the first question that is still open, or the one at a `place` of their order."""

    def work(job: Job) -> StudyQuestion:
        study, name = study_of(page), person_of(person)
        order, said = study.order(name), study.said(name)
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
async def say(request: Request, page: Given, given: StudyAnswer) -> Response:
    """Keep an answer; answering again overwrites."""

    def work(job: Job) -> StudyProgress:
        study, name = study_of(page), person_of(given.person)
        order = study.order(name)
        seen = study.trial(order[given.place], name) if given.place < len(order) else None
        if seen is None or [Path(file).stem for file in seen.files] != given.maps:
            raise Missing("These maps are not those of this study's question: it was made anew. Load the page again.")
        study.answer(seen.id, name, given.answer, given.seconds)
        return StudyProgress(answered=len(study.said(name)), total=len(order))

    return await answer(request, work)


@router.get(
    "/study/pictures/{id}", responses={200: {"content": {"image/png": {}, "image/jpeg": {}}}}, response_class=Response
)
def picture(page: Given, id: Annotated[NamelessId, InPath()]) -> Response:
    """A map or a picture that the study shows. Not kept by the browser: another study may use its id again."""
    file = study_of(page).picture(id)
    kind = None if file is None else {".png": "image/png", ".jpg": "image/jpeg"}.get(file.suffix.lower())
    if file is None or kind is None:
        raise Missing("This study shows no such picture.")
    try:
        content = file.read_bytes()
    except OSError as error:
        raise Missing(f"The study's picture {file.name} cannot be read: {error.strerror or error}.") from None
    return Response(content, media_type=kind, headers={"cache-control": "no-store"})


@router.get("/study/results", responses={200: {"model": StudyResults}})
async def found(request: Request, page: Given) -> Response:
    """Strengths, ratings, how far people agree, and metrics with them. Names the methods."""

    def work(job: Job) -> StudyResults:
        study = study_of(page)
        now = results(study)
        return StudyResults(
            standings=[StudyStanding.of(one) for one in now.standings],
            people=_people(study),
            total=sum(study.kinds().values()),
            answers=now.answers,
            agreement=_known(now.agreement),
            metrics=[one for run in page.runs if (one := _compared(now, run, job)) is not None],
        )

    return await answer(request, work)


CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {}}}}


@router.get("/study/results.csv", responses=CSV, response_class=Response)
async def found_csv(request: Request, page: Given) -> Response:
    """The standings as a table."""
    return await _table(request, "study-results.csv", lambda: results(study_of(page)).csv())


@router.get("/study/answers.csv", responses=CSV, response_class=Response)
async def said_csv(request: Request, page: Given) -> Response:
    """Every answer as a line of a table, by the methods' names."""
    return await _table(request, "study-answers.csv", lambda: answers_csv(study_of(page)))


class Drawn(Sequence[Source]):
    """So many pictures of the page's data set, drawn by a seed; each is read when its turn comes."""

    def __init__(self, page: Page, count: int, seed: int) -> None:
        self.page = page
        size = len(page.data)
        self.numbers = [int(i) for i in np.random.default_rng(seed).choice(size, min(count, size), replace=False)]

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, index: int) -> Source: ...
    @overload
    def __getitem__(self, index: slice) -> list[Source]: ...
    def __getitem__(self, index: int | slice) -> Source | list[Source]:
        if isinstance(index, slice):
            return [self._read(number) for number in self.numbers[index]]
        return self._read(self.numbers[index])

    def __iter__(self) -> Iterator[Source]:
        return map(self._read, self.numbers)

    def _read(self, number: int) -> Source:
        try:
            return self.page.pictures.sample(number).image
        except CamlucidaError:
            return self.page.data[number].image  # who reads it again says why it cannot be read, and goes on


def study_of(page: Page) -> Study:
    """The study of the page. Raises `Missing` where there is none (any more)."""
    file = None if page.study is None else page.study / "study.sqlite"
    if file is None or not file.exists():
        raise Missing("There is no study here (any more). Load the page again, and make one.")
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


def _state(page: Page) -> StudyState:
    try:
        study = study_of(page)
    except Missing:
        return StudyState(study=None, can_be_made=page.study is not None)
    about, kinds = study.about, study.kinds()
    asking = StudyInfo(
        model=about["model"],
        methods=len(about["methods"]),
        pictures=about["pictures"],
        pairs=kinds.get("pair", 0),
        ratings=kinds.get("rating", 0),
        left_out=len(about["left_out"]),
        people=_people(study),
    )
    return StudyState(study=asking, can_be_made=False)


def _people(study: Study) -> list[StudyPerson]:
    return [StudyPerson(name=name, answered=answered) for name, answered in study.people().items()]


def _compared(now: Results, run: Path, job: Job) -> StudyMetrics | None:
    """With the metrics of a run, where it is an evaluation."""
    job.send("run", {"name": run.name})
    try:
        evaluation = Evaluation(run)
        if "metrics" not in evaluation.plan:
            return None
        strengths = {one.method: one.strength.value for one in now.standings if one.asked}
        methods = [method for method in strengths if method in evaluation.methods]
        taus = {name: _known(tau) for name, tau in with_metrics(strengths, evaluation).items()}
    except (CamlucidaError, OSError, ValueError, KeyError) as error:  # one broken run must not hide what people said
        return StudyMetrics(run=run.name, methods=[], taus={}, problem=f"{run.name} cannot be read: {error}")
    problem = None if len(methods) > 1 else f"{run.name} has fewer than two of the methods that pairs were asked of."
    return StudyMetrics(run=run.name, methods=methods, taus=taus, problem=problem)


async def _table(request: Request, name: str, written: Callable[[], str]) -> Response:
    made = await answer(request, lambda job: written().encode())
    made.headers["content-type"] = "text/csv; charset=utf-8"
    made.headers["content-disposition"] = f'attachment; filename="{name}"'
    made.headers["cache-control"] = "no-store"
    return made


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
