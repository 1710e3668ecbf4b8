"""The `camlucida embed` command."""

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
    """Project the penultimate features of every image onto a plane: which images does the model consider similar?

    Writes embedding.npy (the features), embedding.parquet (one row per image with its position), neighbours.png and
    report.html, where each point shows its image. An interrupted run resumes when it is started again.

    Parameters
    ----------
    data
        A data set, as for `camlucida evaluate`: a folder, toybox, …; its labels are used if it has them.
    model
        A name (resnet50, timm:…, toybox), a checkpoint, a training folder, or python:module:function. If not given, the
        model of the training folder, or toybox.
    arch
        The architecture that a checkpoint holds the weights of.
    labels
        A text file with one class name per line.
    way
        The projection: tsne, umap (requires the extra) or pca.
    perplexity
        The perplexity of t-SNE: roughly the number of effective neighbours.
    near
        Names of images whose nearest neighbours are drawn; six random ones if not given.
    boxes
        A CSV file with labels and bounding boxes: file, x0, y0, x1, y1, label.
    limit
        The number of images, selected at random; all if not given (500 of toybox).
    seed
        The random seed.
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
