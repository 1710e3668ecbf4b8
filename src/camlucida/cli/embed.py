"""camlucida embed"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.markup import escape

from camlucida.cli.arguments import TrustCode
from camlucida.cli.evaluate import source_of
from camlucida.cli.exit_codes import exit_code
from camlucida.cli.opening import is_run, opened
from camlucida.cli.pictures import progress_bar
from camlucida.cli.terminal import Terminal

FAILURES = 5


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
    from camlucida.analysing import embed as run
    from camlucida.report.embedding_page import embedding_report

    console = Terminal()
    model = model or (data if is_run(data) else "toybox")
    with console.status(f"Loading {escape(model)} …"):
        loaded, dataset = opened(
            data, model, arch=arch, trust_code=trust_code, labels=labels, boxes=boxes, count=limit, seed=seed
        )
    with progress_bar(console) as progress:
        task = progress.add_task("looking", total=None)
        found = run(
            loaded,
            dataset,
            way=way,
            perplexity=perplexity,
            limit=limit,
            seed=seed,
            out=output,
            source=source_of(data, model, arch, labels, boxes, dataset),
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    console.print(
        f"{len(found.rows):,} pictures, {found.features.shape[1]:,} numbers each: {found.place}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    console.print(found.projection.how, highlight=False, markup=False, soft_wrap=True)
    if found.agreement == found.agreement:
        console.print(f"nearest neighbour of the same class: {found.agreement:.1%}", highlight=False)
    for picture, reason in found.failures[:FAILURES]:
        console.print(f"[red]{escape(picture)}[/]: {escape(reason)}", highlight=False, soft_wrap=True)
    if len(found.failures) > FAILURES:
        console.print(f"… and {len(found.failures) - FAILURES} more, in features.parquet.")
    written = [output / "embedding.parquet", output / "embedding.npy"]
    with console.status("Drawing …"):
        if len(found.rows) > 1:
            written += found.save(output / "neighbours.png", near)
        written.append(embedding_report(found, output / "report.html"))
    for path in written:
        console.print(f"→ {path}", highlight=False, markup=False, soft_wrap=True)
    return exit_code(len(found.rows), len(found.failures))
