"""GET /api/study: is there a study, how far is everybody; POST /api/study/make: draw one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, overload

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field

from camlucida.app.app_state import Page
from camlucida.app.jobs import Job, NotFound, answer
from camlucida.app.request_limits import check_method
from camlucida.app.routes.dependencies import AppDep
from camlucida.app.routes.study.current import StudyPerson, people_of, study_of
from camlucida.app.schemas import Name, Schema
from camlucida.data.images import Source
from camlucida.errors import CamlucidaError
from camlucida.user_study import make_study

router = APIRouter()


class StudyInfo(Schema):
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


class StudyState(Schema):
    """The study of this page; None where there is none yet, which `can_be_made` here or not."""

    study: StudyInfo | None
    can_be_made: bool


class StudyPlan(Schema):
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


@router.get("/study", responses={200: {"model": StudyState}})
async def state(request: Request, page: AppDep) -> Response:
    """Whether there is a study, how large it is, and how far everybody is."""
    return await answer(request, lambda job: _state(page))


@router.post("/study/make", responses={200: {"model": StudyState}})
async def make(request: Request, page: AppDep, asked: StudyPlan) -> Response:
    """Draw the maps, take the names off, write the questions. With `Accept: text/event-stream` also how far it is."""

    def work(job: Job) -> StudyState:
        if page.study is None:
            raise NotFound("This page has no folder for a study: start it with --study FOLDER.")
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


def _state(page: Page) -> StudyState:
    try:
        study = study_of(page)
    except NotFound:
        return StudyState(study=None, can_be_made=page.study is not None)
    about, kinds = study.metadata, study.n_trials()
    asking = StudyInfo(
        model=about["model"],
        methods=len(about["methods"]),
        pictures=about["pictures"],
        pairs=kinds.get("pair", 0),
        ratings=kinds.get("rating", 0),
        left_out=len(about["left_out"]),
        people=people_of(study),
    )
    return StudyState(study=asking, can_be_made=False)
