"""The `camlucida app` command."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from camlucida.cli.exit_codes import INTERRUPTED
from camlucida.cli.method_choice import announced_method
from camlucida.cli.model_and_data import ModelOptions, model_of_data, open_model_and_data
from camlucida.cli.options import (
    DATA,
    MODEL,
    SERVER,
    Arch,
    Boxes,
    Device,
    Fit,
    Labels,
    Limit,
    Mean,
    Probabilities,
    Prompts,
    Seed,
    Size,
    Std,
    TaskOption,
    Template,
    TerminalOptions,
    TrustCode,
)
from camlucida.cli.progress import progress_bar
from camlucida.cli.recorded_source import reopen_model_and_data
from camlucida.cli.report import is_audit
from camlucida.cli.terminal import Terminal
from camlucida.errors import DataError

if TYPE_CHECKING:
    from camlucida.app.app_state import Page
    from camlucida.data.datasets import Dataset
    from camlucida.models.model import Model

BUILT_IN = ("toybox", "toybox:vgg", "toybox:vit", "toybox:cleverhans")
STOP_TIMEOUT_S = 0.5
"""Time, in seconds, that running jobs have to end when the server is stopped."""


def app(
    *,
    model: Annotated[list[str] | None, Parameter(negative=(), group=MODEL)] = None,
    arch: Arch = None,
    device: Device = "auto",
    labels: Labels = None,
    trust_code: TrustCode = False,
    task: TaskOption = None,
    probabilities: Probabilities = None,
    size: Size = None,
    fit: Fit = None,
    mean: Mean = None,
    std: Std = None,
    prompts: Prompts = None,
    template: Template = None,
    data: Annotated[str, Parameter(group=DATA)] = "toybox",
    boxes: Boxes = None,
    limit: Limit = None,
    seed: Seed = 0,
    run: Annotated[list[Path] | None, Parameter(negative=(), group=DATA)] = None,
    audit: Annotated[list[Path] | None, Parameter(negative=(), group=DATA)] = None,
    study: Annotated[Path, Parameter(group=DATA)] = Path("camlucida-out/study"),
    host: Annotated[str, Parameter(group=SERVER)] = "127.0.0.1",
    port: Annotated[int, Parameter(group=SERVER)] = 8790,
    browser: Annotated[bool, Parameter(group=SERVER)] = False,
    terminal: TerminalOptions = TerminalOptions(),
) -> int:
    """Start the local web app: explain samples or your own images, compare maps, test whether they can be trusted.

    It also shows activations, analyses of a data set, and user studies. Accepts connections from this machine only, and
    runs until it is stopped with Ctrl-C. Uploaded images are kept in memory only.

    Parameters
    ----------
    model
        A name (resnet50, timm:…, hf:…, toybox), a checkpoint, the folder of a training run, or python:module:function;
        can be repeated to compare models. Required, except for data that come with a model: a training run, and toybox
        with the built-in networks.
    data
        The sample images: a data set, as for `camlucida evaluate`: a folder, toybox, the folder of a training run, …
    limit
        The number of scenes that toybox renders. If not given: 500.
    seed
        The random seed of the scenes.
    run
        A folder that `camlucida evaluate`, `mistakes` or `embed` wrote for this data, to be displayed; can be repeated.
    audit
        A folder that `camlucida audit` wrote, whose report is displayed at /audit; can be repeated. Without --model and
        --data, the app opens the model and the data of the first one.
    study
        The folder of a user study; if it does not exist, a study can be created in the app.
    host
        The address to listen on. If it is not a loopback address, other machines can connect, with a token that is
        printed.
    port
        The port to listen on; 0 selects a free one.
    browser
        Also open the app in the browser.
    """
    from camlucida._optional import need

    need("fastapi", extra="web", what="the page")
    need("uvicorn", extra="web", what="the page")
    from camlucida.app.app_state import Page
    from camlucida.app.server import listen, serve
    from camlucida.data.open import is_toybox

    for folder in run or ():
        if not folder.is_dir():
            raise DataError(f"--run {folder}: no such folder. Expected one that evaluate, mistakes or embed wrote.")
    for folder in audit or ():
        if not is_audit(folder):
            raise DataError(f"--audit {folder}: no audit there. Expected a folder that `camlucida audit` wrote.")
    console = terminal.open("app")
    with listen(host, port) as listening:  # before anything is loaded, which may take long
        come_with_data = BUILT_IN if is_toybox(data) else [model_of_data(data)]
        models = []
        if audit and model is None and data == "toybox":
            with console.status("Loading the model and the data of the audit …"):
                loaded, dataset = _of_audit(audit[0], trust_code)
            models.append(loaded)
            come_with_data = []
        for name in dict.fromkeys(model or come_with_data):
            options = ModelOptions(
                model=name,
                arch=arch,
                labels=labels,
                trust_code=trust_code,
                device=device,
                task=task,
                probabilities=probabilities,
                size=size,
                fit=fit,
                mean=mean,
                std=std,
                prompts=prompts,
                template=template,
            )
            with console.status(options.status):
                loaded, dataset = open_model_and_data(data, options, boxes=boxes, count=limit, seed=seed)
            models.append(loaded)
        page = Page(models, dataset, tuple(run or ()), study, tuple(audit or ()))
        _write_audit_reports(console, page)
        with console.status("Preparing the models …"):
            page.warm()
        n_images = f"{len(dataset):,} image{'s' * (len(dataset) != 1)}"
        for loaded in models:
            announced_method(console, loaded)
        console.print_line(f"{', '.join(page.served)} · {dataset.name}, {n_images}")

        def print_address(address: str) -> None:
            console.add(address=address, models=list(page.served), data=dataset.name)
            console.finish()  # now, since the command runs until it is stopped
            sys.stdout.flush()
            if console.mode == "quiet":  # without the address the app cannot be used
                Terminal().print_line(address)
            console.print_line(f"→ {address}")
            if audit:
                console.print_line(f"→ {audit_address(address)}")
            if "?token=" in address:
                console.print_line(
                    "Anyone who can connect to this machine and has this address can use the app, under any host name. "
                    "The connection is not encrypted."
                )
            console.print_line("Ctrl-C stops the server.")

        try:
            serve(page, listening, host=host, browser=browser, report=print_address)
        except KeyboardInterrupt:
            if not page.queues.empty(STOP_TIMEOUT_S):
                _exit_now()
            raise
    return 0


def audit_address(address: str) -> str:
    """Return the address of the first audit's report for that of the app, which may end in a token."""
    base, _, query = address.partition("?")
    return f"{base.rstrip('/')}/audit{'?' if query else ''}{query}"


def _write_audit_reports(console: Terminal, page: Page) -> None:
    """Write the reports of audits that have none, before the app starts: thumbnails of a large audit take a minute."""
    for number in range(len(page.audit_folders)):
        with progress_bar(console) as bar:
            update = partial(bar.update, bar.add_task("reading images of the audit", total=None))
            page.audits.file(number, partial(_advance, update))


def _advance(update: Callable[..., None], done: int, total: int) -> None:
    update(completed=done, total=total)


def _of_audit(folder: Path, trust_code: bool) -> tuple[Model, Dataset]:
    """Open the model and the data that an audit records."""
    from camlucida.audits.store import AuditStore

    store, record = AuditStore.open(folder.expanduser()), str(folder / "plan.json")
    seed = int(store.plan["seed"])
    return reopen_model_and_data(store.source, record_path=record, seed=seed, trust_code=trust_code)


def _exit_now() -> None:
    """Exit immediately: a running forward pass cannot be interrupted, and its result is no longer needed."""
    Terminal(stderr=True).print("camlucida: stopped.")
    sys.stdout.flush()
    os._exit(INTERRUPTED)
