"""The `camlucida app` command."""

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
"""Time, in seconds, that running jobs have to end when the server is stopped."""


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
    """Start the local web app: explain samples or your own images, compare maps, test whether they can be trusted.

    It also shows activations, analyses of a data set, and user studies. Serves only this machine, until it is stopped
    with Ctrl-C. Uploaded images are kept in memory only.

    Parameters
    ----------
    model
        A name (resnet50, timm:…, toybox), a checkpoint, a training folder, or python:module:function. Repeat the option
        to compare several models. If not given, the model of the training folder, or the built-in networks.
    arch
        The architecture that a checkpoint holds the weights of.
    labels
        A text file with one class name per line.
    data
        A data set, as for `camlucida evaluate`: a folder, toybox, a training folder, …
    boxes
        A CSV file with labels and bounding boxes: file, x0, y0, x1, y1, label.
    limit
        The number of scenes that toybox renders; 500 if not given.
    seed
        The random seed of the scenes.
    run
        A folder that `camlucida evaluate`, `mistakes` or `embed` wrote for this data, to be displayed.
    study
        The folder of a user study; if it has none, one can be created in the app.
    host
        Another address of this machine, so that other machines can connect: a token is then required, which is printed.
    port
        The port to listen on; 0 selects any free one.
    browser
        Also open the app in the browser.
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
    """Exit immediately: a running forward pass cannot be interrupted, and its result is no longer needed."""
    Terminal(stderr=True).print("camlucida: stopped.")
    sys.stdout.flush()
    os._exit(INTERRUPTED)
