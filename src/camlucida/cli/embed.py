"""The `camlucida embed` command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from camlucida.cli.exit_codes import exit_code
from camlucida.cli.model_and_data import ModelOptions, open_model_and_data
from camlucida.cli.options import COMPUTATION, DRAWING, Boxes, Limit, Output, Seed, TerminalOptions
from camlucida.cli.progress import progress_bar
from camlucida.cli.recorded_source import recorded_source


def embed(
    data: str,
    /,
    *,
    model: ModelOptions = ModelOptions(),
    projection: Annotated[Literal["tsne", "umap", "pca"], Parameter(group=COMPUTATION)] = "tsne",
    perplexity: Annotated[float, Parameter(group=COMPUTATION)] = 30.0,
    near: Annotated[list[str] | None, Parameter(negative=(), group=DRAWING)] = None,
    boxes: Boxes = None,
    limit: Limit = None,
    seed: Seed = 0,
    output: Output = Path("camlucida-out/embedding"),
    terminal: TerminalOptions = TerminalOptions(),
) -> int:
    """Project the penultimate features of every image to two dimensions: which images does the model consider similar?

    Writes embedding.npy (the features), embedding.parquet (one row per image, with its coordinates), neighbours.png and
    report.html, where each point shows its image. An interrupted run resumes when it is started again.

    Parameters
    ----------
    data
        A data set, as for `camlucida evaluate`: a folder, toybox, …; its labels are used if it has them.
    projection
        The projection: tsne, umap (needs the extra umap) or pca.
    perplexity
        The perplexity of t-SNE: roughly the number of effective neighbours.
    near
        The name of an image whose nearest neighbours are drawn; can be repeated. If not given: six random images.
    limit
        The number of images, selected at random. If not given: all, or 500 of toybox.
    seed
        The random seed.
    output
        The folder to write to.
    """
    from camlucida.analysis import embed as run
    from camlucida.report.embedding_page import embedding_report

    console = terminal.open("embed")
    model = model.for_data(data)
    with console.status(model.status):
        loaded, dataset = open_model_and_data(data, model, boxes=boxes, count=limit, seed=seed)
    with progress_bar(console) as progress:
        task = progress.add_task("computing features", total=None)
        result = run(
            loaded,
            dataset,
            way=projection,
            perplexity=perplexity,
            limit=limit,
            seed=seed,
            out=output,
            source=recorded_source(data, model, boxes, dataset),
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    console.print_line(
        f"{len(result.rows):,} images, {result.features.shape[1]:,} features each, of {result.feature_source}"
    )
    console.print_line(result.projection.description)
    console.add(
        n_images=len(result.rows),
        n_features=result.features.shape[1],
        layer=result.feature_source,
        projection=result.projection.description,
        neighbour_agreement=result.agreement,
    )
    if result.agreement == result.agreement:
        console.print_line(
            f"nearest neighbour of the same class: {result.agreement:.1%} of the {result.n_comparable:,} images whose "
            "class has another image"
        )
    console.print_failures(result.failures, "features.parquet")
    written = [output / "embedding.parquet", output / "embedding.npy"]
    with console.status("Drawing …"):
        if len(result.rows) > 1:
            written += result.save(output / "neighbours.png", near)
        written.append(embedding_report(result, output / "report.html"))
    console.print_paths(written)
    return console.finish(exit_code(len(result.rows), len(result.failures)))
