"""GET /api/start: everything that the front end needs for its first view. The app's page contains the same response."""

from __future__ import annotations

from fastapi import APIRouter

import camlucida
from camlucida.app.app_state import Page
from camlucida.app.method_choice import method_for, offered
from camlucida.app.model_entry import Served
from camlucida.app.routes.dependencies import AppDep
from camlucida.app.schemas import Option, Schema
from camlucida.attribution.method_choice import is_quick
from camlucida.methods import combinators, methods
from camlucida.render.colours import NAN_COLOUR
from camlucida.render.palettes import DEFAULT_COLORMAP, PALETTES

router = APIRouter(tags=["start"])


class LayerChoice(Schema):
    """A recommended layer; `grid` is (height, width)."""

    name: str
    label: str
    grid: tuple[int, int] | None


class ModelChoice(Schema):
    """A model of the app; its layers are ordered from edges to objects, and the last one is the default.

    `method`: the default method. `image_targets`: the kind of the targets that belong to one image, such as
    "detection"; null if there are none.
    """

    name: str
    labels: list[str]
    layers: list[LayerChoice]
    input: tuple[int, int]
    method: str
    image_targets: str | None


class MethodChoice(Schema):
    """A method of the registry; `quick` if a map takes only a few runs of the network."""

    name: str
    summary: str
    paper: str
    layered: bool
    class_free: bool
    quick: bool
    options: dict[str, Option]


class CombinatorChoice(Schema):
    """A combinator that can be applied to a method, as in "refine(layer_cam)"."""

    name: str
    summary: str
    options: dict[str, Option]


class Palette(Schema):
    """A colour map: control colours (rrggbb) at positions from 0 to 1. If `diverging`, zero is at the centre."""

    colours: list[str]
    positions: list[float]
    diverging: bool


class DataChoice(Schema):
    """The data set: its number of images, and its classes."""

    name: str
    count: int
    classes: list[str]


class Start(Schema):
    """The configuration of the app. `study` and `runs` reflect the command-line options."""

    version: str
    models: list[ModelChoice]
    methods: list[MethodChoice]
    combinators: list[CombinatorChoice]
    palettes: dict[str, Palette]
    palette: str
    nan_colour: tuple[int, int, int]
    data: DataChoice
    study: bool
    runs: list[str]


@router.get("/start")
def start(page: AppDep) -> Start:
    """Return the models with their layers and classes, the methods, the colour maps, and the data set."""
    return start_of(page)


def start_of(page: Page) -> Start:
    """Return the first state of the page, which is the same as long as the app runs."""
    names = offered(page.served.values())
    return Start(
        version=camlucida.__version__,
        models=[_model(served) for served in page.served.values()],
        methods=[
            MethodChoice(
                name=m.name,
                summary=m.summary,
                paper=m.paper,
                layered=m.needs_layer,
                class_free=m.class_free,
                quick=is_quick(m),
                options={name: _plain(value) for name, value in m.options.items()},
            )
            for m in methods().values()
            if m.name in names
        ],
        combinators=[
            CombinatorChoice(
                name=c.name, summary=c.summary, options={name: _plain(value) for name, value in c.options.items()}
            )
            for c in combinators().values()
        ],
        palettes={
            name: Palette(colours=list(p.colours), positions=list(p.positions), diverging=p.diverging)
            for name, p in PALETTES.items()
        },
        palette=DEFAULT_COLORMAP,
        nan_colour=NAN_COLOUR,
        data=_data(page),
        study=page.study is not None,
        runs=[run.name for run in page.runs],
    )


def _plain(value: object) -> Option:
    return value if isinstance(value, bool | int | float | str) or value is None else repr(value)


def _model(served: Served) -> ModelChoice:
    width, height = served.model.preprocessing.size[::-1]
    return ModelChoice(
        name=served.name,
        labels=list(served.model.labels),
        layers=[
            LayerChoice(name=layer.name, label=layer.label, grid=_image_grid(layer.grid)) for layer in served.layers
        ],
        input=(width, height),
        method=method_for(served, None),
        image_targets=None if served.model.image_targets is None else served.model.image_targets.kind,
    )


def _data(page: Page) -> DataChoice:
    return DataChoice(name=page.data.name, count=len(page.data), classes=list(page.data.classes))


def _image_grid(grid: tuple[int, ...] | None) -> tuple[int, int] | None:
    """Return the grid of a layer of images; None for other grids, since the page displays images only."""
    return (grid[0], grid[1]) if grid is not None and len(grid) == 2 else None
