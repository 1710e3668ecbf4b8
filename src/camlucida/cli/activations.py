"""The `camlucida activations` command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from camlucida.cli.exit_codes import exit_code
from camlucida.cli.images import free_path, input_files, output_stems, split_output
from camlucida.cli.model_and_data import PretrainedModelOptions
from camlucida.cli.options import (
    DRAWING,
    EXPLANATION,
    Images,
    Layer,
    Output,
    OverlayOptions,
    Overwrite,
    Target,
    TerminalOptions,
    Top,
)
from camlucida.cli.progress import progress_bar
from camlucida.cli.terminal import Terminal
from camlucida.errors import CamlucidaError, MethodError

if TYPE_CHECKING:
    from camlucida.models.model import Model


def activations(
    images: Images,
    /,
    *,
    model: PretrainedModelOptions = PretrainedModelOptions(),
    layer: Layer = None,
    target: Target = None,
    channel: Annotated[int | None, Parameter(group=EXPLANATION)] = None,
    top: Top = 24,
    sort_by: Annotated[str, Parameter(group=DRAWING)] = "contribution",
    overlay: OverlayOptions = OverlayOptions(),
    output: Output = Path("camlucida-out"),
    overwrite: Overwrite = False,
    terminal: TerminalOptions = TerminalOptions(),
) -> int:
    """Show the channels of a layer on an image, or with --channel the images that activate one channel most.

    Writes a contact sheet for every image, or one for the channel. An image that cannot be read is reported and
    skipped.

    Parameters
    ----------
    layer
        The layer: a name or an index (target_layers in pytorch-grad-cam). If not given: the default layer. See
        `camlucida layers`.
    target
        The class whose gradients weight the channels: a name or an index. If not given: the predicted class.
    channel
        The index of a channel: find the images with its highest activations.
    top
        The number of channels, or of images, on a sheet.
    sort_by
        The order of the channels: contribution (mean gradient × mean activation), gradient, activation, or channel (the
        index).
    output
        The folder to write to; where one sheet is written, also a file, such as sheet.png.
    """
    console = terminal.open("activations")
    if top < 1:
        raise MethodError(f"--top {top}: a sheet shows at least 1.")
    files = input_files(images, output)
    style = overlay.style()
    model = model.or_default(console)
    with console.status(model.status):
        loaded = model.load()
    if channel is not None:
        return _images_of_channel(console, loaded, files, layer, channel, top, output, overwrite, style)
    return _channels_of_images(console, loaded, files, layer, target, top, sort_by, output, overwrite, style)


def _channels_of_images(
    console: Terminal,
    model: Model,
    files: list[Path],
    layer: str | None,
    target: str | None,
    top: int,
    sort_by: str,
    output: Path,
    overwrite: bool,
    style: dict[str, Any],
) -> int:
    from camlucida.features.activations import activations

    output, file_name = split_output(output, files)
    failed, sheets = 0, list[dict[str, Any]]()
    stems = output_stems(files, output, ["-activations.png"], overwrite=overwrite)
    with progress_bar(console, len(files)) as progress:
        task = progress.add_task("computing activations", total=len(files))
        for file in files:
            try:
                result = activations(model, file, layer=layer, target=target, by=sort_by)
            except CamlucidaError as error:
                if len(files) == 1:
                    raise
                failed += 1
                console.print_failure(file.name, error)
            else:
                sheet = free_path(output / file_name, overwrite) if file_name else None
                (path,) = result.save(sheet or output / f"{stems[file]}-activations.png", top, **style)
                console.note_files([path])
                sheets.append(
                    {"image": str(file), "layer": result.layer, "target": result.target, "channels": result.order[:top]}
                )
                leading = ", ".join(map(str, result.order[:5]))
                console.print_line(
                    f"{result.source}: {result.layer}, top channels for {result.target}: {leading} → {path}"
                )
            progress.advance(task)
    console.add(images=sheets)
    return console.finish(exit_code(len(files) - failed, failed))


def _images_of_channel(
    console: Terminal,
    model: Model,
    files: list[Path],
    layer: str | None,
    channel: int,
    top: int,
    output: Path,
    overwrite: bool,
    style: dict[str, Any],
) -> int:
    from camlucida.features.top_images import top_images
    from camlucida.render.text import format_confidence

    with progress_bar(console, len(files)) as progress:
        task = progress.add_task("computing activations", total=len(files))

        def report(image: Any, error: CamlucidaError | None) -> None:
            if error and len(files) > 1:
                console.print_failure(Path(image).name, error)
            progress.advance(task)

        result = top_images(model, files, channel=channel, layer=layer, n=top, progress=report)
    if not result.items:
        if len(files) == 1:
            raise result.failed[0][1]
        return console.finish(exit_code(0, len(result.failed)))
    layer_name = "".join(letter if letter.isalnum() or letter in "._" else "_" for letter in result.layer)
    output, file_name = split_output(output, files, is_joint=True)
    sheet = free_path(output / (file_name or f"{layer_name}-channel-{channel}.png"), overwrite)
    (path,) = result.save(sheet, top, **style)
    console.add(
        layer=result.layer,
        channel=channel,
        images=[{"image": str(item.source), "strength": item.strength} for item in result.items],
    )
    for item in result.items[:5]:
        confidence = format_confidence(item.predicted.probability, item.predicted.logit)
        console.print_line(f"{item.strength:10.4g}  {item.source} ({item.predicted.name} {confidence})")
    console.print_line(f"{result.n_images} images analysed, {len(result.failed)} failed")
    console.print_paths([path])
    return console.finish(exit_code(result.n_images, len(result.failed)))
