"""The `camlucida activations` command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape

from camlucida.cli.exit_codes import exit_code
from camlucida.cli.images import input_files, output_stems, overlay_style, progress_bar
from camlucida.cli.lists import TrustCode
from camlucida.cli.terminal import Terminal
from camlucida.errors import CamlucidaError, MethodError

if TYPE_CHECKING:
    from camlucida.models.model import Model


def activations(
    images: Annotated[list[str], Parameter(help="Pictures, or folders of pictures.", negative=())],
    /,
    *,
    model: str = "resnet50",
    arch: str | None = None,
    trust_code: TrustCode = False,
    labels: Path | None = None,
    layer: str | None = None,
    target: str | None = None,
    channel: int | None = None,
    top: Annotated[int, Parameter(name=["--top", "-n"])] = 24,
    sort_by: str = "contribution",
    opacity: float = 0.5,
    colormap: str | None = None,
    blend: str = "heat",
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path("camlucida-out"),
) -> int:
    """Show the channels of a layer on an image, or with --channel the images that activate one channel most.

    Writes a contact sheet for every image, or one for the channel. An image that cannot be read is reported and
    skipped.

    Parameters
    ----------
    images
        Images, or folders of images.
    model
        A name (resnet50, timm:…, toybox), a checkpoint, or python:module:function. See `camlucida models`.
    arch
        The architecture that a checkpoint holds the weights of: resnet18, timm:…, python:….
    labels
        A text file with one class name per line.
    layer
        A layer name or index (called target_layer in pytorch-grad-cam); the default layer if not given. See
        `camlucida layers`.
    target
        The class whose gradients weight the channels; the predicted class if not given.
    channel
        The index of a channel: find the images with its highest activations.
    top
        The number of channels, or images, on a sheet.
    sort_by
        The order of the channels: contribution (mean gradient × mean activation), gradient, activation, channel.
    opacity
        The opacity of the heat map over the image, 0 to 1.
    colormap
        jet, turbo, viridis, magma, or the default, which is safe for colour-blind readers.
    blend
        heat: the opacity grows with the map value; uniform: the opacity is constant.
    output
        The folder to write to.
    """
    from camlucida.models.load import load

    console = Terminal()
    if top < 1:
        raise MethodError(f"-n {top}: a sheet shows one or more.")
    files = input_files(images, output)
    style = overlay_style(opacity, colormap, blend)
    with console.status(f"Loading {escape(model)} …"):
        loaded = load(model, arch=arch, trust_code=trust_code, labels=labels)
    if channel is not None:
        return _images_of_channel(console, loaded, files, layer, channel, top, output, style)
    return _channels_of_images(console, loaded, files, layer, target, top, sort_by, output, style)


def _channels_of_images(
    console: Console,
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
        task = progress.add_task("looking", total=len(files))
        for file in files:
            try:
                result = activations(model, file, layer=layer, target=target, by=sort_by)
            except CamlucidaError as error:
                if len(files) == 1:
                    raise
                failed += 1
                _print_failure(console, file.name, error)
            else:
                (path,) = result.save(output / f"{stems[file]}-activations.png", top, **style)
                leading = ", ".join(map(str, result.order[:5]))
                _print(
                    console, f"{result.source}: {result.layer}, for {result.target} first channels {leading} → {path}"
                )
            progress.advance(task)
    return exit_code(len(files) - failed, failed)


def _images_of_channel(
    console: Console,
    model: Model,
    files: list[Path],
    layer: str | None,
    channel: int,
    top: int,
    output: Path,
    style: dict[str, Any],
) -> int:
    from camlucida.features.top_images import top_images

    with progress_bar(console, len(files)) as progress:
        task = progress.add_task("looking", total=len(files))

        def tick(image: Any, error: CamlucidaError | None) -> None:
            if error and len(files) > 1:
                _print_failure(console, Path(image).name, error)
            progress.advance(task)

        result = top_images(model, files, channel=channel, layer=layer, n=top, progress=tick)
    if not result.items:
        if len(files) == 1:
            raise result.failed[0][1]
        return exit_code(0, len(result.failed))
    layer_name = "".join(letter if letter.isalnum() or letter in "._" else "_" for letter in result.layer)
    (path,) = result.save(output / f"{layer_name}-channel-{channel}.png", top, **style)
    for item in result.items[:5]:
        _print(
            console, f"{item.strength:10.4g}  {item.source} ({item.predicted.name} {item.predicted.probability:.0%})"
        )
    _print(console, f"{result.n_images} looked at, {len(result.failed)} not")
    _print(console, f"→ {path}")
    return exit_code(result.n_images, len(result.failed))


def _print(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _print_failure(console: Console, name: str, error: CamlucidaError) -> None:
    console.print(f"[red]{escape(name)}[/]: {escape(str(error))}", highlight=False, soft_wrap=True)
