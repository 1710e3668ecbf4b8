"""The `camlucida activations` command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from camlucida.cli.exit_codes import exit_code
from camlucida.cli.images import input_files, output_stems, progress_bar
from camlucida.cli.model_and_data import PretrainedModelOptions
from camlucida.cli.options import Images, Output, OverlayOptions
from camlucida.cli.terminal import Terminal
from camlucida.errors import CamlucidaError, MethodError

if TYPE_CHECKING:
    from camlucida.models.model import Model


def activations(
    images: Images,
    /,
    *,
    model: PretrainedModelOptions = PretrainedModelOptions(),
    layer: str | None = None,
    target: str | None = None,
    channel: int | None = None,
    top: Annotated[int, Parameter(name=["--top", "-n"])] = 24,
    sort_by: str = "contribution",
    overlay: OverlayOptions = OverlayOptions(),
    output: Output = Path("camlucida-out"),
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
        The folder to write to.
    """
    console = Terminal()
    if top < 1:
        raise MethodError(f"--top {top}: a sheet shows at least 1.")
    files = input_files(images, output)
    style = overlay.style()
    with console.status(model.status):
        loaded = model.load()
    if channel is not None:
        return _images_of_channel(console, loaded, files, layer, channel, top, output, style)
    return _channels_of_images(console, loaded, files, layer, target, top, sort_by, output, style)


def _channels_of_images(
    console: Terminal,
    model: Model,
    files: list[Path],
    layer: str | None,
    target: str | None,
    top: int,
    sort_by: str,
    output: Path,
    style: dict[str, Any],
) -> int:
    from camlucida.features.activations import activations

    failed, stems = 0, output_stems(files, output)
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
                (path,) = result.save(output / f"{stems[file]}-activations.png", top, **style)
                leading = ", ".join(map(str, result.order[:5]))
                console.print_line(
                    f"{result.source}: {result.layer}, top channels for {result.target}: {leading} → {path}"
                )
            progress.advance(task)
    return exit_code(len(files) - failed, failed)


def _images_of_channel(
    console: Terminal,
    model: Model,
    files: list[Path],
    layer: str | None,
    channel: int,
    top: int,
    output: Path,
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
        return exit_code(0, len(result.failed))
    layer_name = "".join(letter if letter.isalnum() or letter in "._" else "_" for letter in result.layer)
    (path,) = result.save(output / f"{layer_name}-channel-{channel}.png", top, **style)
    for item in result.items[:5]:
        confidence = format_confidence(item.predicted.probability, item.predicted.logit)
        console.print_line(f"{item.strength:10.4g}  {item.source} ({item.predicted.name} {confidence})")
    console.print_line(f"{result.n_images} images analysed, {len(result.failed)} failed")
    console.print_paths([path])
    return exit_code(result.n_images, len(result.failed))
