"""camlucida app"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.markup import escape

from camlucida.cli.exit_codes import INTERRUPTED
from camlucida.cli.lists import TrustCode
from camlucida.cli.model_and_data import is_training_folder, open_model_and_data
from camlucida.cli.terminal import Terminal
from camlucida.errors import DataError

BUILT_IN = ("toybox", "toybox:vgg", "toybox:vit", "toybox:cleverhans")
STOP_TIMEOUT_S = 0.5
"""Seconds for work that is going on when it is stopped."""


def app(
    *,
    model: Annotated[list[str] | None, Parameter(negative=())] = None,
    arch: str | None = None,
    trust_code: TrustCode = False,
    labels: Path | None = None,
    data: str = "toybox",
    boxes: Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    run: Annotated[list[Path] | None, Parameter(negative=())] = None,
    study: Path = Path("camlucida-out/study"),
    host: str = "127.0.0.1",
    port: int = 8790,
    browser: bool = False,
) -> int:
    """Open the page: look at samples or your own photos, compare, doubt, look inside, over a data set, in a study.

    Serves this machine only, until it is stopped by Ctrl-C. Pictures that are given to the page stay in memory.

    Parameters
    ----------
    model
        A name (resnet50, timm:…, toybox), a checkpoint, a training's folder, or python:module:function; several times
        for several models to compare. If not given, that of the training, or the built-in networks.
    arch
        What a checkpoint holds the weights of.
    labels
        A text file with one class name a line.
    data
        A data set, as of `camlucida evaluate`: a folder, toybox, a training's folder, …
    boxes
        A CSV file with labels, and boxes: file, x0, y0, x1, y1, label.
    limit
        How many scenes toybox draws; 500 if not given.
    seed
        Of the scenes.
    run
        A folder that `camlucida evaluate`, `mistakes` or `embed` wrote about this data, to be shown.
    study
        The folder of a blind study; one can be made on the page if there is none.
    host
        Another address of this machine, to be reached from elsewhere: then a token is needed, which is printed.
    port
        0 takes any free one.
    browser
        Also open it in the browser.
    """
    from camlucida._optional import need

    need("fastapi", extra="web", what="the page")
    need("uvicorn", extra="web", what="the page")
    from camlucida.app.app_state import Page
    from camlucida.app.server import listen, serve

    for folder in run or ():
        if not folder.is_dir():
            raise DataError(f"--run {folder}: there is no such folder. It is what evaluate, mistakes or embed wrote.")
    console = Terminal()
    with listen(host, port) as listening:  # before anything is loaded, which may take long
        names = dict.fromkeys(model or ([data] if is_training_folder(data) else BUILT_IN))
        models = []
        for name in names:
            with console.status(f"Loading {escape(name)} …"):
                loaded, dataset = open_model_and_data(
                    data, name, arch=arch, trust_code=trust_code, labels=labels, boxes=boxes, count=limit, seed=seed
                )
            models.append(loaded)
        page = Page(models, dataset, tuple(run or ()), study)
        with console.status("Looking into the networks …"):
            page.warm()
        images = f"{len(dataset):,} picture{'' if len(dataset) == 1 else 's'}"
        console.print(f"{', '.join(page.served)} · {dataset.name}, {images}", highlight=False, markup=False)

        def say(address: str) -> None:
            console.print(f"→ {address}", highlight=False, markup=False, soft_wrap=True)
            if "?token=" in address:
                console.print(
                    "Whoever reaches this machine and has this address can use the page, under any of its names. "
                    "What is sent is not encrypted.",
                    highlight=False,
                    soft_wrap=True,
                )
            console.print("Ctrl-C stops it.", highlight=False)

        try:
            serve(page, listening, host=host, browser=browser, say=say)
        except KeyboardInterrupt:
            if not page.work.empty(STOP_TIMEOUT_S):
                _exit_now()
            raise
    return 0


def _exit_now() -> None:
    """At once: a network in the middle of a run cannot be stopped, and nothing that it still does is wanted."""
    Terminal(stderr=True).print("camlucida: stopped.")
    sys.stdout.flush()
    os._exit(INTERRUPTED)
