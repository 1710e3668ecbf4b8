"""GET /api/study: the state of the study and its participants; POST /api/study/make: create a study."""

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
    """The study as participants may see it: no method is named.

    Attributes:
        methods: The number of methods.
        pictures: The number of images.
        pairs: The number of pair questions per participant.
        ratings: The number of rating questions per participant.
    """

    model: str
    methods: int
    pictures: int
    pairs: int
    ratings: int
    left_out: int
    people: list[StudyPerson]


class StudyState(Schema):
    """The study of the app; null if there is none yet. `can_be_made`: whether one can be created."""

    study: StudyInfo | None
    can_be_made: bool


class StudyPlan(Schema):
    """The configuration of a study.

    Attributes:
        model: A model of the app; the first one if not given.
        methods: Methods by name, optionally with combinators.
        pictures: The number of images, selected from the data set by the seed.
        layer: One layer; null for the default layer.
        pairs: The number of random pairs of methods to compare per image; at most all pairs.
        ratings: The number of maps per image that are rated individually.
        seed: The random seed.
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
    """Return whether there is a study, its size, and the progress of its participants."""
    return await answer(request, lambda job: _state(page))


@router.post("/study/make", responses={200: {"model": StudyState}})
async def make(request: Request, page: AppDep, asked: StudyPlan) -> Response:
    """Compute the maps, remove the method names, and write the questions.

    With `Accept: text/event-stream` the response includes progress events.
    """

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
    """Images of the app's data set, selected by a seed; each one is read when it is accessed."""

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
            return self.page.data[number].image  # the reader of the source reports the error and continues


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
