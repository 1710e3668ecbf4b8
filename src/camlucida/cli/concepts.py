"""The `camlucida concepts` command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from camlucida.cli.exit_codes import exit_code
from camlucida.cli.images import free_path, input_files, output_stems, split_output
from camlucida.cli.model_and_data import PretrainedModelOptions
from camlucida.cli.option_values import check_opacity
from camlucida.cli.options import (
    DRAWING,
    EXPLANATION,
    OUTPUT,
    Images,
    Layer,
    Output,
    Overwrite,
    Seed,
    TerminalOptions,
    Top,
)
from camlucida.cli.progress import progress_bar
from camlucida.errors import CamlucidaError, MethodError


def concepts(
    images: Images,
    /,
    *,
    model: PretrainedModelOptions = PretrainedModelOptions(),
    layer: Layer = None,
    k: Annotated[int, Parameter(name=["--concepts", "-k"], group=EXPLANATION)] = 6,
    seed: Seed = 0,
    top: Top = 12,
    opacity: Annotated[float, Parameter(group=DRAWING)] = 0.5,
    maps: Annotated[bool, Parameter(group=OUTPUT)] = False,
    output: Output = Path("camlucida-out"),
    overwrite: Overwrite = False,
    terminal: TerminalOptions = TerminalOptions(),
) -> int:
    """Factorise a layer's activations into concepts that all images share, and score the classes for each concept.

    This is Deep Feature Factorisation (Collins et al., 2018): non-negative matrix factorisation. Writes one page on
    which each concept has the same colour in every image. An image that cannot be read is reported and skipped.

    Parameters
    ----------
    layer
        The layer: a name or an index (target_layers in pytorch-grad-cam). If not given: the default layer. See
        `camlucida layers`.
    k
        The number of concepts.
    seed
        The random seed of the initial factors.
    top
        The number of images on the page.
    opacity
        The opacity of the colours over the image, in [0, 1].
    maps
        Also save the concepts and their maps: an NPZ file, and a JSON file with the settings.
    output
        The folder to write to, or the file of the page, such as concepts.png.
    """
    from camlucida.features.concepts import concepts
    from camlucida.render.text import format_number, format_percent

    console = terminal.open("concepts")
    if top < 1:
        raise MethodError(f"--top {top}: a page shows at least 1.")
    files = input_files(images, output)
    output, file_name = split_output(output, files, is_joint=True)
    check_opacity(opacity)
    model = model.or_default(console)
    with console.status(model.status):
        loaded = model.load()
    with progress_bar(console, len(files)) as progress:
        task = progress.add_task("computing activations", total=len(files))

        def report(image: Any, error: CamlucidaError | None) -> None:
            if error and len(files) > 1:
                console.print_failure(Path(image).name, error)
            progress.advance(task)

        result = concepts(loaded, files, layer=layer, k=k, seed=seed, progress=report)
    layer_name = "".join(letter if letter.isalnum() or letter in "._" else "_" for letter in result.layer)
    stem = output_stems(files, output)[files[0]] if len(files) == 1 else layer_name
    page = free_path(output / (file_name or f"{stem}-concepts.png"), overwrite)
    written = result.save(page, top, opacity=opacity)
    if maps:
        written += result.save(free_path(page.with_suffix(".npz"), overwrite))
    console.add(
        layer=result.layer,
        error=result.error,
        negative_fraction=result.negative_fraction,
        concepts=[
            {"contribution": fraction, "classes": classes}
            for fraction, classes in zip(result.contributions.tolist(), result.classes, strict=True)
        ],
    )
    for concept, (fraction, classes) in enumerate(
        zip(result.contributions.tolist(), result.classes, strict=True), start=1
    ):
        class_text = ", ".join(
            f"{p.name} {format_number(p.logit) if p.probability is None else format_percent(p.probability)}"
            for p in classes[:3]
        )
        console.print_line(f"concept {concept:2}  {format_percent(fraction):>7}  {class_text}")
    discarded = result.negative_fraction
    console.print_line(
        f"{result.layer}: relative error {result.error:.3f}; negative activations discarded: "
        f"{f'{format_percent(discarded)} of the energy' if discarded else 'none'}"
    )
    if len(files) > 1:
        console.print_line(f"{len(result.images)} images analysed, {len(result.failed)} failed")
    console.print_paths(written)
    return console.finish(exit_code(len(result.images), len(result.failed)))
