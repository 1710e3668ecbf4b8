"""GET /api/study: the state of the study and its participants; POST /api/study/create: create a study."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, overload

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field

from camlucida.app.app_state import Page
from camlucida.app.failures import NotFound
from camlucida.app.job_responses import answer
from camlucida.app.jobs import Job
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
        n_images: The number of images.
        pairs: The number of pair questions per participant.
        ratings: The number of rating questions per participant.
    """

    model: str
    methods: int
    n_images: int
    pairs: int
    ratings: int
    left_out: int
    people: list[StudyPerson]


class StudyState(Schema):
    """The study of the app; null if there is none yet. `can_be_created`: whether one can be created."""

    study: StudyInfo | None
    can_be_created: bool


class StudyPlan(Schema):
    """The configuration of a study.

    Attributes:
        model: A model of the app; the first one if not given.
        methods: Methods by name, optionally with combinators.
        n_images: The number of images, selected from the data set by the seed.
        layer: One layer; null for the default layer.
        pairs: The number of random pairs of methods to compare per image; at most all pairs.
        ratings: The number of maps per image that are rated individually.
        seed: The random seed.
    """

    model: Name | None = None
    methods: Annotated[list[Name], Field(min_length=2, max_length=8)]
    n_images: Annotated[int, Field(ge=1, le=200)] = 12
    layer: Name | None = None
    pairs: Annotated[int, Field(ge=0, le=28)] = 3
    ratings: Annotated[int, Field(ge=0, le=8)] = 1
    seed: Annotated[int, Field(ge=0, le=2**31)] = 0


@router.get("/study", responses={200: {"model": StudyState}})
async def state(request: Request, page: AppDep) -> Response:
    """Return whether there is a study, its size, and the progress of its participants."""
    return await answer(request, lambda job: _state(page))


@router.post("/study/create", responses={200: {"model": StudyState}})
async def create(request: Request, page: AppDep, params: StudyPlan) -> Response:
    """Compute the maps, remove the method names, and write the questions.

    With `Accept: text/event-stream` the response includes progress events.
    """

    def work(job: Job) -> StudyState:
        if page.study is None:
            raise NotFound("The app has no folder for a study: start it with `camlucida app --study FOLDER`.")
        for method in params.methods:
            check_method(method)
        make_study(
            page.study,
            page.model(params.model).model,
            SampledImages(page, params.n_images, params.seed),
            methods=params.methods,
            layer=params.layer,
            pairs=params.pairs,
            ratings=params.ratings,
            seed=params.seed,
            progress=job.progress,
        )
        return _state(page)

    return await answer(request, work, "long")


class SampledImages(Sequence[Source]):
    """Images of the app's data set, selected by a seed; each one is read when it is accessed."""

    def __init__(self, page: Page, count: int, seed: int) -> None:
        self.page = page
        size = len(page.data)
        self.indices = [int(i) for i in np.random.default_rng(seed).choice(size, min(count, size), replace=False)]

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, index: int) -> Source: ...
    @overload
    def __getitem__(self, index: slice) -> list[Source]: ...
    def __getitem__(self, index: int | slice) -> Source | list[Source]:
        if isinstance(index, slice):
            return [self._read(index) for index in self.indices[index]]
        return self._read(self.indices[index])

    def __iter__(self) -> Iterator[Source]:
        return map(self._read, self.indices)

    def _read(self, index: int) -> Source:
        try:
            return self.page.images.sample(index).image
        except CamlucidaError:
            return self.page.data[index].image  # the reader of the source reports the error and continues


def _state(page: Page) -> StudyState:
    try:
        study = study_of(page)
    except NotFound:
        return StudyState(study=None, can_be_created=page.study is not None)
    metadata, kinds = study.metadata, study.n_trials()
    info = StudyInfo(
        model=metadata["model"],
        methods=len(metadata["methods"]),
        n_images=metadata["n_images"],
        pairs=kinds.get("pair", 0),
        ratings=kinds.get("rating", 0),
        left_out=len(metadata["left_out"]),
        people=people_of(study),
    )
    return StudyState(study=info, can_be_created=False)
