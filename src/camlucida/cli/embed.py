"""camlucida embed"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.markup import escape

from camlucida.cli.evaluate import run_source
from camlucida.cli.exit_codes import exit_code
from camlucida.cli.images import progress_bar
from camlucida.cli.lists import TrustCode
from camlucida.cli.model_and_data import is_training_folder, open_model_and_data
from camlucida.cli.terminal import Terminal

MAX_FAILURES = 5


def embed(
    data: str,
    /,
    *,
    model: str | None = None,
    arch: str | None = None,
    trust_code: TrustCode = False,
    labels: Path | None = None,
    way: Literal["tsne", "umap", "pca"] = "tsne",
    perplexity: float = 30.0,
    near: Annotated[list[str] | None, Parameter(negative=())] = None,
    boxes: Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path("camlucida-out/embedding"),
) -> int:
    """What a model takes for alike: the features of every picture just before the last layer, put on a plane.

    Writes embedding.npy (the features), embedding.parquet (a row a picture with its place), neighbours.png and
    report.html, where each point shows its picture. Stopped and started again it goes on where it was.

    Parameters
    ----------
    data
        A data set, as of `camlucida evaluate`: a folder, toybox, …; labels are used where it has them.
    model
        A name (resnet50, timm:…, toybox), a checkpoint, a training's folder, or python:module:function. If not given,
        that of the training, or toybox.
    arch
        What a checkpoint holds the weights of.
    labels
        A text file with one class name a line.
    way
        tsne, umap (needs the extra) or pca.
    perplexity
        Of t-SNE: about how many neighbours count.
    near
        Pictures by name, whose nearest neighbours are drawn; six at random if not given.
    boxes
        A CSV file with labels, and boxes: file, x0, y0, x1, y1, label.
    limit
        How many pictures, drawn at random; all if not given (500 of toybox).
    seed
        Of every choice by chance.
    output
        The folder to write to.
    """
    from camlucida.analysis import embed as run
    from camlucida.report.embedding_page import embedding_report

    console = Terminal()
    model = model or (data if is_training_folder(data) else "toybox")
    with console.status(f"Loading {escape(model)} …"):
        loaded, dataset = open_model_and_data(
            data, model, arch=arch, trust_code=trust_code, labels=labels, boxes=boxes, count=limit, seed=seed
        )
    with progress_bar(console) as progress:
        task = progress.add_task("looking", total=None)
        result = run(
            loaded,
            dataset,
            way=way,
            perplexity=perplexity,
            limit=limit,
            seed=seed,
            out=output,
            source=run_source(data, model, arch, labels, boxes, dataset),
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    console.print(
        f"{len(result.rows):,} pictures, {result.features.shape[1]:,} numbers each: {result.place}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    console.print(result.projection.description, highlight=False, markup=False, soft_wrap=True)
    if result.agreement == result.agreement:
        console.print(f"nearest neighbour of the same class: {result.agreement:.1%}", highlight=False)
    for image, reason in result.failures[:MAX_FAILURES]:
        console.print(f"[red]{escape(image)}[/]: {escape(reason)}", highlight=False, soft_wrap=True)
    if len(result.failures) > MAX_FAILURES:
        console.print(f"… and {len(result.failures) - MAX_FAILURES} more, in features.parquet.")
    written = [output / "embedding.parquet", output / "embedding.npy"]
    with console.status("Drawing …"):
        if len(result.rows) > 1:
            written += result.save(output / "neighbours.png", near)
        written.append(embedding_report(result, output / "report.html"))
    for path in written:
        console.print(f"→ {path}", highlight=False, markup=False, soft_wrap=True)
    return exit_code(len(result.rows), len(result.failures))
